//! `start_response` and the `write` that it returns, `wsgi.early_hints` and `whiskyjack.client_disconnected`.
//! They are methods bound to one small object a request, which holds the lease.

use crate::error;
use crate::lease::{Draft, Lease};
use crate::raw::latin1_bytes;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString, PyTraceback, PyTuple};
use std::mem;
use whiskyjack_proto::head::ResponseHead;
use whiskyjack_server::exchange::{Block, Exchange, Failure, Kept, Sent};

/// One call of the application: what its response is made with.
#[pyclass(frozen, module = "whiskyjack")]
#[derive(Default)]
pub(crate) struct StartResponse {
    pub(crate) lease: Lease,
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn start_response<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let lease = &slf.get().lease;
        let exc_info = exc_info.filter(|exc_info| !exc_info.is_none());
        // The draft's own head is filled outside of the lock: errors are objects, and to make one may run a finalizer.
        let phase = lease.with(py, |exchange, draft| {
            if !draft.is_started() {
                return Phase::Silent(mem::take(&mut draft.head));
            }
            if exchange.is_started() { Phase::Sent } else { Phase::Drafted }
        })?;
        let mut head = match (phase, exc_info) {
            (Phase::Silent(head), _) => head,
            (Phase::Drafted, Some(_)) => ResponseHead::default(),
            (Phase::Sent, Some(exc_info)) => return Err(reraised(exc_info)),
            (Phase::Drafted | Phase::Sent, None) => {
                return Err(PyAssertionError::new_err(
                    "start_response() was called a second time without exc_info (PEP 3333)",
                ));
            }
        };
        head.clear();
        if let Some(exc_info) = exc_info {
            check_exc_info(exc_info)?;
        }
        set_status(&mut head, status)?;
        push_headers(&mut head, headers, "headers")?;
        // Another thread of the application may have been faster; then its head stands, as if this call had come second.
        let write = lease.with(py, |exchange, draft| {
            let is_free = !exchange.is_started() && (exc_info.is_some() || !draft.is_started());
            if is_free {
                draft.head = head;
            }
            is_free.then(|| draft.write.as_ref().map(|write| write.bind(py).clone()))
        })?;
        match write {
            Some(Some(write)) => Ok(write),
            Some(None) => slf.getattr(pyo3::intern!(py, "write")),
            None => {
                Err(PyAssertionError::new_err("start_response() was called by two threads at once"))
            }
        }
    }

    /// PEP 3333's imperative way to send body bytes.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(data) = data.cast::<PyBytes>() else {
            return Err(PyTypeError::new_err(format!(
                "write() needs bytes, not {}",
                type_and_value(data)
            )));
        };
        let sent = self.lease.with(py, |exchange, draft| {
            if !draft.is_started() {
                return Err(Failure::Application); // write can be had without start_response only through a trick
            }
            draft.birthplace.hold();
            if !exchange.is_started() {
                exchange.start(&draft.head, None);
            }
            send(exchange, data).inspect_err(|failure| remember(draft, failure))
        })?;
        match sent {
            Ok(Sent::Taken) => Ok(()),
            Ok(Sent::Full) => {
                wait_writable(py, &self.lease)?.map_err(|failure| error::write_error(&failure))
            }
            Err(failure) => Err(error::write_error(&failure)),
        }
    }

    /// Sends a 103 response with these fields (RFC 8297), before the final response has begun.
    fn early_hints(&self, py: Python<'_>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut head = ResponseHead::default();
        head.set_status(b"103 Early Hints")
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        push_headers(&mut head, headers, "early hints")?;
        let sent = self.lease.with(py, |exchange, draft| {
            (!exchange.is_started())
                .then(|| exchange.interim(&head).inspect_err(|failure| remember(draft, failure)))
        })?;
        match sent {
            None => Err(PyRuntimeError::new_err("early hints came after the response had begun")),
            Some(Ok(())) => Ok(()),
            Some(Err(failure)) => Err(error::write_error(&failure)),
        }
    }

    /// Whether the client is known to be gone.
    fn client_disconnected(&self, py: Python<'_>) -> PyResult<bool> {
        self.lease.with(py, |exchange, _| exchange.is_disconnected())
    }
}

enum Phase {
    /// start_response was not called
    Silent(ResponseHead),
    /// it was, and nothing has been sent
    Drafted,
    /// the head is on its way
    Sent,
}

/// PEP 3333: after the head was sent, `exc_info` is raised anew, so that the application's error ends the response.
fn reraised(exc_info: &Bound<'_, PyAny>) -> PyErr {
    let py = exc_info.py();
    if let Err(error) = check_exc_info(exc_info) {
        return error;
    }
    let raise = || -> PyResult<PyErr> {
        let error = PyErr::from_value(exc_info.get_item(1)?);
        if let Ok(traceback) = exc_info.get_item(2)?.cast_into::<PyTraceback>() {
            error.set_traceback(py, Some(traceback));
        }
        Ok(error)
    };
    raise().unwrap_or_else(|error| error)
}

