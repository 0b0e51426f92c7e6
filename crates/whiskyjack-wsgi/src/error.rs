//! What the application sees when its peer is at fault, and how that is told from its own faults.

use pyo3::exceptions::{PyOSError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use std::io;
use std::io::ErrorKind::{
    BrokenPipe, ConnectionAborted, ConnectionReset, FileTooLarge, InvalidData, TimedOut,
    UnexpectedEof,
};
use whiskyjack_server::exchange::Failure;

mod exception {
    #![allow(missing_docs)]
    pyo3::create_exception!(
        whiskyjack,
        ClientDisconnected,
        pyo3::exceptions::PyConnectionResetError,
        "The client went away before its request was whole or the response was sent."
    );
}
pub use exception::ClientDisconnected;

/// The exception for a body that can't be read (see `Exchange::read` for the kinds).
pub(crate) fn read_error(error: &io::Error) -> PyErr {
    let number = number(error);
    match error.kind() {
        TimedOut => PyTimeoutError::new_err((
            number,
            format!("the client sent no request body for too long: {error}"),
        )),
        FileTooLarge => PyOSError::new_err((
            number,
            format!("the request body is larger than the server allows: {error}"),
        )),
        InvalidData => {
            PyOSError::new_err((number, format!("the request body is malformed: {error}")))
        }
        _ if number == libc::ECONNRESET => ClientDisconnected::new_err((
            number,
            format!("the client went away before the request body was whole: {error}"),
        )),
        _ => PyOSError::new_err((number, format!("the request body could not be read: {error}"))),
    }
}

/// The exception for a response that can't be sent.
pub(crate) fn write_error(failure: &Failure) -> PyErr {
    match failure {
        Failure::Disconnected(error) if error.kind() == TimedOut => PyTimeoutError::new_err((
            number(error),
            format!("the response could not be sent in time: {error}"),
        )),
        Failure::Disconnected(error) => ClientDisconnected::new_err((
            number(error),
            format!("the client went away before the response was sent: {error}"),
        )),
        Failure::Application => PyOSError::new_err((libc::EIO, "the response could not be sent")),
    }
}

/// The `errno` of the exception that a fault of the peer becomes.
fn number(error: &io::Error) -> i32 {
    match error.kind() {
        ConnectionReset | ConnectionAborted | UnexpectedEof | BrokenPipe => libc::ECONNRESET,
        TimedOut => libc::ETIMEDOUT,
        FileTooLarge => libc::EFBIG,
        InvalidData => libc::EPROTO,
        _ => error.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Whether an exception is what [`read_error`] or [`write_error`] made of this fault.
pub(crate) fn is_of(py: Python<'_>, error: &PyErr, fault: &io::Error) -> bool {
    let number = number(fault);
    if number == libc::ECONNRESET {
        // The application may have connections of its own, which break too.
        return error.is_instance_of::<ClientDisconnected>(py);
    }
    error.is_instance_of::<PyOSError>(py)
        && error
            .value(py)
            .getattr(pyo3::intern!(py, "errno"))
            .is_ok_and(|found| found.eq(number).unwrap_or(false))
}

/// The exception for an object of a request that is used after it.
pub(crate) fn finished() -> PyErr {
    PyValueError::new_err("I/O operation on a finished request")
}

/// The same error once more, as far as it can be said twice.
pub(crate) fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
