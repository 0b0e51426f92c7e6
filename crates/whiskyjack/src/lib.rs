//! The program: settings, sockets, signals and logs around a server, and the extension module that Python imports.

pub mod access_log;
pub mod activation;
pub mod application;
pub mod banner;
pub mod board;
pub mod check;
pub mod choices;
pub mod command;
pub mod credentials;
pub mod development;
pub mod embedded;
pub mod engine;
pub mod environment;
pub mod identity;
pub mod logs;
pub mod migrate;
pub mod notify;
pub mod program;
pub mod reference;
pub mod reloader;
pub mod remote;
pub mod settings;
pub mod signals;
pub mod sockets;
pub mod sources;
pub mod spec;
pub mod supervisor;
mod sys;
pub mod title;
pub mod traceback;
pub mod values;
pub mod worker;

/// What Python sees. `_whiskyjack.pyi` mirrors it, and a test holds the two together.
#[pyo3::pymodule(gil_used = false)]
mod _whiskyjack {
    use pyo3::prelude::*;
    use std::ffi::OsString;

    #[pymodule_export]
    use crate::embedded::{Request, Server};
    #[pymodule_export]
    use crate::reloader::python::FileWatcher;
    #[pymodule_export]
    use whiskyjack_wsgiref::module;

    /// Runs the whiskyjack command and returns its exit code.
    #[pyfunction]
    fn main(py: Python<'_>, argv: Vec<OsString>) -> i32 {
        crate::program::main(py, argv)
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let request_timeout = module.py().get_type::<whiskyjack_wsgi::RequestTimeout>();
        module.add("RequestTimeout", request_timeout)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
