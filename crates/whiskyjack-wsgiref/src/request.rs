//! A request that comes through a handler's streams: its head, its body, and the environ that they make.
//! Knows the handler's attributes, no socket: the streams may be anything.

use crate::native;
use pyo3::exceptions::{PyConnectionResetError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use whiskyjack_proto::body::{BodyLimits, Decoder};
use whiskyjack_proto::connection::{Intent, intent};
use whiskyjack_proto::error::Error;
use whiskyjack_proto::framing::RequestFraming;
use whiskyjack_proto::head::{RequestHead, Version};
use whiskyjack_proto::parse::{HeadLimits, HeadParser, Progress};

mod exception {
    #![allow(missing_docs)]
    pyo3::create_exception!(
        whiskyjack._whiskyjack.wsgiref,
        BadRequest,
        pyo3::exceptions::PyValueError,
        "A request that breaks a rule of HTTP; its arguments are the status that answers it, and which rule that is."
    );
}
pub use exception::BadRequest;

/// What the original reads of a line, and of lines; the head as a whole is bounded by both.
const LINE: usize = 65_536;
const FIELDS: usize = 100;
const LIMITS: HeadLimits =
    HeadLimits { line: LINE, fields: FIELDS, field: LINE, head: LINE * (FIELDS + 2) };

/// What surrounds the data of chunks; the body itself is the application's to bound, as in the original.
const BODY: BodyLimits = BodyLimits { extensions: 16 << 10, trailers: 8 << 10, body: u64::MAX };

fn bad(error: Error) -> PyErr {
    BadRequest::new_err((error.status(), error.to_string()))
}

/// The head of a request, whose first line has been read.
#[pyclass(module = "whiskyjack._whiskyjack.wsgiref", frozen)]
#[derive(Debug)]
pub struct RequestHeadReader {
    head: RequestHead,
    intent: Intent,
}

#[pymethods]
impl RequestHeadReader {
    /// Reads the fields from `rfile` up to the empty line. Lines may end in LF alone, as the original has it, and the end of the stream ends the
    /// head; all else is as strict as the server.
    #[new]
    fn new(first: &[u8], rfile: &Bound<'_, PyAny>) -> PyResult<RequestHeadReader> {
        let mut bytes = Vec::with_capacity(1024);
        append(&mut bytes, first, true);
        for _ in 0..=FIELDS + 1 {
            let line = rfile.call_method1(intern!(rfile.py(), "readline"), (LINE + 1,))?;
            let line = line.cast::<PyBytes>()?.as_bytes();
            if line.len() > LINE {
                return Err(bad(Error::FieldTooLong));
            }
            append(&mut bytes, line, false);
            if matches!(line, b"" | b"\n" | b"\r\n") {
                break;
            }
        }
        let mut head = RequestHead::default();
        match HeadParser::default().parse(&bytes, &LIMITS, &mut head).map_err(bad)? {
            Progress::Complete(_) => {}
            Progress::Partial => return Err(bad(Error::TooManyFields)),
        }
        let intent = intent(&head).map_err(bad)?;
        Ok(RequestHeadReader { head, intent })
    }

    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        latin1(py, self.head.method())
    }

    /// Path and query; `*` for a request that asks for no resource.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let path = self.head.path_and_query();
        // Clients take what begins with two slashes for a host, should it be sent back to them in a Location.
        let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
        latin1(py, &path[slashes.saturating_sub(1)..])
    }

    #[getter]
    fn version(&self) -> &'static str {
        match self.head.version() {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }

    /// Whether the client lets the connection serve another request.
    #[getter]
    fn persistent(&self) -> bool {
        self.intent.persistent
    }

    /// Whether the client waits to be told that it may send the body.
    #[getter]
    fn expects_continue(&self) -> bool {
        self.intent.expects_continue
    }

    /// The fields in the order in which they came.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (name, value) in self.head.fields() {
            list.append(PyTuple::new(py, [latin1(py, name)?, latin1(py, value)?])?)?;
        }
        Ok(list)
    }

    /// The body, which the same stream brings.
    fn body(&self, rfile: Bound<'_, PyAny>) -> PyResult<RequestBody> {
        let decoder = Decoder::new(self.intent.framing, BODY).map_err(bad)?;
        let done = self.intent.framing == RequestFraming::Empty;
        Ok(RequestBody { rfile: rfile.unbind(), decoder, done, data: Vec::new(), start: 0 })
    }
}

/// Adds a line with the end that the parser wants. Bytes that no target may hold, but that the original takes, are encoded in the first.
fn append(bytes: &mut Vec<u8>, line: &[u8], is_first: bool) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    for &byte in line {
        match byte {
            0x80.. if is_first => bytes.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => bytes.push(byte),
        }
    }
    bytes.extend_from_slice(b"\r\n");
}

fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Ok(PyString::new(py, text).into_any()),
        _ => PyBytes::new(py, bytes).call_method1("decode", ("iso-8859-1",)),
    }
}

/// A request's body as a file that ends where the body does.
#[pyclass(module = "whiskyjack._whiskyjack.wsgiref")]
#[derive(Debug)]
pub struct RequestBody {
    rfile: Py<PyAny>,
    decoder: Decoder,
    done: bool,
    data: Vec<u8>,
    /// where what has not been read begins
    start: usize,
}