fn check_exc_info(exc_info: &Bound<'_, PyAny>) -> PyResult<()> {
    let is_right = exc_info.cast::<PyTuple>().is_ok_and(|exc_info| {
        exc_info.len() == 3
            && exc_info
                .get_item(1)
                .is_ok_and(|value| value.is_instance_of::<pyo3::exceptions::PyBaseException>())
    });
    if is_right {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "start_response(): exc_info must be what sys.exc_info() gives inside an except block, not {}",
        type_and_value(exc_info)
    )))
}

fn set_status(head: &mut ResponseHead, status: &Bound<'_, PyAny>) -> PyResult<()> {
    let bytes = native(status).map_err(|problem| problem.error("status", status))?;
    head.set_status(bytes).map_err(|error| {
        PyValueError::new_err(format!("start_response(): {error}: {}", value(status)))
    })?;
    if head.status() < 200 {
        return Err(PyValueError::new_err(format!(
            "start_response(): a status below 200 can't be the final one: {}",
            value(status)
        )));
    }
    Ok(())
}

fn push_headers(head: &mut ResponseHead, headers: &Bound<'_, PyAny>, what: &str) -> PyResult<()> {
    let Ok(headers) = headers.cast::<PyList>() else {
        return Err(PyTypeError::new_err(format!(
            "{what} must be a list of (name, value) tuples (PEP 3333), not {}",
            type_and_value(headers)
        )));
    };
    for (position, item) in headers.iter().enumerate() {
        let pair = item.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2);
        let Some(pair) = pair else {
            return Err(PyTypeError::new_err(format!(
                "{what}[{position}] must be a (name, value) tuple, not {}",
                type_and_value(&item)
            )));
        };
        let (name, content) = (pair.get_borrowed_item(0)?, pair.get_borrowed_item(1)?);
        let name_bytes = native(&name)
            .map_err(|problem| problem.error(&format!("{what}[{position}]: name"), &name))?;
        let content_bytes = native(&content).map_err(|problem| {
            problem.error(&format!("{what}[{position}]: value of {}", value(&name)), &content)
        })?;
        head.push(name_bytes, content_bytes).map_err(|error| {
            PyValueError::new_err(format!(
                "{what}[{position}]: {error}: ({}, {})",
                value(&name),
                value(&content)
            ))
        })?;
    }
    Ok(())
}

/// Why an object is no native string.
enum Problem {
    Type,
    Range,
}

impl Problem {
    fn error(self, what: &str, found: &Bound<'_, PyAny>) -> PyErr {
        match self {
            Problem::Type => {
                PyTypeError::new_err(format!("{what} must be str, not {}", type_and_value(found)))
            }
            Problem::Range => PyValueError::new_err(format!(
                "{what} has a character that latin-1 lacks: {}",
                value(found)
            )),
        }
    }
}

fn native<'a>(text: &'a Bound<'_, PyAny>) -> Result<&'a [u8], Problem> {
    let text = text.cast::<PyString>().map_err(|_| Problem::Type)?;
    latin1_bytes(text).ok_or(Problem::Range)
}

/// `int: 200`, short enough for a log line.
pub(crate) fn type_and_value(object: &Bound<'_, PyAny>) -> String {
    if object.is_none() {
        return "None".to_owned();
    }
    format!("{}: {}", type_name(object), value(object))
}

pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .name()
        .map_or_else(|_| "an object".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn value(object: &Bound<'_, PyAny>) -> String {
    const LONGEST: usize = 120;
    let Ok(text) = object.repr() else {
        return "(no repr)".to_owned();
    };
    let text = text.to_string_lossy();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

/// Bytes of the application, sent by reference and kept alive while the socket has not taken them.
struct Piece<'a, 'py>(&'a Bound<'py, PyBytes>);

impl Block for Piece<'_, '_> {
    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn keep(&self) -> Box<dyn Kept> {
        if self.0.is_exact_instance_of::<PyBytes>() {
            Box::new(KeptPiece(PyBackedBytes::from(self.0.clone())))
        } else {
            // A subclass may have a finalizer in Python, and this may be dropped where no Python code must run.
            Box::new(self.0.as_bytes().to_vec())
        }
    }
}

/// Dropped on a thread that is not attached, PyO3 lets go of the object when one attaches the next time.
struct KeptPiece(PyBackedBytes);

impl Kept for KeptPiece {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Sends a piece of the body.
pub(crate) fn send(
    exchange: &mut dyn Exchange,
    data: &Bound<'_, PyBytes>,
) -> Result<Sent, Failure> {
    exchange.write(&Piece(data))
}

/// Sends the last piece of the body.
pub(crate) fn send_last(
    exchange: &mut dyn Exchange,
    data: &Bound<'_, PyBytes>,
) -> Result<(), Failure> {
    exchange.write_last(&Piece(data))
}

/// Waits, detached, until the server takes more.
pub(crate) fn wait_writable(py: Python<'_>, lease: &Lease) -> PyResult<Result<(), Failure>> {
    lease.wait(py, |exchange, draft| {
        exchange.wait_writable().inspect_err(|failure| remember(draft, failure))
    })
}

/// Keeps why the peer is gone, so that what the application raises of it is not taken for its own fault.
fn remember(draft: &mut Draft, failure: &Failure) {
    if let Failure::Disconnected(error) = failure {
        draft.fault = Some(error::again(error));
    }
}
