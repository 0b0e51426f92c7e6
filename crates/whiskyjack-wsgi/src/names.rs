//! The field names that clients and proxies send, with their keys of the environ. Together with `environ` the only room that spells CGI names.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// What a field becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    Cookie,
    /// what a proxy tells of the client; the application sees it only where it is meant to
    Forwarded,
    Host,
    /// its value comes from the body's framing
    Length,
    /// never in the environ
    Left,
}

pub(crate) struct Known {
    name: &'static [u8],
    pub(crate) key: Py<PyString>,
    pub(crate) role: Role,
}

/// The known field names with their ready keys, found by a hash of a few of their letters.
pub(crate) struct Names {
    slots: Vec<Option<Known>>,
}

const SLOTS: usize = 256;

impl Names {
    pub(crate) fn shared(py: Python<'_>) -> PyResult<&'static Names> {
        static NAMES: PyOnceLock<Names> = PyOnceLock::new();
        NAMES.get_or_try_init(py, || Names::new(py))
    }

    fn new(py: Python<'_>) -> PyResult<Names> {
        let mut slots: Vec<Option<Known>> = std::iter::repeat_with(|| None).take(SLOTS).collect();
        for (name, role) in FIELDS {
            let key = match *name {
                "content-type" => "CONTENT_TYPE".to_owned(),
                name => String::from_utf8_lossy(&cgi_name(name.as_bytes())).into_owned(),
            };
            let name = name.as_bytes();
            let mut slot = hash(name);
            while slots[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] =
                Some(Known { name, key: PyString::intern(py, &key).unbind(), role: *role });
        }
        Ok(Names { slots })
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<&Known> {
        if name.is_empty() {
            return None;
        }
        let mut slot = hash(name);
        loop {
            let known = self.slots[slot].as_ref()?;
            if known.name.eq_ignore_ascii_case(name) {
                return Some(known);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// The name is not empty.
fn hash(name: &[u8]) -> usize {
    let letter = |index: usize| usize::from(name[index] | 0x20);
    let length = name.len();
    (length * 7 + letter(0) * 13 + letter(length - 1) * 29 + letter(length / 2) * 53) % SLOTS
}

/// The names that clients and proxies send, in lower case. Only these have interned keys: to intern a name of the peer's
/// own choice would keep it for ever on some interpreters.
const FIELDS: &[(&str, Role)] = &[
    ("accept", Role::Plain),
    ("accept-charset", Role::Plain),
    ("accept-encoding", Role::Plain),
    ("accept-language", Role::Plain),
    ("access-control-request-headers", Role::Plain),
    ("access-control-request-method", Role::Plain),
    ("authorization", Role::Plain),
    ("cache-control", Role::Plain),
    ("cdn-loop", Role::Plain),
    ("cf-connecting-ip", Role::Plain),
    ("cf-ipcountry", Role::Plain),
    ("cf-ray", Role::Plain),
    ("cf-visitor", Role::Plain),
    ("connection", Role::Plain),
    ("content-disposition", Role::Plain),
    ("content-encoding", Role::Plain),
    ("content-language", Role::Plain),
    ("content-length", Role::Length),
    ("content-location", Role::Plain),
    ("content-md5", Role::Plain),
    ("content-range", Role::Plain),
    ("content-type", Role::Plain),
    ("cookie", Role::Cookie),
    ("date", Role::Plain),
    ("dnt", Role::Plain),
    ("expect", Role::Plain),
    ("forwarded", Role::Forwarded),
    ("from", Role::Plain),
    ("host", Role::Host),
    ("if-match", Role::Plain),
    ("if-modified-since", Role::Plain),
    ("if-none-match", Role::Plain),
    ("if-range", Role::Plain),
    ("if-unmodified-since", Role::Plain),
    ("keep-alive", Role::Plain),
    ("max-forwards", Role::Plain),
    ("origin", Role::Plain),
    ("pragma", Role::Plain),
    ("priority", Role::Plain),
    // A client could set the proxy of the application's own requests with it (httpoxy, CVE-2016-5385).
    ("proxy", Role::Left),
    ("proxy-authorization", Role::Plain),
    ("range", Role::Plain),
    ("referer", Role::Plain),
    ("save-data", Role::Plain),
    ("sec-ch-ua", Role::Plain),
    ("sec-ch-ua-mobile", Role::Plain),
    ("sec-ch-ua-platform", Role::Plain),
    ("sec-fetch-dest", Role::Plain),
    ("sec-fetch-mode", Role::Plain),
    ("sec-fetch-site", Role::Plain),
    ("sec-fetch-user", Role::Plain),
    ("sec-gpc", Role::Plain),
    ("sec-websocket-extensions", Role::Plain),
    ("sec-websocket-key", Role::Plain),
    ("sec-websocket-protocol", Role::Plain),
    ("sec-websocket-version", Role::Plain),
    ("te", Role::Plain),
    ("traceparent", Role::Plain),
    ("tracestate", Role::Plain),
    ("trailer", Role::Plain),
    // The server has taken the coding off (RFC 9112 6.1).
    ("transfer-encoding", Role::Length),
    ("upgrade", Role::Plain),
    ("upgrade-insecure-requests", Role::Plain),
    ("user-agent", Role::Plain),
    ("via", Role::Plain),
    ("warning", Role::Plain),
    ("x-amzn-trace-id", Role::Plain),
    ("x-api-key", Role::Plain),
    ("x-correlation-id", Role::Plain),
    ("x-csrf-token", Role::Plain),
    ("x-csrftoken", Role::Plain),
    ("x-forwarded-for", Role::Forwarded),
    ("x-forwarded-host", Role::Forwarded),
    ("x-forwarded-port", Role::Forwarded),
    ("x-forwarded-prefix", Role::Forwarded),
    ("x-forwarded-proto", Role::Forwarded),
    ("x-real-ip", Role::Plain),
    ("x-request-id", Role::Plain),
    ("x-request-start", Role::Plain),
    ("x-requested-with", Role::Plain),
    ("x-scheme", Role::Plain),
];

/// What RFC 3875 4.1.18 makes of a field's name.
pub(crate) fn cgi_name(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + name.len());
    key.extend_from_slice(b"HTTP_");
    key.extend(name.iter().map(|byte| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }));
    key
}

#[cfg(test)]
mod tests {
    use super::FIELDS;

    #[test]
    fn the_known_names_are_lower_case_and_stand_once() {
        assert!(FIELDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(FIELDS.iter().all(|(name, _)| !name.contains(|c: char| c.is_ascii_uppercase())));
    }
}
