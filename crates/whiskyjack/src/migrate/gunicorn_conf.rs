//! Runs a `gunicorn.conf.py` and sees which names it leaves behind. Knows Python, and gunicorn's names by their table.

use super::gunicorn::ROWS;
use super::plan::{Given, Row, Takes};
use crate::traceback;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PySet, PyString, PyTuple};
use std::path::Path;

/// How much of a value is shown.
const SHOWN: usize = 60;

/// Runs the file as gunicorn does, in a namespace of its own; the error is a traceback. What it prints goes to standard
/// error: standard output is for the answer.
pub fn read(py: Python<'_>, path: &Path) -> Result<Vec<Given>, String> {
    let run = || -> PyResult<Vec<Given>> {
        let sys = py.import("sys")?;
        // gunicorn has the current directory there by then as well
        sys.getattr("path")?.call_method1("insert", (0, std::env::current_dir()?))?;
        let stdout = sys.getattr("stdout")?;
        sys.setattr("stdout", sys.getattr("stderr")?)?;
        let keywords = PyDict::new(py);
        keywords.set_item("run_name", "__config__")?;
        let ran = py.import("runpy")?.call_method("run_path", (path.as_os_str(),), Some(&keywords));
        sys.setattr("stdout", stdout)?;
        let ran = ran?.cast_into::<PyDict>()?;
        let mut given = Vec::new();
        // in the order of the file, which a dict keeps
        for (name, value) in ran {
            let Ok(name) = name.extract::<String>() else { continue };
            if let Some(row) = ROWS.iter().find(|row| row.key == name)
                && !value.is_none()
            {
                given.push(one(row, &value)?);
            }
        }
        Ok(given)
    };
    run().map_err(|error| traceback::format(py, &error))
}

fn one(row: &'static Row, value: &Bound<'_, PyAny>) -> PyResult<Given> {
    let texts = texts(row, value)?;
    let shown = match value.is_callable() {
        true => format!("<{}>", value.get_type().name()?),
        false => value.repr()?.to_string_lossy().into_owned(),
    };
    let shown = match shown.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &shown[..end]),
        None => shown,
    };
    Ok(Given { row, written: format!("{} = {shown}", row.key), texts })
}

fn texts(row: &Row, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(items) = value.cast::<PyList>() {
        return items.iter().map(|item| text(row, &item)).collect();
    }
    if let Ok(items) = value.cast::<PyTuple>() {
        return items.iter().map(|item| text(row, &item)).collect();
    }
    if let Ok(items) = value.cast::<PySet>() {
        return items.iter().map(|item| text(row, &item)).collect();
    }
    Ok(vec![text(row, value)?])
}

/// Numbers, texts and truth as gunicorn's command line would have them.
fn text(row: &Row, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(value.is_true().to_string());
    }
    if row.takes == Takes::Nothing {
        return Ok(value.is_truthy()?.to_string());
    }
    match value.cast::<PyString>() {
        Ok(text) => Ok(text.to_string_lossy().into_owned()),
        Err(_) => Ok(value.str()?.to_string_lossy().into_owned()),
    }
}
