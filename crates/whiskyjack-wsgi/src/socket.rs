//! The connection of a request that asks for a WebSocket, as `simple_websocket` and its like look it up in the environ. It is handed over
//! when something is first asked of it: an application that leaves it alone answers as ever.

use crate::environ::called_beside_others;
use crate::start_response::StartResponse;
use pyo3::exceptions::{PyAttributeError, PyConnectionError, PyOSError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};

/// A `socket.socket` that there is once it is used.
#[pyclass(frozen, name = "Socket", module = "whiskyjack")]
pub(crate) struct LentSocket {
    request: Py<StartResponse>,
    socket: PyOnceLock<Py<PyAny>>,
}

/// Offers the connection in the environ, under the key of Werkzeug's development server: what answers under that one returns a response
/// as ever, where for gunicorn's it raises StopIteration through every middleware.
pub(crate) fn offer(
    environ: &Bound<'_, PyDict>,
    request: &Bound<'_, StartResponse>,
) -> PyResult<()> {
    let socket = LentSocket { request: request.clone().unbind(), socket: PyOnceLock::new() };
    let py = environ.py();
    called_beside_others(environ)?;
    environ.set_item(intern!(py, "werkzeug.socket"), Bound::new(py, socket)?)
}

/// Whether an exception is only how an application ends that has had the connection.
pub(crate) fn is_an_end(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyStopIteration>(py) || error.is_instance_of::<PyConnectionError>(py)
}

#[pymethods]
impl LentSocket {
    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        // Debuggers and templates look for such names in everything, and do not mean to take it.
        if name.to_string_lossy().starts_with("__") {
            return Err(PyAttributeError::new_err(name.clone().unbind()));
        }
        self.socket(name.py())?.bind(name.py()).getattr(name)
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.socket(py)?.bind(py).call_method0(intern!(py, "__enter__"))
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyAny>) -> PyResult<()> {
        self.socket(py)?.bind(py).call_method0(intern!(py, "close")).map(drop)
    }
}

impl LentSocket {
    fn socket(&self, py: Python<'_>) -> PyResult<&Py<PyAny>> {
        self.socket.get_or_try_init(py, || {
            let lease = &self.request.get().lease;
            let taken = lease.wait(py, |exchange, _| exchange.take_socket())?;
            let own = taken.map_err(|error| match error.kind() {
                io::ErrorKind::Unsupported => PyOSError::new_err(
                    "the connection cannot be taken over: its response has begun already",
                ),
                _ => PyErr::from(error),
            })?;
            let named = PyDict::new(py);
            named.set_item(intern!(py, "fileno"), own.as_raw_fd())?;
            let socket = py.import("socket")?.getattr("socket")?.call((), Some(&named))?;
            // It is the object's from here on.
            let _ = own.into_raw_fd();
            // Whatever the process has for a default: nobody who uses this expects one.
            socket.call_method1(intern!(py, "settimeout"), (py.None(),))?;
            Ok(socket.unbind())
        })
    }
}
