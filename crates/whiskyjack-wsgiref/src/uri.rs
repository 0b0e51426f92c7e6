//! PEP 3333, "URL Reconstruction": an environ's own address, and the scheme it came by. Knows mappings, not dictionaries alone.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// Return a guess for whether 'wsgi.url_scheme' should be 'http' or 'https'.
#[pyfunction]
pub fn guess_scheme(environ: &Bound<'_, PyAny>) -> PyResult<&'static str> {
    let flag = get(environ, "HTTPS")?;
    for word in ["yes", "on", "1"] {
        if flag.eq(word)? {
            return Ok("https");
        }
    }
    Ok("http")
}

/// Return the application's base URI (no PATH_INFO or QUERY_STRING).
#[pyfunction]
pub fn application_uri<'py>(environ: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let scheme = environ.get_item("wsgi.url_scheme")?;
    let mut uri = scheme.add("://")?;
    if get(environ, "HTTP_HOST")?.is_truthy()? {
        uri = uri.add(environ.get_item("HTTP_HOST")?)?;
    } else {
        uri = uri.add(environ.get_item("SERVER_NAME")?)?;
        let default = if scheme.eq("https")? { "443" } else { "80" };
        let port = environ.get_item("SERVER_PORT")?;
        if port.ne(default)? {
            uri = uri.add(PyString::new(environ.py(), ":").add(port)?)?;
        }
    }
    let script = get(environ, "SCRIPT_NAME")?;
    let script = match script.is_truthy()? {
        true => quote(&script, b"/")?,
        false => PyString::new(environ.py(), "/").into_any(),
    };
    uri.add(script)
}

/// Return the full request URI, optionally including the query string.
#[pyfunction]
#[pyo3(signature = (environ, include_query=None), text_signature = "(environ, include_query=True)")]
pub fn request_uri<'py>(
    environ: &Bound<'py, PyAny>,
    include_query: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = environ.py();
    let uri = application_uri(environ)?;
    let path = environ.call_method1(intern!(py, "get"), ("PATH_INFO", ""))?;
    let mut path = quote(&path, b"/;=,")?;
    if !get(environ, "SCRIPT_NAME")?.is_truthy()? {
        // The base ends with the slash that the path begins with.
        path = match path.cast::<PyString>()?.to_str()?.get(1..) {
            Some(rest) => PyString::new(py, rest).into_any(),
            None => path,
        };
    }
    let uri = uri.add(path)?;
    let include_query = include_query.map_or(Ok(true), Bound::is_truthy)?;
    if include_query && get(environ, "QUERY_STRING")?.is_truthy()? {
        let query = environ.get_item("QUERY_STRING")?;
        return uri.add(PyString::new(py, "?").add(query)?);
    }
    Ok(uri)
}

fn get<'py>(environ: &Bound<'py, PyAny>, key: &str) -> PyResult<Bound<'py, PyAny>> {
    environ.call_method1(intern!(environ.py(), "get"), (key,))
}

/// A native string as a URI has it: bytes that are neither unreserved (RFC 3986 2.3) nor in `safe` are percent-encoded.
fn quote<'py>(text: &Bound<'py, PyAny>, safe: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let py = text.py();
    if !text.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("quote() doesn't support 'encoding' for bytes"));
    }
    let bytes = text.call_method1(intern!(py, "encode"), (intern!(py, "latin1"),))?;
    let bytes = bytes.cast_into::<PyBytes>()?;
    let mut quoted = String::with_capacity(bytes.as_bytes().len());
    for &byte in bytes.as_bytes() {
        let is_unreserved =
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~');
        if is_unreserved || safe.contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(digit), 16);
                quoted.push(digit.expect("four bits are a digit").to_ascii_uppercase());
            }
        }
    }
    Ok(PyString::new(py, &quoted).into_any())
}
