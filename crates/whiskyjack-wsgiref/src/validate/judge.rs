//! Who is told of what was found, and where it was found.

use super::place::Place;
use super::violation::{self, Breach, Fault, Journal};
use pyo3::prelude::*;

/// For the checks of one call.
pub(crate) struct Judge<'a, 'py> {
    pub(crate) py: Python<'py>,
    pub(crate) journal: Option<&'a Journal>,
    pub(crate) place: Place<'a, 'py>,
}

impl<'a, 'py> Judge<'a, 'py> {
    /// For what the Python code that has called us is answerable for.
    pub(crate) fn of_caller(py: Python<'py>, journal: Option<&'a Journal>) -> Judge<'a, 'py> {
        Judge { py, journal, place: Place::Caller }
    }

    /// The exception for a fault.
    pub(crate) fn raised(&self, fault: impl Into<Fault>) -> PyErr {
        violation::raised(self.py, self.journal, fault.into(), &self.place)
    }

    /// Warns, which raises if the warnings filter says so.
    pub(crate) fn warn(&self, breach: Breach) -> PyResult<()> {
        violation::warn(self.py, self.journal, breach, &self.place)
    }
}
