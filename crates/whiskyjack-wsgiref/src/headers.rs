//! `headers.Headers`: a list of fields that is looked up like a mapping. The list is the caller's own, not a copy.
//! Knows no protocol but the characters that would end a field.

use crate::native::{self, lowered};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use pyo3::{PyTypeInfo, intern};
use std::mem;
use std::sync::{Mutex, PoisonError};

/// Manage a collection of HTTP response headers: a mapping whose names have no case, over a list of (name, value) tuples.
#[pyclass(frozen, subclass, dict, weakref, module = "whiskyjack.wsgiref.headers")]
#[derive(Debug)]
pub struct Headers {
    // Guards which list it is; held for a look alone.
    list: Mutex<Py<PyList>>,
}

#[pymethods]
impl Headers {
    // A subclass may have an __init__ with other parameters: what is given here is its affair.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(headers=None)")]
    fn new(
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Headers {
        Headers { list: Mutex::new(PyList::empty(py).unbind()) }
    }

    #[pyo3(signature = (headers=None))]
    fn __init__(slf: &Bound<'_, Self>, headers: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let list = match headers {
            Some(headers) => headers
                .cast_into_exact::<PyList>()
                .map_err(|_| PyTypeError::new_err("Headers must be a list of name/value tuples"))?,
            None => PyList::empty(py),
        };
        slf.get().show(list.clone());
        for item in list.iter() {
            let (name, value) = native::pair(&item)?;
            check(&name, Part::Name)?;
            check(&value, Part::Value)?;
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.list.try_lock() {
            Ok(list) => visit.call(&*list),
            // Whoever looks at it holds it too.
            Err(_) => Ok(()),
        }
    }

    /// The list of tuples that this object shows.
    #[getter(_headers)]
    fn shown<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).bind(py).clone()
    }

    #[setter(_headers)]
    fn show(&self, headers: Bound<'_, PyList>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *list, headers.unbind());
        // What was in it may have a finalizer, which may come back here.
        drop(list);
        drop(before);
    }

    /// Return the total number of headers, including duplicates.
    fn __len__(&self, py: Python<'_>) -> usize {
        self.shown(py).len()
    }

    /// Set the value of a header, in place of all that have this name.
    fn __setitem__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match is_plain(slf) {
            true => Headers::__delitem__(slf, name)?,
            false => slf.as_any().del_item(name)?,
        }
        append(slf, check(name, Part::Name)?, check(value, Part::Value)?)
    }

    /// Delete all occurrences of a header, if present. Does *not* raise an exception if the header is missing.
    fn __delitem__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let wanted = Wanted::new(name)?;
        let list = list(slf);
        let kept = PyList::empty(slf.py());
        for item in list.iter() {
            if !wanted.is(&name_of(&item)?)? {
                kept.append(item)?;
            }
        }
        // Another's list: it is changed, not replaced.
        list.set_slice(0, list.len(), &kept)
    }

    /// Get the first header value for `name`; None if the header is missing.
    fn __getitem__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        first(slf, name)
    }

    /// Return true if there is a header of this name.
    fn __contains__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(!first(slf, name)?.is_none())
    }

    /// Return a list of all the values for the named field, in their order; empty if there is none.
    fn get_all<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let wanted = Wanted::new(name)?;
        let found = PyList::empty(slf.py());
        for item in list(slf).iter() {
            if wanted.is(&name_of(&item)?)? {
                found.append(item.get_item(1)?)?;
            }
        }
        Ok(found)
    }

    /// Get the first header value for `name`, or return `default`.
    #[pyo3(signature = (name, default=None))]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let wanted = Wanted::new(name)?;
        for item in list(slf).iter() {
            let (name, value) = native::pair(&item)?;
            if wanted.is(&name)? {
                return Ok(value);
            }
        }
        Ok(default.unwrap_or_else(|| slf.py().None().into_bound(slf.py())))
    }

    /// Return a list of all the header field names, in their order, duplicates included.
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        collect(slf, |name, _| name)
    }

    /// Return a list of all header values, in their order.
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        collect(slf, |_, value| value)
    }

    /// Return a list of all the header fields and values, in their order.
    fn items<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyList> {
        let list = list(slf);
        list.get_slice(0, list.len())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        Ok(format!("{}({})", name.to_string_lossy(), list(slf).repr()?.to_string_lossy()))
    }

    /// The formatted headers, complete with end line, suitable for direct HTTP transmission.
    fn __str__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let lines = PyList::empty(py);
        for item in list(slf).iter() {
            lines.append(PyString::new(py, "%s: %s").rem(item)?)?;
        }
        lines.append("")?;
        lines.append("")?;
        PyString::new(py, "\r\n").call_method1(intern!(py, "join"), (lines,))
    }

    fn __bytes__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if is_plain(slf)
            && let Some(block) = block(&list(slf))
        {
            return Ok(PyBytes::new(py, &block).into_any());
        }
        slf.str()?.call_method1(intern!(py, "encode"), (intern!(py, "iso-8859-1"),))
    }

    /// Return the first value of the header `name`. If there is none, add a header of this name and `value`, and return `value`.
    fn setdefault<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let found = first(slf, name)?;
        if !found.is_none() {
            return Ok(found);
        }
        append(slf, check(name, Part::Name)?, check(value, Part::Value)?)?;
        Ok(value.clone())
    }

    /// Add a header whose value has parameters: `h.add_header('content-disposition', 'attachment', filename='bud.gif')`.
    ///
    /// Underscores in the names of parameters become hyphens. A parameter is added as name="value", or as its name alone if its
    /// value is None. Values are strings or None, never tuples.
    #[pyo3(signature = (_name, _value, **_params))]
    fn add_header(
        slf: &Bound<'_, Self>,
        _name: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _params: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let parts = PyList::empty(py);
        if !_value.is_none() {
            parts.append(check(_value, Part::Value)?)?;
        }
        for (name, value) in _params.into_iter().flatten() {
            let name =
                check(&name, Part::Name)?.call_method1(intern!(py, "replace"), ("_", "-"))?;
            if value.is_none() || value.is_exact_instance_of::<PyString>() && value.len()? == 0 {
                parts.append(name)?;
                continue;
            }
            let value = check(&value, Part::Value)?;
            let value = value.call_method1(intern!(py, "replace"), ("\\", "\\\\"))?;
            let value = value.call_method1(intern!(py, "replace"), ("\"", "\\\""))?;
            parts.append(PyString::new(py, "%s=\"%s\"").rem((name, value))?)?;
        }
        let joined = PyString::new(py, "; ").call_method1(intern!(py, "join"), (parts,))?;
        append(slf, check(_name, Part::Name)?, &joined)
    }
}

