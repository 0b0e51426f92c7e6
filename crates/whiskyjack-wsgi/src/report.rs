//! Where it is said what an application did wrong. Knows no response: what the client is told, `gateway` decides.

use pyo3::prelude::*;
use pyo3::types::PyString;
use std::fmt;
use whiskyjack_proto::head::RequestHead;

/// Hears of the application's faults, on the thread that called it. What it is told is told nowhere else.
pub trait Report: fmt::Debug + Send + Sync + 'static {
    /// An exception came out of the application: of the call, or of what `doing` says.
    fn raised(&self, py: Python<'_>, doing: &str, error: &PyErr, head: &RequestHead);

    /// The application broke PEP 3333; the words are for its author.
    fn misused(&self, py: Python<'_>, what: &str, head: &RequestHead);
}

/// Writes to the log.
#[derive(Debug)]
pub(crate) struct ToLog;

impl Report for ToLog {
    fn raised(&self, py: Python<'_>, doing: &str, error: &PyErr, head: &RequestHead) {
        log::error!("{}: {doing} raised\n{}", request_line(head), traceback(py, error));
    }

    fn misused(&self, _: Python<'_>, what: &str, head: &RequestHead) {
        log::error!("{}: {what}", request_line(head));
    }
}

/// The traceback as Python prints it, without the line feed at its end.
fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        // Up to 3.11 the exception itself does not have its traceback yet.
        let parts = (error.get_type(py), error.value(py), error.traceback(py));
        let lines = py.import("traceback")?.call_method1("format_exception", parts)?;
        let text: String = PyString::new(py, "").call_method1("join", (lines,))?.extract()?;
        Ok(text.trim_end().to_owned())
    };
    // An exception may refuse to be shown.
    format().unwrap_or_else(|_| format!("{} (its traceback can't be shown)", error.get_type(py)))
}

/// What was asked for, in a form that no peer can forge a line of a log with.
pub(crate) fn request_line(head: &RequestHead) -> String {
    format!("{} {}", head.method().escape_ascii(), head.target().escape_ascii())
}
