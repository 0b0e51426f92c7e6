//! The objects that every call needs and few applications keep: made once for a connection, and given to its next request where
//! nobody has kept one. Which of them are in an environ, `environ` knows.

use crate::input::Input;
use crate::raw;
use crate::start_response::StartResponse;
use pyo3::intern;
use pyo3::prelude::*;

/// One call's objects: the lease, and what uses it.
pub(crate) struct Kit {
    pub(crate) request: Py<StartResponse>,
    pub(crate) start_response: Py<PyAny>,
    pub(crate) write: Py<PyAny>,
    pub(crate) early_hints: Py<PyAny>,
    pub(crate) client_disconnected: Py<PyAny>,
    pub(crate) input: Py<Input>,
    /// how many references there are to each while only we have any
    own: [isize; OBJECTS],
}

const OBJECTS: usize = 6;

impl Kit {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Kit> {
        let request = Bound::new(py, StartResponse::default())?;
        let method = |name| request.getattr(name).map(Bound::unbind);
        let mut kit = Kit {
            start_response: method(intern!(py, "start_response"))?,
            write: method(intern!(py, "write"))?,
            early_hints: method(intern!(py, "early_hints"))?,
            client_disconnected: method(intern!(py, "client_disconnected"))?,
            input: Py::new(py, Input::new(request.clone().unbind()))?,
            request: request.unbind(),
            own: [0; OBJECTS],
        };
        kit.own = kit.references(py);
        Ok(kit)
    }

    /// Whether another request can have it: nobody can tell then that one had it before. `templates` of ours refer to what an environ
    /// shows, and nobody else may.
    pub(crate) fn is_unused(&self, py: Python<'_>, templates: isize) -> bool {
        // Without the GIL, counts of references are not what they seem.
        !cfg!(Py_GIL_DISABLED)
            && self
                .references(py)
                .iter()
                .zip(self.own)
                .zip(SHOWN)
                .all(|((now, own), is_shown)| *now == own + if is_shown { templates } else { 0 })
    }

    fn references(&self, py: Python<'_>) -> [isize; OBJECTS] {
        [
            raw::references(py, &self.request),
            raw::references(py, &self.start_response),
            raw::references(py, &self.write),
            raw::references(py, &self.early_hints),
            raw::references(py, &self.client_disconnected),
            raw::references(py, &self.input),
        ]
    }
}

/// Which of the objects, in the order of [`Kit::references`], an environ shows.
const SHOWN: [bool; OBJECTS] = [false, false, false, true, true, true];