/// How much is read of the stream at a time.
const STEP: usize = 64 << 10;

impl RequestBody {
    fn unread(&self) -> &[u8] {
        &self.data[self.start..]
    }

    fn take<'py>(&mut self, py: Python<'py>, count: usize) -> Bound<'py, PyBytes> {
        let taken = PyBytes::new(py, &self.unread()[..count]);
        self.start += count;
        if self.start == self.data.len() {
            self.data.clear();
            self.start = 0;
        }
        taken
    }

    /// Reads on; false at the end.
    fn fill(&mut self, py: Python<'_>) -> PyResult<bool> {
        if self.done {
            return Ok(false);
        }
        let most = match self.decoder.remaining() {
            Some(left) => STEP.min(usize::try_from(left).unwrap_or(STEP)),
            None => STEP,
        };
        let rfile = self.rfile.bind(py);
        // read() would wait for all that was asked for, although the end may be in what is there.
        let piece = match rfile.getattr_opt(intern!(py, "read1"))? {
            Some(read1) => read1.call1((most,))?,
            None => rfile.call_method1(intern!(py, "read"), (1,))?,
        };
        let mut piece = piece.cast::<PyBytes>()?.as_bytes();
        if piece.is_empty() {
            return Err(PyConnectionResetError::new_err(
                "the client left before its request's body was complete",
            ));
        }
        self.data.drain(..self.start);
        self.start = 0;
        while !piece.is_empty() && !self.done {
            let step = self.decoder.decode(piece).map_err(bad)?;
            self.data.extend_from_slice(&piece[step.data.clone()]);
            self.done = step.done;
            piece = &piece[step.consumed..];
        }
        Ok(true)
    }
}

/// What Python's files take for a size: None and negative numbers are as much as there is.
fn limit(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX)
}

#[pymethods]
impl RequestBody {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&mut self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        while self.unread().len() < limit && self.fill(py)? {}
        Ok(self.take(py, limit.min(self.unread().len())))
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(
        &mut self,
        py: Python<'py>,
        size: Option<isize>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        let mut searched = 0;
        loop {
            let within = self.unread().len().min(limit);
            let found = self.unread()[searched..within].iter().position(|&byte| byte == b'\n');
            if let Some(index) = found {
                return Ok(self.take(py, searched + index + 1));
            }
            if within == limit || !self.fill(py)? {
                return Ok(self.take(py, within));
            }
            searched = within;
        }
    }

    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(
        &mut self,
        py: Python<'py>,
        hint: Option<isize>,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let enough = hint.and_then(|hint| usize::try_from(hint).ok()).filter(|&hint| hint > 0);
        let mut lines = Vec::new();
        let mut total = 0;
        while enough.is_none_or(|enough| total < enough) {
            let line = self.readline(py, None)?;
            if line.as_bytes().is_empty() {
                break;
            }
            total += line.as_bytes().len();
            lines.push(line);
        }
        Ok(lines)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }
}

/// The environ of a handler's request: the server's, and what the request says.
#[pyfunction]
pub fn request_environ<'py>(handler: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = handler.py();
    let base = handler.getattr("server")?.getattr("base_environ")?;
    let environ = base.call_method0("copy")?.cast_into::<PyDict>()?;
    let set = |key: &str, value: Bound<'_, PyAny>| environ.set_item(key, value);
    set("SERVER_PROTOCOL", handler.getattr("request_version")?)?;
    set("SERVER_SOFTWARE", handler.getattr("server_version")?)?;
    set("REQUEST_METHOD", handler.getattr("command")?)?;
    let target = handler.getattr("path")?;
    let Ok((path, _, query)) = target.call_method1("partition", ("?",))?.extract::<(
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
        Bound<'_, PyAny>,
    )>() else {
        return Err(PyValueError::new_err("the handler's path is no str"));
    };
    let unquote = py.import("urllib.parse")?.getattr("unquote")?;
    set("PATH_INFO", unquote.call1((path, "iso-8859-1"))?)?;
    set("QUERY_STRING", query)?;
    set("REMOTE_ADDR", handler.getattr("client_address")?.get_item(0)?)?;
    let headers = handler.getattr("headers")?;
    let kind = match headers.call_method1("get", ("content-type",))? {
        kind if kind.is_none() => headers.call_method0("get_content_type")?,
        kind => kind,
    };
    set("CONTENT_TYPE", kind)?;
    let length = headers.call_method1("get", ("content-length",))?;
    if length.is_truthy()? {
        set("CONTENT_LENGTH", length)?;
    }
    for item in headers.call_method0("items")?.try_iter()? {
        let (name, value) = native::pair(&item?)?;
        let name = name.str()?.to_string_lossy().to_uppercase();
        // In an environ `_` could pass for `-`, and Proxy for what the operating system calls HTTP_PROXY.
        if name.contains('_') || name == "PROXY" {
            continue;
        }
        let name = name.replace('-', "_");
        // The server's own words, and what is there under another name.
        if environ.contains(&name)? {
            continue;
        }
        let (key, value) = (format!("HTTP_{name}"), value.call_method0("strip")?);
        match environ.get_item(&key)? {
            Some(before) => environ.set_item(&key, before.add(",")?.add(value)?)?,
            None => environ.set_item(&key, value)?,
        }
    }
    Ok(environ)
}
