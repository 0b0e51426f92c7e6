//! A Python exception as its author wants to read it: without the frames of the import system.
//! Knows not why it was raised.

use pyo3::prelude::*;
use pyo3::types::PyList;
use std::path::PathBuf;

/// The exception as Python prints it, without frames that are not the user's.
pub fn format(py: Python<'_>, error: &PyErr) -> String {
    // Whatever goes wrong with the formatting, the exception itself must be told.
    formatted(py, error).unwrap_or_else(|_| format!("{error}"))
}

/// Whether any of the user's code stands in the traceback.
pub fn has_frames(py: Python<'_>, error: &PyErr) -> bool {
    summary(py, error)
        .and_then(|summary| user_frames(&summary)?.len())
        .is_ok_and(|frames| frames > 0)
}

/// The files that the traceback names, those of the exceptions that led to it too, and the one that breaks the syntax.
pub fn files(py: Python<'_>, error: &PyErr) -> PyResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    name_files(&summary(py, error)?, &mut files)?;
    Ok(files)
}

fn name_files(summary: &Bound<'_, PyAny>, files: &mut Vec<PathBuf>) -> PyResult<()> {
    for frame in summary.getattr("stack")?.try_iter()? {
        files.push(frame?.getattr("filename")?.extract()?);
    }
    if let Ok(Ok(file)) = summary.getattr("filename").map(|file| file.extract()) {
        files.push(file);
    }
    linked(summary)?.iter().try_for_each(|linked| name_files(linked, files))
}

fn formatted(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let summary = summary(py, error)?;
    trim(&summary)?;
    let lines = summary.call_method0("format")?;
    let mut text = String::new();
    for line in lines.try_iter()? {
        text.push_str(&line?.extract::<String>()?);
    }
    Ok(text)
}

fn summary<'py>(py: Python<'py>, error: &PyErr) -> PyResult<Bound<'py, PyAny>> {
    let class = py.import("traceback")?.getattr("TracebackException")?;
    class.call_method1("from_exception", (error.value(py),))
}

/// Trims the exception and those that led to it. Python has cut circles among them already.
fn trim(summary: &Bound<'_, PyAny>) -> PyResult<()> {
    summary.setattr("stack", user_frames(summary)?)?;
    linked(summary)?.iter().try_for_each(trim)
}

/// The exceptions that led to one.
fn linked<'py>(summary: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let links = ["__cause__", "__context__"].into_iter().map(|link| summary.getattr(link));
    let linked = links.collect::<PyResult<Vec<_>>>()?;
    Ok(linked.into_iter().filter(|linked| !linked.is_none()).collect())
}

fn user_frames<'py>(summary: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = summary.py();
    let kept = PyList::empty(py);
    for frame in summary.getattr("stack")?.try_iter()? {
        let frame = frame?;
        let file: String = frame.getattr("filename")?.extract()?;
        if !file.starts_with("<frozen importlib") && !file.ends_with("/importlib/__init__.py") {
            kept.append(frame)?;
        }
    }
    py.import("traceback")?.getattr("StackSummary")?.call_method1("from_list", (kept,))
}
