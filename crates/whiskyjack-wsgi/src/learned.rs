//! What a connection's last requests had in common: clients send mostly the same fields again, and what is the same in the environ
//! need not be made again. Knows no CGI name: `environ` says which key a field has.

use crate::raw;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::atomic::{AtomicUsize, Ordering};
use whiskyjack_proto::head::RequestHead;

/// The fields of a request, and an environ that has them.
pub(crate) struct Learned {
    /// names and values, one behind the other
    text: Vec<u8>,
    fields: Vec<Field>,
    pub(crate) environ: Py<PyDict>,
    _place: Place,
}

struct Field {
    name: usize,
    value: usize,
    /// `None` where it is left out of the environ
    key: Option<Py<PyString>>,
}

/// More than this is not worth its memory on an idle connection.
const MOST_BYTES: usize = 2048;

/// So many connections of a process are learned from at a time. Where there are more, most of them are idle, and memory for
/// each would be too much.
const MOST_PLACES: usize = 1000;

static PLACES: AtomicUsize = AtomicUsize::new(0);

/// One of them. Free again when it is dropped.
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let add = |taken: usize| (taken < MOST_PLACES).then_some(taken + 1);
        PLACES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok().map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        PLACES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One bit a field.
const MOST_FIELDS: usize = u64::BITS as usize;

impl Learned {
    /// Remembers a request's fields with their keys. `None` where they are too many, one key has two of them, or too many
    /// connections are learned from.
    pub(crate) fn new(
        py: Python<'_>,
        head: &RequestHead,
        keys: Vec<Option<Py<PyString>>>,
        environ: Py<PyDict>,
    ) -> Option<Learned> {
        let length: usize = head.fields().map(|(name, value)| name.len() + value.len()).sum();
        let is_small = length <= MOST_BYTES && keys.len() <= MOST_FIELDS;
        let is_repeated = |(index, key): (usize, &Option<Py<PyString>>)| {
            let is_same = |one: &Py<PyString>, other: &Py<PyString>| {
                raw::latin1_bytes(one.bind(py)) == raw::latin1_bytes(other.bind(py))
            };
            key.as_ref().is_some_and(|key| {
                keys[..index].iter().flatten().any(|before| is_same(before, key))
            })
        };
        if !is_small || keys.iter().enumerate().any(is_repeated) {
            return None;
        }
        let place = Place::take()?;
        let mut text = Vec::with_capacity(length);
        let mut fields = Vec::with_capacity(keys.len());
        for ((name, value), key) in head.fields().zip(keys) {
            text.extend_from_slice(name);
            text.extend_from_slice(value);
            fields.push(Field { name: name.len(), value: value.len(), key });
        }
        Some(Learned { text, fields, environ, _place: place })
    }

    /// Which fields of this request have other values than those that were learned, one bit each. `None` if it has other fields.
    pub(crate) fn changes(&self, head: &RequestHead) -> Option<u64> {
        if head.fields().len() != self.fields.len() {
            return None;
        }
        let mut changes = 0;
        let mut rest = &self.text[..];
        for (index, ((name, value), field)) in head.fields().zip(&self.fields).enumerate() {
            let (known_name, behind) = rest.split_at(field.name);
            let (known_value, behind) = behind.split_at(field.value);
            if name != known_name {
                return None;
            }
            if value != known_value {
                changes |= 1 << index;
            }
            rest = behind;
        }
        Some(changes)
    }

    /// The fields that [`Learned::changes`] tells of, with their keys; those that are left out of the environ are left out here.
    pub(crate) fn changed<'a>(
        &'a self,
        head: &'a RequestHead,
        changes: u64,
    ) -> impl Iterator<Item = (&'a Py<PyString>, &'a [u8])> {
        let fields = self.fields.iter().zip(head.fields()).enumerate();
        fields
            .filter(move |(index, _)| changes >> index & 1 == 1)
            .filter_map(|(_, (field, (_, value)))| field.key.as_ref().map(|key| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_it_is_dropped() {
        let mut places: Vec<Place> = std::iter::from_fn(Place::take).collect();
        assert_eq!(places.len(), MOST_PLACES);
        assert!(Place::take().is_none());
        places.pop();
        assert!(Place::take().is_some());
    }
}
