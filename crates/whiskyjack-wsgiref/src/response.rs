//! A handler's response: what start_response takes, and what stands before the body. Knows no stream: bytes go out.

use crate::hop;
use crate::native;
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use whiskyjack_proto::date::DateCache;

/// Raises for a status that is not `999 Reason`.
#[pyfunction]
pub fn refuse_status(status: &Bound<'_, PyAny>) -> PyResult<()> {
    check_type(status, "Status")?;
    let Some(text) = status.cast::<PyString>()?.to_str().ok() else {
        return Err(PyAssertionError::new_err("Status must be text that latin-1 has"));
    };
    if native::has_control(status, false)? {
        // It would end the status line, and what follows it would be fields.
        return Err(PyValueError::new_err("Control characters not allowed in status"));
    }
    let bytes = text.as_bytes();
    let problem = if text.chars().count() < 4 {
        "Status must be at least 4 characters"
    } else if !bytes.iter().take(3).all(u8::is_ascii_digit) {
        "Status message must begin w/3-digit code"
    } else if bytes[3] != b' ' {
        "Status message must have a space after code"
    } else {
        return Ok(());
    };
    Err(PyAssertionError::new_err(problem))
}

/// Raises for fields that are no strings, and those that are the server's own affair.
#[pyfunction]
pub fn refuse_fields(headers: &Bound<'_, PyAny>) -> PyResult<()> {
    for item in headers.try_iter()? {
        let (name, value) = native::pair(&item?)?;
        check_type(&name, "Header name")?;
        check_type(&value, "Header value")?;
        if native::ascii(&name).is_some_and(hop::is_one) {
            return Err(PyAssertionError::new_err(format!(
                "Hop-by-hop header, '{}: {}', not allowed",
                name.str()?.to_string_lossy(),
                value.str()?.to_string_lossy()
            )));
        }
    }
    Ok(())
}

fn check_type(text: &Bound<'_, PyAny>, title: &str) -> PyResult<()> {
    if text.is_exact_instance_of::<PyString>() {
        return Ok(());
    }
    Err(PyAssertionError::new_err(format!(
        "{title} must be of type str (got {})",
        text.repr()?.to_string_lossy()
    )))
}

/// The Content-Length of a body that is known to be a single piece of so many bytes; None if it is not.
#[pyfunction]
pub fn implied_length(result: &Bound<'_, PyAny>, bytes_sent: u64) -> Option<String> {
    // What has no length raises one of several exceptions, and none of them matters.
    (result.len().ok()? == 1).then(|| bytes_sent.to_string())
}

/// What a gateway writes first: the status as a field (RFC 3875 6.3.3).
#[pyfunction]
pub fn gateway_preamble<'py>(status: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    latin1(status.py(), format!("Status: {}\r\n", text(status)?))
}

/// What an origin server writes first: the status line, and Date and Server where the application has given none.
/// `timestamp` and `software` are None where their field is not to be written.
#[pyfunction]
#[pyo3(signature = (version, status, timestamp, software))]
pub fn origin_preamble<'py>(
    version: &Bound<'py, PyAny>,
    status: &Bound<'py, PyAny>,
    timestamp: Option<f64>,
    software: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut preamble = format!("HTTP/{} {}\r\n", text(version)?, text(status)?);
    if let Some(timestamp) = timestamp {
        preamble += &format!("Date: {}\r\n", format_date_time(timestamp)?);
    }
    if let Some(software) = software {
        preamble += &format!("Server: {}\r\n", text(software)?);
    }
    latin1(status.py(), preamble)
}

/// The time as the Date field has it (RFC 9110 5.6.7).
#[pyfunction]
pub fn format_date_time(timestamp: f64) -> PyResult<String> {
    if !(0.0..=253_402_300_799.0).contains(&timestamp) {
        return Err(PyValueError::new_err(format!(
            "a date must lie between 1970 and 9999, and {timestamp} does not"
        )));
    }
    let mut dates = DateCache::default();
    let date = dates.at(timestamp as u64); // the fraction of the second is cut
    Ok(String::from_utf8_lossy(date).into_owned())
}

fn text(object: &Bound<'_, PyAny>) -> PyResult<String> {
    object.str()?.extract()
}

fn latin1(py: Python<'_>, text: String) -> PyResult<Bound<'_, PyBytes>> {
    if text.is_ascii() {
        return Ok(PyBytes::new(py, text.as_bytes()));
    }
    let encoding = intern!(py, "iso-8859-1");
    let bytes = PyString::new(py, &text).call_method1(intern!(py, "encode"), (encoding,))?;
    bytes.cast_into::<PyBytes>().map_err(|error| PyTypeError::new_err(error.to_string()))
}
