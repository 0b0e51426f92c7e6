//! An environ for tests, of whatever is missing from one. Its data is made up, and no server's.

use crate::uri::guess_scheme;
use pyo3::intern;
use pyo3::prelude::*;

/// Update 'environ' with trivial defaults for testing purposes.
///
/// What WSGI requires and 'environ' lacks is added: HTTP_HOST, SERVER_NAME, SERVER_PORT, REQUEST_METHOD, SCRIPT_NAME, PATH_INFO and
/// all of the wsgi.* variables. What is there already stays.
///
/// This is for unit tests of servers and applications. It should *not* be used by actual ones, since the data is fake!
#[pyfunction]
pub fn setup_testing_defaults(environ: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = environ.py();
    let default = |key: &str, value: Bound<'_, PyAny>| -> PyResult<()> {
        environ.call_method1(intern!(py, "setdefault"), (key, value)).map(drop)
    };
    let text = |text: &str| pyo3::types::PyString::new(py, text).into_any();
    let io = py.import(intern!(py, "io"))?;

    default("SERVER_NAME", text("127.0.0.1"))?;
    default("SERVER_PROTOCOL", text("HTTP/1.0"))?;
    default("HTTP_HOST", environ.get_item("SERVER_NAME")?)?;
    default("REQUEST_METHOD", text("GET"))?;
    if !environ.contains("SCRIPT_NAME")? && !environ.contains("PATH_INFO")? {
        default("SCRIPT_NAME", text(""))?;
        default("PATH_INFO", text("/"))?;
    }
    default("wsgi.version", (1, 0).into_pyobject(py)?.into_any())?;
    for key in ["wsgi.run_once", "wsgi.multithread", "wsgi.multiprocess"] {
        default(key, 0_i32.into_pyobject(py)?.into_any())?;
    }
    default("wsgi.input", io.getattr("BytesIO")?.call0()?)?;
    default("wsgi.errors", io.getattr("StringIO")?.call0()?)?;
    default("wsgi.url_scheme", text(guess_scheme(environ)?))?;
    let scheme = environ.get_item("wsgi.url_scheme")?;
    if scheme.eq("http")? {
        default("SERVER_PORT", text("80"))?;
    } else if scheme.eq("https")? {
        default("SERVER_PORT", text("443"))?;
    }
    Ok(())
}
