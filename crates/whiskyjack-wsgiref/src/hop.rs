//! Fields that belong to one connection, not to the response (RFC 2616 13.5.1, which PEP 3333 refers to).

use crate::native::{self, lowered};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// "Trailers" is RFC 2616's own slip for Trailer, and stands in the original's list.
const NAMES: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// Return true if 'header_name' is an HTTP/1.1 "Hop-by-Hop" header.
#[pyfunction]
pub fn is_hop_by_hop(header_name: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Some(name) = native::ascii(header_name) {
        return Ok(is_one(name));
    }
    let name = lowered(header_name)?;
    name.hash()?; // what can't be in a set is an error, not an absence
    let name = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok());
    Ok(name.is_some_and(is_one))
}

/// The same of a name whose text is at hand.
pub(crate) fn is_one(name: &str) -> bool {
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}
