//! Ends a process that the application forked, and that came back to the server instead of ending itself.
//! Knows no request: whoever is about to answer one asks whether this process is the one that was called.
//!
//! Such a child has its parent's sockets. If it went on, it would answer its parent's client a second time, and then take
//! other connections away from its parent.

use crate::raw;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

/// Where a call of the application began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Birthplace(u32);

impl Default for Birthplace {
    fn default() -> Birthplace {
        Birthplace::here()
    }
}

impl Birthplace {
    pub(crate) fn here() -> Birthplace {
        Birthplace(raw::forks())
    }

    fn is_here(self) -> bool {
        self == Birthplace::here()
    }

    /// Ends the process if it is a child of the one in which the call began.
    pub(crate) fn hold(self) {
        if !self.is_here() {
            log::error!(
                "process {}, which the application forked, came back to the server: it ends here. A child must end itself, with os._exit()",
                std::process::id()
            );
            raw::end_process(1);
        }
    }

    /// The same for what the application raised: `sys.exit()` ends a child as it means to.
    pub(crate) fn hold_raised(self, py: Python<'_>, error: &PyErr) {
        if !self.is_here() && error.is_instance_of::<PySystemExit>(py) {
            raw::end_process(exit_code(error.value(py)));
        }
        self.hold();
    }
}

/// What Python's own end would make of a SystemExit.
fn exit_code(exit: &Bound<'_, PyAny>) -> i32 {
    match exit.getattr(pyo3::intern!(exit.py(), "code")) {
        Ok(code) if code.is_none() => 0,
        Ok(code) => code.extract().unwrap_or(1),
        Err(_) => 1,
    }
}
