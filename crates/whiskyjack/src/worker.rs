//! Serves one application from one process: binds, imports, runs, ends.
//! Knows the order of things; each thing itself is known by its own room.

use crate::access_log::AccessLog;
use crate::application::{self, Loaded};
use crate::banner::{self, Banner};
use crate::choices::{Unbelieved, Underscores};
use crate::engine;
use crate::settings::Settings;
use crate::signals::{self, Ending, Watch};
use crate::sockets::{self, Bound, SocketFiles};
use crate::sys;
use crate::traceback;
use crate::values::{Output, absolute};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use std::env;
use std::fmt;
use std::io;
use std::sync::Arc;
use whiskyjack_server::config::Observer;
use whiskyjack_server::listener::Listener;
use whiskyjack_server::server::{Ended, Server};
use whiskyjack_wsgi::{Gateway, HeaderMap, Options, Untrusted};
use whiskyjack_wsgiref::validate::Validator;

/// Why nothing is served, or no more.
#[derive(Debug)]
pub enum Error {
    /// an address is taken or none of ours
    Address(sockets::Error),
    /// there is no application
    Application(application::Error),
    /// the access log cannot be opened
    AccessLog(Output, io::Error),
    /// the operating system refuses something
    System(&'static str, io::Error),
    /// Python refuses something, with its traceback
    Python(String),
    /// the command asks for what cannot be
    Usage(String),
    /// Ctrl-C or SIGTERM before it began
    Interrupted,
}

impl Error {
    /// The exit code that says it.
    pub fn code(&self) -> i32 {
        match self {
            Error::AccessLog(..) | Error::System(..) | Error::Python(_) => 1,
            Error::Usage(_) => 2,
            Error::Address(_) => 3,
            Error::Application(application::Error::Interrupted) | Error::Interrupted => {
                signals::INTERRUPTED
            }
            Error::Application(_) => 4,
        }
    }

    pub(crate) fn python(py: Python<'_>, error: &PyErr) -> Error {
        match error.is_instance_of::<PyKeyboardInterrupt>(py) {
            true => Error::Interrupted,
            false => Error::Python(traceback::format(py, error)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address(error) => error.fmt(f),
            Error::Application(error) => error.fmt(f),
            Error::AccessLog(output, error) => {
                write!(f, "cannot write the access log to {output}: {error}")
            }
            Error::System(doing, error) => write!(f, "{doing}: {error}"),
            Error::Python(traceback) => f.write_str(traceback.trim_end()),
            Error::Usage(problem) => f.write_str(problem),
            Error::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

/// Imports the application from the current directory.
pub fn load(py: Python<'_>, settings: &Settings) -> Result<Loaded, Error> {
    let directory = env::current_dir();
    let directory = directory.map_err(|error| Error::System("no current directory", error))?;
    let pythonpath: Vec<_> = settings.pythonpath.iter().map(|path| absolute(path)).collect();
    let loaded = application::load(py, settings.app.as_ref(), &directory, &pythonpath);
    loaded.map_err(Error::Application)
}

/// Serves until a signal ends it, on the calling thread, which must be Python's main one.
pub fn serve(py: Python<'_>, settings: &Settings) -> Result<(), Error> {
    signals::interrupt_imports(py).map_err(|error| Error::python(py, &error))?;
    // Before the import: a port that is taken should not cost the time that an application takes to load.
    let options = sockets::Options {
        backlog: i32::try_from(settings.backlog.number()).unwrap_or(i32::MAX),
        mode: settings.unix_socket_mode,
        owner: settings.unix_socket_owner.clone(),
    };
    let bound = sockets::bind(&settings.bind, &options).map_err(Error::Address)?;
    let files = Remove(bound.files.clone());
    engine::check_proxies(settings, &bound.sockets).map_err(Error::Usage)?;
    run(py, settings, bound)?;
    drop(files);
    Ok(())
}

/// Removes socket files however the function ends that holds it.
struct Remove(SocketFiles);

impl Drop for Remove {
    fn drop(&mut self) {
        self.0.remove();
    }
}

fn run(py: Python<'_>, settings: &Settings, bound: Bound) -> Result<(), Error> {
    let observer = open_access_log(settings)?;
    let loaded = load(py, settings)?;
    let application = match settings.validate {
        true => validated(py, &loaded).map_err(|error| Error::python(py, &error))?,
        false => loaded.application.clone_ref(py),
    };
    let gateway = Gateway::new(py, application, gateway_options(settings));
    let gateway = gateway.map_err(|error| Error::python(py, &error))?;

    let urls = bound.sockets.iter().map(sockets::url).collect();
    let listeners = bound.sockets.into_iter().map(Listener::new).collect::<io::Result<Vec<_>>>();
    let listeners = listeners.map_err(|error| Error::System("cannot use a socket", error))?;
    let connections = engine::make_room(settings.limit_connections.number());
    let config = engine::config(settings, connections, observer);
    let server = Server::new(config, listeners, Arc::new(gateway));
    let server = server.map_err(|error| Error::System("cannot assemble the server", error))?;

    let ending = Arc::new(Ending::default());
    let watch = Watch {
        handle: server.handle(),
        ending: Arc::clone(&ending),
        files: bound.files.clone(),
        graceful_timeout: settings.graceful_timeout,
    };
    watch.start(py).map_err(|error| Error::python(py, &error))?;

    let threads = settings.threads.number();
    Banner { urls, application: loaded.name, threads, python: banner::interpreter(py) }.show();
    let ended = py.detach(|| server.run());
    let ended = ended.map_err(|error| Error::System("the server ended", error))?;
    if let Ended::Cut(connections) = ended {
        end_now(py, connections, &ending, &bound.files);
    }
    ending.finish();
    Ok(())
}

fn validated(py: Python<'_>, loaded: &Loaded) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, Validator::new(loaded.application.clone_ref(py)))?.into_any())
}

fn open_access_log(settings: &Settings) -> Result<Option<Arc<dyn Observer>>, Error> {
    let Some(output) = &settings.access_log else { return Ok(None) };
    match AccessLog::open(output) {
        Ok(log) => Ok(Some(Arc::new(log))),
        Err(error) => Err(Error::AccessLog(output.clone(), error)),
    }
}

pub(crate) fn gateway_options(settings: &Settings) -> Options {
    Options {
        root_path: settings.root_path.text().to_owned(),
        multithread: settings.threads.number() > 1,
        multiprocess: false,
        header_map: match settings.header_map {
            Underscores::Drop => HeaderMap::Drop,
            Underscores::Refuse => HeaderMap::Refuse,
            Underscores::Allow => HeaderMap::Allow,
        },
        trusted: settings.forwarded_allow_ips.clone(),
        untrusted: match settings.forwarded_untrusted {
            Unbelieved::Remove => Untrusted::Remove,
            Unbelieved::Keep => Untrusted::Keep,
        },
        extra: Vec::new(),
        server_software: concat!("whiskyjack/", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// Threads may still be inside the application: an interpreter that waited for them to finish might never end.
fn end_now(py: Python<'_>, connections: usize, ending: &Ending, files: &SocketFiles) -> ! {
    let interrupted = ending.is_interrupted();
    if !interrupted {
        log::warn!("cut off after the graceful timeout: {connections} connections");
    }
    for stream in ["stdout", "stderr"] {
        // A stream that cannot be flushed must not keep the process.
        let _ = py.import("sys").and_then(|sys| sys.getattr(stream)?.call_method0("flush"));
    }
    files.remove();
    sys::exit_now(if interrupted { signals::INTERRUPTED } else { 1 })
}
