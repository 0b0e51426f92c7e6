//! How an application hands on a part of its URL space: a segment moves from PATH_INFO to SCRIPT_NAME.

use crate::native::{decoded, encoded};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Shift a name from PATH_INFO to SCRIPT_NAME, returning it.
///
/// If there are no remaining path segments in PATH_INFO, return None. `environ` is changed in place; use a copy if you need to keep
/// the original PATH_INFO or SCRIPT_NAME.
///
/// When PATH_INFO is just a '/', this returns '' and appends a '/' to SCRIPT_NAME, although empty segments are ignored otherwise and
/// SCRIPT_NAME doesn't end in a '/': so an application can tell '/x' from '/x/' when it traverses to objects.
#[pyfunction]
pub fn shift_path_info<'py>(environ: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = environ.py();
    let get = |key| environ.call_method1(intern!(py, "get"), (key, ""));
    let path = get("PATH_INFO")?;
    if !path.is_truthy()? {
        return Ok(None);
    }
    let path = bytes(&path)?;
    let shift = Shift::of(&path).ok_or_else(|| PyIndexError::new_err("list index out of range"))?;
    let script = bytes(&get("SCRIPT_NAME")?)?;
    environ.set_item("SCRIPT_NAME", decoded(py, &joined(&script, shift.name))?)?;
    environ.set_item("PATH_INFO", decoded(py, &shift.rest)?)?;
    // A single dot as the last segment stands for the place itself.
    match shift.name {
        b"." => Ok(None),
        name => decoded(py, name).map(Some),
    }
}

fn bytes(text: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let text = text.cast::<PyString>().map_err(|_| {
        let kind = crate::native::type_name(text);
        PyTypeError::new_err(format!("PATH_INFO and SCRIPT_NAME must be str, not {kind}"))
    })?;
    encoded(text)
}

/// The first segment of a path, and the path without it.
struct Shift<'a> {
    name: &'a [u8],
    rest: Vec<u8>,
}

impl Shift<'_> {
    /// `None` if the path has no slash. Segments between the first and the last that are empty or a dot don't count.
    fn of(path: &[u8]) -> Option<Shift<'_>> {
        let mut segments: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let first = segments.remove(0);
        let last = segments.pop()?;
        segments.retain(|segment| !segment.is_empty() && *segment != b".");
        segments.push(last);
        let name = segments.remove(0);
        let mut rest = first.to_vec();
        for segment in segments {
            rest.push(b'/');
            rest.extend_from_slice(segment);
        }
        Some(Shift { name, rest })
    }
}

/// SCRIPT_NAME with a further segment.
fn joined(script: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = normal(&[script, b"/", name].concat());
    if joined.last() == Some(&b'/') {
        joined.pop();
    }
    if name.is_empty() && joined.last() != Some(&b'/') {
        joined.push(b'/');
    }
    joined
}

/// The path without empty segments, dots, and segments that two dots take back; POSIX lets exactly two slashes in front stand.
fn normal(path: &[u8]) -> Vec<u8> {
    let slashes = match path.iter().take_while(|&&byte| byte == b'/').count() {
        2 => 2,
        count => count.min(1),
    };
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." if slashes > 0 && kept.is_empty() => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let normal = [vec![b'/'; slashes], kept.join(&b'/')].concat();
    if normal.is_empty() { b".".to_vec() } else { normal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_take_back_a_segment_and_slashes_melt() {
        for (path, expected) in [
            ("/a/b/..", "/a"),
            ("/..", "/"),
            ("//a", "//a"),
            ("///a", "/a"),
            ("a/../..", ".."),
            ("a/..", "."),
            ("../..", "../.."),
            ("/./a//b/.", "/a/b"),
        ] {
            assert_eq!(normal(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_path_without_a_slash_has_nothing_to_shift() {
        assert!(Shift::of(b"x").is_none());
        let shift = Shift::of(b"///./a//b/.//").expect("it has slashes");
        assert_eq!((shift.name, &shift.rest[..]), (&b"a"[..], &b"/b/"[..]));
    }
}
