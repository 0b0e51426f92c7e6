//! A request as the hooks of an embedded server see it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use whiskyjack_proto::head::{RequestHead, Version};
use whiskyjack_server::exchange::Address;

/// What was asked for, and by whom. The hooks of one request are given the same object, so that one can keep something on it for another.
#[pyclass(module = "whiskyjack._whiskyjack", frozen, dict)]
#[derive(Debug)]
pub struct Request {
    peer: Address,
    /// `None` where what came was no request
    head: Option<RequestHead>,
}

impl Request {
    pub(super) fn new(peer: &Address, head: Option<&RequestHead>) -> Request {
        Request { peer: peer.clone(), head: head.cloned() }
    }
}

#[pymethods]
impl Request {
    /// `(host, port)` of the client; with flow and scope for IPv6, as in a socket's address. Empty text over a Unix socket.
    #[getter]
    fn client_address<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.peer {
            Address::Inet(std::net::SocketAddr::V4(address)) => {
                Ok((address.ip().to_string(), address.port()).into_pyobject(py)?.into_any())
            }
            Address::Inet(std::net::SocketAddr::V6(address)) => {
                let (flow, scope) = (address.flowinfo(), address.scope_id());
                let parts = (address.ip().to_string(), address.port(), flow, scope);
                Ok(parts.into_pyobject(py)?.into_any())
            }
            Address::Unix(_) => Ok(PyString::new(py, "").into_any()),
        }
    }

    /// `GET`; empty where no request could be read.
    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        latin1(py, self.head.as_ref().map_or(&[], RequestHead::method))
    }

    /// The request target as it was sent, such as `/path?query`; empty where no request could be read.
    #[getter]
    fn target<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        latin1(py, self.head.as_ref().map_or(&[], RequestHead::target))
    }

    /// `HTTP/1.1` or `HTTP/1.0`; empty where no request could be read.
    #[getter]
    fn version(&self) -> &'static str {
        match self.head.as_ref().map(RequestHead::version) {
            Some(Version::Http10) => "HTTP/1.0",
            Some(Version::Http11) => "HTTP/1.1",
            None => "",
        }
    }

    /// `GET /path HTTP/1.1`; empty where no request could be read.
    #[getter]
    fn line<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let Some(head) = &self.head else { return Ok(PyString::new(py, "")) };
        let line = [head.method(), b" ", head.target(), b" ", self.version().as_bytes()].concat();
        latin1(py, &line)
    }

    /// The fields in the order in which they came, as pairs of name and value.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (name, value) in self.head.iter().flat_map(RequestHead::fields) {
            list.append(PyTuple::new(py, [latin1(py, name)?, latin1(py, value)?])?)?;
        }
        Ok(list)
    }
}

/// Each byte as the character of the same number (PEP 3333's native strings).
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Ok(PyString::new(py, text)),
        _ => {
            let decoded = PyBytes::new(py, bytes).call_method1("decode", ("latin-1",))?;
            Ok(decoded.cast_into::<PyString>()?)
        }
    }
}

/// A dict of our own from any mapping.
pub(super) fn copied<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(mapping.py());
    dict.call_method1("update", (mapping,))?;
    Ok(dict)
}
