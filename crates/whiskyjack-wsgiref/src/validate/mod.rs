//! `validate`: middleware that holds an application, and its server, to PEP 3333.
//!
//! `rule` has the rules, each once. The checks (`environ`, `head`, `items`, `streams`, `start`, and `conversation` for what takes more than
//! one call) say what was done against which; `place` finds out by which code, and `violation` makes an exception of it. What the
//! original finds too is an AssertionError in the original's words, whose cause is the violation.

mod conversation;
mod environ;
mod head;
mod items;
mod judge;
mod middleware;
mod place;
mod rule;
mod start;
mod streams;
mod violation;

pub use items::{IteratorWrapper, PartialIteratorWrapper};
pub use middleware::{Validator, validator};
pub use rule::{Party, Rule};
pub use start::WriteWrapper;
pub use streams::{ErrorWrapper, InputWrapper};
pub use violation::{Finding, Journal, Violation, WSGIWarning};

use judge::Judge;
use pyo3::prelude::*;

/// Hold an environ to PEP 3333.
#[pyfunction]
pub fn check_environ(environ: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(environ.py(), None);
    environ::check(&judge, environ).map_err(|fault| judge.raised(fault))
}

/// Check that wsgi.input has its methods.
#[pyfunction]
pub fn check_input(wsgi_input: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(wsgi_input.py(), None);
    environ::check_input(wsgi_input).map_err(|fault| judge.raised(fault))
}

/// Check that wsgi.errors has its methods.
#[pyfunction]
pub fn check_errors(wsgi_errors: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(wsgi_errors.py(), None);
    environ::check_errors(wsgi_errors).map_err(|fault| judge.raised(fault))
}

/// Hold a status to PEP 3333.
#[pyfunction]
pub fn check_status(status: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(status.py(), None);
    head::check_status(&judge, status).map(drop).map_err(|fault| judge.raised(fault))
}

/// Hold the headers of a response to PEP 3333.
#[pyfunction]
pub fn check_headers(headers: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(headers.py(), None);
    head::check_headers(headers).map(drop).map_err(|fault| judge.raised(fault))
}

/// Check that there is a Content-Type where there is content, and only there.
#[pyfunction]
pub fn check_content_type(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(status.py(), None);
    head::check(&judge, status, headers).map(drop).map_err(|fault| judge.raised(fault))
}

/// Check that exc_info is None or what sys.exc_info() gives.
#[pyfunction]
pub fn check_exc_info(exc_info: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(exc_info.py(), None);
    head::check_exc_info(&judge, Some(exc_info)).map(drop).map_err(|fault| judge.raised(fault))
}

/// Check that what an application returns is no string.
#[pyfunction]
pub fn check_iterator(iterator: &Bound<'_, PyAny>) -> PyResult<()> {
    let judge = Judge::of_caller(iterator.py(), None);
    items::check_iterator(iterator).map_err(|fault| judge.raised(fault))
}
