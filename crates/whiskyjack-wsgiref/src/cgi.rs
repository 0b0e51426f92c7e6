//! CGI's variables as PEP 3333's environ has them, and what a handler adds to make an environ of them.
//! Knows `os.environ` and the handler's methods, no application.

use crate::native;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Read environment, fixing HTTP variables: what came from the client is bytes as latin-1 in an environ, while `os.environ` has
/// decoded it as the file system's names are.
#[pyfunction]
pub fn read_environ(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let encoding = py.import("sys")?.call_method0("getfilesystemencoding")?;
    let environ = PyDict::new(py);
    let variables = py.import("os")?.getattr("environ")?.call_method0("items")?;
    for item in variables.try_iter()? {
        let (name, mut value) = native::pair(&item?)?;
        if is_of_request(&name)? {
            let arguments = (&encoding, intern!(py, "surrogateescape"));
            let bytes = value.call_method1(intern!(py, "encode"), arguments)?;
            value = bytes.call_method1(intern!(py, "decode"), (intern!(py, "iso-8859-1"),))?;
        }
        environ.set_item(name, value)?;
    }
    Ok(environ)
}

/// The variables that a server makes of what the client sent, apart from those with a prefix.
const OF_REQUEST: [&str; 10] = [
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "REQUEST_METHOD",
    "AUTH_TYPE",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "HTTPS",
    "REMOTE_USER",
    "REMOTE_IDENT",
];

fn is_of_request(name: &Bound<'_, PyAny>) -> PyResult<bool> {
    let name = native::encoded(name.cast::<PyString>()?)?;
    // Apache repeats the prefix with each internal redirection.
    let mut name = &name[..];
    while let Some(rest) = name.strip_prefix(b"REDIRECT_") {
        name = rest;
    }
    Ok(name.starts_with(b"HTTP_")
        || name.starts_with(b"SSL_")
        || OF_REQUEST.iter().any(|known| known.as_bytes() == name))
}

/// Takes off PATH_INFO the SCRIPT_NAME that IIS puts before it.
#[pyfunction]
pub fn strip_script_name(environ: &Bound<'_, PyDict>) -> PyResult<()> {
    let text = |key: &str| -> PyResult<Vec<u8>> {
        match environ.get_item(key)? {
            Some(value) => native::encoded(value.cast::<PyString>()?),
            None => Ok(Vec::new()),
        }
    };
    let (path, script) = (text("PATH_INFO")?, text("SCRIPT_NAME")?);
    match path.strip_prefix(&script[..]) {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => {
            environ.set_item("PATH_INFO", native::decoded(environ.py(), rest)?)
        }
        _ => Ok(()),
    }
}

/// Makes `handler.environ`: the operating system's variables, the handler's CGI variables over them, and WSGI's own.
#[pyfunction]
pub fn set_up_environ(handler: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = handler.py();
    let environ = handler.getattr("os_environ")?.call_method0("copy")?;
    handler.setattr("environ", &environ)?;
    handler.call_method0("add_cgi_vars")?;
    let set = |key: &str, value: Bound<'_, PyAny>| environ.set_item(key, value);
    set("wsgi.input", handler.call_method0("get_stdin")?)?;
    set("wsgi.errors", handler.call_method0("get_stderr")?)?;
    set("wsgi.version", handler.getattr("wsgi_version")?)?;
    set("wsgi.run_once", handler.getattr("wsgi_run_once")?)?;
    set("wsgi.url_scheme", handler.call_method0("get_scheme")?)?;
    set("wsgi.multithread", handler.getattr("wsgi_multithread")?)?;
    set("wsgi.multiprocess", handler.getattr("wsgi_multiprocess")?)?;
    let wrapper = handler.getattr("wsgi_file_wrapper")?;
    if !wrapper.is_none() {
        set("wsgi.file_wrapper", wrapper)?;
    }
    let software = handler.getattr("server_software")?;
    if handler.getattr("origin_server")?.is_truthy()? && software.is_truthy()? {
        environ.call_method1(intern!(py, "setdefault"), ("SERVER_SOFTWARE", software))?;
    }
    Ok(())
}

/// Whether the client takes a status line and fields: not if it spoke HTTP/0.9.
#[pyfunction]
pub fn is_modern(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    match native::ascii(protocol) {
        Some(protocol) => Ok(!protocol.eq_ignore_ascii_case("HTTP/0.9")),
        None if protocol.is_instance_of::<PyString>() => Ok(true),
        None => Err(PyTypeError::new_err(format!(
            "SERVER_PROTOCOL must be str, not {}",
            native::type_name(protocol)
        ))),
    }
}
