//! A broken rule: what is raised, and what is written down of it.

use super::place::Place;
use super::rule::{Party, Rule};
use pyo3::CastError;
use pyo3::create_exception;
use pyo3::exceptions::{PyAssertionError, PyWarning};
use pyo3::prelude::*;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

create_exception!(
    whiskyjack.wsgiref.validate,
    WSGIWarning,
    PyWarning,
    "Raised in response to WSGI-spec-related warnings."
);
create_exception!(
    whiskyjack.wsgiref.validate,
    Violation,
    PyAssertionError,
    "A broken rule: `section` and `rule` say which, `found` what was done, `where` by which code, `party` by which side."
);

/// What was done against a rule.
#[derive(Debug)]
pub(crate) struct Breach {
    rule: Rule,
    found: String,
    words: Option<String>,
}

impl Breach {
    pub(crate) fn new(rule: Rule, found: impl Into<String>) -> Breach {
        Breach { rule, found: found.into(), words: None }
    }

    /// What the original says of it: that is raised, and the violation is its cause. It may be nothing.
    pub(crate) fn in_words(self, words: impl Into<String>) -> Breach {
        Breach { words: Some(words.into()), ..self }
    }
}

/// Why a check has not passed.
#[derive(Debug)]
pub(crate) enum Fault {
    Broken(Breach),
    /// an exception out of an object that was looked at
    Python(PyErr),
}

impl From<Breach> for Fault {
    fn from(breach: Breach) -> Fault {
        Fault::Broken(breach)
    }
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Fault {
        Fault::Python(error)
    }
}

impl From<CastError<'_, '_>> for Fault {
    fn from(error: CastError<'_, '_>) -> Fault {
        Fault::Python(error.into())
    }
}

pub(crate) type Verdict<T = ()> = Result<T, Fault>;

/// One broken rule as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// which
    pub rule: Rule,
    /// what was done
    pub found: String,
    /// by which code: file, line and function
    pub place: Option<String>,
    /// a "should" of the standard, or what is only unusual
    pub is_warning: bool,
}

/// Writes down what a validator finds.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<Finding>>);

impl Journal {
    /// What was found since the last time.
    pub fn take(&self) -> Vec<Finding> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, finding: Finding) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }
}

/// The exception for a fault.
pub(crate) fn raised(
    py: Python<'_>,
    journal: Option<&Journal>,
    fault: Fault,
    place: &Place<'_, '_>,
) -> PyErr {
    let breach = match fault {
        Fault::Python(error) => return error,
        Fault::Broken(breach) => breach,
    };
    let place = place.describe(py);
    let Breach { rule, found, words } = breach;
    let violation = Violation::new_err(sentence(rule, &found, place.as_deref()));
    let value = violation.value(py);
    let attributes = [
        ("section", Some(rule.section())),
        ("rule", Some(rule.text())),
        ("found", Some(&found[..])),
        ("where", place.as_deref()),
        ("party", Some(rule.party().name())),
    ];
    for (name, text) in attributes {
        if let Err(error) = value.setattr(name, text) {
            return error;
        }
    }
    if let Some(journal) = journal {
        journal.note(Finding { rule, found, place, is_warning: false });
    }
    match words {
        None => violation,
        Some(words) => {
            let error = match words.is_empty() {
                true => PyAssertionError::new_err(()),
                false => PyAssertionError::new_err(words),
            };
            error.set_cause(py, Some(violation));
            error
        }
    }
}

/// Warns, with the original's words where there are any. Where a journal is kept, it stands there instead.
pub(crate) fn warn(
    py: Python<'_>,
    journal: Option<&Journal>,
    breach: Breach,
    place: &Place<'_, '_>,
) -> PyResult<()> {
    let place = place.describe(py);
    let Breach { rule, found, words } = breach;
    if let Some(journal) = journal {
        journal.note(Finding { rule, found, place, is_warning: true });
        return Ok(());
    }
    let words = words.unwrap_or_else(|| sentence(rule, &found, place.as_deref()));
    let words = CString::new(words.replace('\0', "\\0")).unwrap_or_default();
    PyErr::warn(py, &py.get_type::<WSGIWarning>(), &words, 1)
}

/// Where, what, and why not.
fn sentence(rule: Rule, found: &str, place: Option<&str>) -> String {
    let place = match (place, rule.party()) {
        (Some(place), _) => place,
        (None, Party::Application) => "the application",
        (None, Party::Server) => "the server",
    };
    format!("{place}: {found} ({}: {})", rule.section(), rule.text())
}
