//! `wsgi.input`: the request's body as a file. All ways to read it agree, and its end is `b""` for ever.

use crate::error;
use crate::lease::Draft;
use crate::raw;
use crate::start_response::StartResponse;
use memchr::memchr;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::io;
use whiskyjack_server::exchange::Exchange;

/// How many bytes are read from the exchange at a time where no number was asked for.
const STEP: usize = 64 * 1024;

/// Body bytes on their way from the exchange to the application, where they can't be taken from its memory directly.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    buffer: Vec<u8>,
    /// where the unread bytes of the buffer begin
    start: usize,
}

impl Intake {
    fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.unread()[..count].to_vec();
        self.skip(count);
        taken
    }

    fn skip(&mut self, count: usize) {
        self.start += count;
        if self.is_empty() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// Reads on until `limit` bytes or the end.
    fn read(&mut self, exchange: &mut dyn Exchange, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.take(limit.min(self.unread().len()));
        while bytes.len() < limit {
            let length = bytes.len();
            bytes.resize(length + STEP.min(limit - length), 0);
            let count = exchange.read(&mut bytes[length..])?;
            bytes.truncate(length + count);
            if count == 0 {
                break;
            }
        }
        Ok(bytes)
    }

    /// Reads on until after a line feed, `limit` bytes or the end.
    fn read_line(&mut self, exchange: &mut dyn Exchange, limit: usize) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let unread = self.unread();
            let within = unread.len().min(limit);
            if let Some(index) = memchr(b'\n', &unread[searched..within]) {
                return Ok(self.take(searched + index + 1));
            }
            if within == limit || self.fill(exchange)? == 0 {
                return Ok(self.take(within));
            }
            searched = within;
        }
    }

    fn fill(&mut self, exchange: &mut dyn Exchange) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + STEP, 0);
        let count = exchange.read(&mut self.buffer[length..]);
        self.buffer.truncate(length + *count.as_ref().unwrap_or(&0));
        count
    }
}

/// What a call wants to read: bytes, or a line, up to a number of bytes.
#[derive(Clone, Copy)]
enum Wish {
    Bytes(usize),
    Line(usize),
}

impl Wish {
    /// How many of these bytes fulfil the wish; `None` if it needs more, or the end.
    fn within(self, bytes: &[u8]) -> Option<usize> {
        let (Wish::Bytes(limit) | Wish::Line(limit)) = self;
        if let Wish::Line(_) = self
            && let Some(index) = memchr(b'\n', &bytes[..bytes.len().min(limit)])
        {
            return Some(index + 1);
        }
        (limit <= bytes.len()).then_some(limit)
    }
}

/// `wsgi.input`.
#[pyclass(frozen, module = "whiskyjack")]
pub(crate) struct Input {
    /// has the lease
    request: Py<StartResponse>,
}

impl Input {
    pub(crate) fn new(request: Py<StartResponse>) -> Input {
        Input { request }
    }

    fn take<'py>(&self, py: Python<'py>, wish: Wish) -> PyResult<Bound<'py, PyBytes>> {
        let lease = &self.request.get().lease;
        // A bytes object is not tracked by the garbage collector: to make one under the lock runs no Python code.
        if let Some(bytes) = lease.with(py, |exchange, draft| peek(py, exchange, draft, wish))? {
            return Ok(bytes);
        }
        let result = lease.wait(py, |exchange, draft| {
            let result = match wish {
                Wish::Bytes(limit) => draft.intake.read(exchange, limit),
                Wish::Line(limit) => draft.intake.read_line(exchange, limit),
            };
            result.inspect_err(|error| draft.fault = Some(error::again(error)))
        })?;
        match result {
            Ok(bytes) => Ok(PyBytes::new(py, &bytes)),
            Err(error) => Err(error::read_error(&error)),
        }
    }
}

/// Takes what is wished for out of memory, if it lies there: as the whole rest of the body, or read ahead.
fn peek<'py>(
    py: Python<'py>,
    exchange: &mut dyn Exchange,
    draft: &mut Draft,
    wish: Wish,
) -> Option<Bound<'py, PyBytes>> {
    let intake = &mut draft.intake;
    if !intake.is_empty() {
        let count = wish.within(intake.unread())?;
        let bytes = PyBytes::new(py, &intake.unread()[..count]);
        intake.skip(count);
        return Some(bytes);
    }
    let rest = exchange.peek()?;
    let count = wish.within(rest).unwrap_or(rest.len());
    let bytes = PyBytes::new(py, &rest[..count]);
    exchange.advance(count);
    Some(bytes)
}

/// The limit that an optional size argument stands for: `None` and negative numbers are no limit.
fn limit(size: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
    match size {
        None => Ok(usize::MAX),
        Some(size) if size.is_none() => Ok(usize::MAX),
        Some(size) => Ok(usize::try_from(size.extract::<isize>()?).unwrap_or(usize::MAX)),
    }
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.take(py, Wish::Bytes(limit(size)?))
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(
        &self,
        py: Python<'py>,
        size: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.take(py, Wish::Line(limit(size)?))
    }

    /// Lines, until at least `hint` bytes have been read. As for files, 0 is no hint.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(
        &self,
        py: Python<'py>,
        hint: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let hint = match limit(hint)? {
            0 => usize::MAX,
            hint => hint,
        };
        let lines = PyList::empty(py);
        let mut total = 0;
        while total < hint {
            let line = self.take(py, Wish::Line(usize::MAX))?;
            if line.as_bytes().is_empty() {
                break;
            }
            total += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = PyBuffer::<u8>::get(buffer)
            .map_err(|error| PyTypeError::new_err(format!("readinto() needs a buffer: {error}")))?;
        let Some(capacity) = raw::capacity(&buffer) else {
            return Err(PyBufferError::new_err("readinto() needs a writable contiguous buffer"));
        };
        let bytes = self.take(py, Wish::Bytes(capacity))?;
        Ok(raw::write_front(py, &buffer, bytes.as_bytes()))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.take(py, Wish::Line(usize::MAX))?;
        Ok(if line.as_bytes().is_empty() { None } else { Some(line) })
    }

    fn readable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        false
    }

    fn seekable(&self) -> bool {
        false
    }

    fn isatty(&self) -> bool {
        false
    }

    /// Does nothing: PEP 3333 leaves the stream to the server. What wraps it calls this when it is collected.
    fn close(&self) {}

    fn flush(&self) {}

    #[getter]
    fn closed(&self) -> bool {
        false
    }
}
