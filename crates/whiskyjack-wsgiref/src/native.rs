//! Native strings, and other Python values, as the rooms here look at them. Knows nothing of WSGI.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

/// The text of an exact str that is ASCII, which most are.
pub(crate) fn ascii<'a>(text: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    text.cast_exact::<PyString>().ok()?.to_str().ok().filter(|text| text.is_ascii())
}

/// What `text.lower()` gives, whatever it is.
pub(crate) fn lowered<'py>(text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    text.call_method0(intern!(text.py(), "lower"))
}

/// The bytes of a str, with each lone surrogate as its own three.
pub(crate) fn encoded(text: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    if let Ok(text) = text.to_str() {
        return Ok(text.as_bytes().to_vec());
    }
    let py = text.py();
    let arguments = (intern!(py, "utf-8"), intern!(py, "surrogatepass"));
    text.call_method1(intern!(py, "encode"), arguments)?.extract()
}

/// The str that [`encoded`] has made bytes of.
pub(crate) fn decoded<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Ok(PyString::new(py, text).into_any());
    }
    let arguments = (intern!(py, "utf-8"), intern!(py, "surrogatepass"));
    pyo3::types::PyBytes::new(py, bytes).call_method1(intern!(py, "decode"), arguments)
}

/// Whether a str has a control character: one of ASCII's, without the tab if `tab_is_fine`.
pub(crate) fn has_control(text: &Bound<'_, PyAny>, tab_is_fine: bool) -> PyResult<bool> {
    let is_control = |byte: u8| byte.is_ascii_control() && !(tab_is_fine && byte == b'\t');
    let text = text.cast::<PyString>()?;
    Ok(match text.to_str() {
        Ok(text) => text.bytes().any(is_control),
        Err(_) => encoded(text)?.into_iter().any(is_control),
    })
}

/// Both parts of what Python would unpack into two.
pub(crate) fn pair<'py>(
    item: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    if let Ok(item) = item.cast_exact::<PyTuple>()
        && item.len() == 2
    {
        return Ok((item.get_item(0)?, item.get_item(1)?));
    }
    let Ok(mut parts) = item.try_iter() else {
        let kind = type_name(item);
        return Err(PyTypeError::new_err(format!("cannot unpack non-iterable {kind} object")));
    };
    let found: Vec<_> = parts.by_ref().take(3).collect::<PyResult<_>>()?;
    match <[_; 2]>::try_from(found) {
        Ok([first, second]) => Ok((first, second)),
        Err(found) if found.len() > 2 => {
            Err(PyValueError::new_err("too many values to unpack (expected 2)"))
        }
        Err(found) => Err(PyValueError::new_err(format!(
            "not enough values to unpack (expected 2, got {})",
            found.len()
        ))),
    }
}

/// What the type of an object is called.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .name()
        .map_or_else(|_| "an object".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Whether a str has no character above U+00FF.
pub(crate) fn is_latin1(text: &Bound<'_, PyAny>) -> bool {
    let text = text.cast::<PyString>().ok().and_then(|text| text.to_str().ok());
    text.is_some_and(|text| text.is_ascii() || text.chars().all(|letter| letter <= '\u{ff}'))
}

/// The repr of a value, short enough for a message, with its type where the repr does not tell it.
pub(crate) fn shown(object: &Bound<'_, PyAny>) -> String {
    const LONGEST: usize = 120;
    let Ok(text) = object.repr() else {
        return format!("{} (no repr)", type_name(object));
    };
    let text = text.to_string_lossy();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}