/// Whether no method can have been overridden, so that ours can be called without asking.
fn is_plain(slf: &Bound<'_, Headers>) -> bool {
    slf.get_type().is(Headers::type_object(slf.py()))
}

fn list<'py>(slf: &Bound<'py, Headers>) -> Bound<'py, PyList> {
    slf.get().shown(slf.py())
}

fn first<'py>(slf: &Bound<'py, Headers>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match is_plain(slf) {
        true => Headers::get(slf, name, None),
        false => slf.call_method1(intern!(slf.py(), "get"), (name,)),
    }
}

fn append(
    slf: &Bound<'_, Headers>,
    name: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    list(slf).append((name, value))
}

fn collect<'py>(
    slf: &Bound<'py, Headers>,
    part: fn(Bound<'py, PyAny>, Bound<'py, PyAny>) -> Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let found = PyList::empty(slf.py());
    for item in list(slf).iter() {
        let (name, value) = native::pair(&item)?;
        found.append(part(name, value))?;
    }
    Ok(found)
}

/// The first part of an item. Whatever can be indexed is taken, as the list may hold what the caller has put there.
fn name_of<'py>(item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match item.cast_exact::<PyTuple>() {
        Ok(item) => item.get_item(0),
        Err(_) => item.get_item(0),
    }
}

/// The fields as they are sent, where all of them are ASCII text: the usual case, in one piece.
fn block(list: &Bound<'_, PyList>) -> Option<Vec<u8>> {
    let mut block = Vec::with_capacity(64 * list.len() + 2);
    for item in list.iter() {
        let item = item.cast_into_exact::<PyTuple>().ok().filter(|item| item.len() == 2)?;
        let (name, value) = (item.get_borrowed_item(0).ok()?, item.get_borrowed_item(1).ok()?);
        block.extend_from_slice(native::ascii(&name)?.as_bytes());
        block.extend_from_slice(b": ");
        block.extend_from_slice(native::ascii(&value)?.as_bytes());
        block.extend_from_slice(b"\r\n");
    }
    block.extend_from_slice(b"\r\n");
    Some(block)
}

/// A name that is looked for, in lower case.
struct Wanted<'py>(Bound<'py, PyAny>);

impl<'py> Wanted<'py> {
    fn new(name: &Bound<'py, PyAny>) -> PyResult<Wanted<'py>> {
        if native::ascii(name).is_some() {
            return Ok(Wanted(name.clone()));
        }
        let name = lowered(name)?;
        check_type(&name)?;
        Ok(Wanted(name))
    }

    fn is(&self, name: &Bound<'py, PyAny>) -> PyResult<bool> {
        match (native::ascii(&self.0), native::ascii(name)) {
            (Some(wanted), Some(name)) => Ok(wanted.eq_ignore_ascii_case(name)),
            // Letters beyond ASCII have cases too, and some have an ASCII letter for the other one.
            _ => lowered(name)?.eq(lowered(&self.0)?),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

fn check<'a, 'py>(text: &'a Bound<'py, PyAny>, part: Part) -> PyResult<&'a Bound<'py, PyAny>> {
    check_type(text)?;
    // RFC 9110 5.5: a control character may end the field, or be taken for its end. A tab may stand in a value.
    if native::has_control(text, part == Part::Value)? {
        return Err(PyValueError::new_err("Control characters not allowed in headers"));
    }
    Ok(text)
}

fn check_type(text: &Bound<'_, PyAny>) -> PyResult<()> {
    if text.is_exact_instance_of::<PyString>() {
        return Ok(());
    }
    Err(PyAssertionError::new_err(format!(
        "Header names/values must be of type str (got {})",
        text.repr()?.to_string_lossy()
    )))
}
