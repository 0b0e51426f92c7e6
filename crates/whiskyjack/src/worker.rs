//! Serves one application from one process, a worker or one that is alone: binds, imports, runs, ends.
//! Knows the order of things; each thing itself is known by its own room.

use crate::access_log::AccessLog;
use crate::application::{self, Loaded};
use crate::banner::{self, Banner};
use crate::choices::{Unbelieved, Underscores};
use crate::credentials;
use crate::development::{self, Watch as FileWatch};
use crate::engine;
use crate::environment;
use crate::identity;
use crate::notify::Notifier;
use crate::settings::Settings;
use crate::signals::{self, Ending, Role, Watch};
use crate::sockets::{self, Bound, SocketFiles};
use crate::supervisor::channel::{Report, send};
use crate::supervisor::duty::Duty;
use crate::supervisor::pidfile;
use crate::sys;
use crate::title;
use crate::traceback;
use crate::values::{Output, absolute};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use socket2::Socket;
use std::env;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use whiskyjack_server::config::{Config, Observer};
use whiskyjack_server::listener::Listener;
use whiskyjack_server::server::{Ended, Server};
use whiskyjack_server::tls::Tls;
use whiskyjack_wsgi::{Gateway, HeaderMap, Options, Untrusted};
use whiskyjack_wsgiref::validate::Validator;

/// Why nothing is served, or no more.
#[derive(Debug)]
pub enum Error {
    /// an address is taken or none of ours
    Address(sockets::Error),
    /// TLS cannot be spoken
    Credentials(credentials::Error),
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
    /// the pid file is another's, or cannot be written
    PidFile(pidfile::Error),
    /// no worker could serve
    Boot(String),
    /// Ctrl-C or SIGTERM before it began
    Interrupted,
}

impl Error {
    /// The exit code that says it.
    pub fn code(&self) -> i32 {
        match self {
            Error::AccessLog(..) | Error::System(..) | Error::Python(_) => 1,
            Error::Usage(_) | Error::Credentials(_) => 2,
            Error::Application(application::Error::Interrupted) | Error::Interrupted => {
                signals::INTERRUPTED
            }
            Error::Address(_) | Error::Application(_) | Error::Boot(_) => 3,
            Error::PidFile(_) => 1,
        }
    }

    /// Whether somebody wanted it so.
    pub fn is_interruption(&self) -> bool {
        self.code() == signals::INTERRUPTED
    }

    /// What Python raised.
    pub fn python(py: Python<'_>, error: &PyErr) -> Error {
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
            Error::Credentials(error) => error.fmt(f),
            Error::AccessLog(output, error) => {
                write!(f, "cannot write the access log to {output}: {error}")
            }
            Error::System(doing, error) => write!(f, "{doing}: {error}"),
            Error::PidFile(error) => error.fmt(f),
            Error::Boot(why) => f.write_str(why.trim_end()),
            Error::Python(traceback) => f.write_str(traceback.trim_end()),
            Error::Usage(problem) => f.write_str(problem),
            Error::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}

/// Imports the application from the current directory, to serve it.
pub fn load(py: Python<'_>, settings: &Settings) -> Result<Loaded, Error> {
    let loaded = import(py, settings)?;
    if settings.gc_freeze {
        freeze(py).map_err(|error| Error::python(py, &error))?;
    }
    Ok(loaded)
}

/// Has the collector look no more at what the application begins with: each full collection would go through all of it, with every other thread
/// waiting. In a forked process it would write to each object as well, and so copy the page that it stands in.
fn freeze(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    // What is garbage by now would never be freed.
    gc.call_method0("collect")?;
    gc.call_method0("freeze")?;
    Ok(())
}

fn import(py: Python<'_>, settings: &Settings) -> Result<Loaded, Error> {
    let directory = env::current_dir();
    let directory = directory.map_err(|error| Error::System("no current directory", error))?;
    let variables = environment::apply(py, &settings.env_file, &settings.env);
    variables.map_err(|error| Error::Usage(error.to_string()))?;
    development::prepare(py, settings).map_err(|error| Error::python(py, &error))?;
    let pythonpath: Vec<_> = settings.pythonpath.iter().map(|path| absolute(path)).collect();
    let loaded = application::load(py, settings.app.as_ref(), &directory, &pythonpath);
    loaded.map_err(Error::Application)
}

/// All that can go wrong with the settings before anything is bound.
pub fn rehearse(py: Python<'_>, settings: &Settings) -> Result<Loaded, Error> {
    credentials::read(settings).map_err(Error::Credentials)?;
    import(py, settings)
}

/// Serves until a signal ends it, on the calling thread, which must be Python's main one.
pub fn serve(py: Python<'_>, settings: &Settings) -> Result<(), Error> {
    signals::interrupt_imports(py).map_err(|error| Error::python(py, &error))?;
    let tls = credentials::read(settings).map_err(Error::Credentials)?;
    // Before the import: a port that is taken should not cost the time that an application takes to load.
    let bound = bind(settings)?;
    let files = Remove(bound.files.clone());
    title::show(&title::of("server", &title::name(settings)));
    identity::take_on(settings).map_err(|error| Error::Usage(error.to_string()))?;
    let log = open_access_log(settings)?;
    let loaded = load(py, settings)?;
    run(py, settings, loaded, Served { bound, tls, log, duty: None })?;
    drop(files);
    Ok(())
}

/// Listens at the addresses that the settings name.
pub fn bind(settings: &Settings) -> Result<Bound, Error> {
    let bound = sockets::bind(&settings.bind, &socket_options(settings)).map_err(Error::Address)?;
    if let Err(problem) = engine::check_proxies(settings, &bound.sockets) {
        bound.files.remove();
        return Err(Error::Usage(problem));
    }
    Ok(bound)
}

/// How sockets are to be made.
pub fn socket_options(settings: &Settings) -> sockets::Options {
    sockets::Options {
        backlog: i32::try_from(settings.backlog.number()).unwrap_or(i32::MAX),
        mode: settings.unix_socket_mode,
        owner: settings.unix_socket_owner.clone(),
    }
}

/// Removes socket files however the function ends that holds it.
struct Remove(SocketFiles);

impl Drop for Remove {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// What a forked worker is given for its life.
#[derive(Debug)]
pub struct Birth {
    /// what it goes by
    pub settings: Settings,
    /// where it listens, with the others
    pub sockets: Vec<Socket>,
    /// the application, where it was loaded before the fork
    pub loaded: Option<Loaded>,
    /// what it encrypts with
    pub tls: Option<Tls>,
    /// how it belongs to the supervisor
    pub duty: Duty,
}

/// A worker's whole life; returns its exit code.
pub fn live(py: Python<'_>, birth: Birth) -> i32 {
    let Birth { settings, sockets, loaded, tls, duty } = birth;
    let channel = duty.channel();
    let lived = || {
        let log = open_access_log(&settings)?;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None if settings.reload => load_and_watch(py, &settings, &channel)?,
            None => load(py, &settings)?,
        };
        let bound = Bound { sockets, ..Bound::default() };
        run(py, &settings, loaded, Served { bound, tls, log, duty: Some(duty) })
    };
    match lived() {
        Ok(()) => 0,
        Err(error) => {
            if !error.is_interruption() {
                // If the supervisor is gone, nobody waits for the reason.
                let _ = send(&channel, &Report::Failed { why: error.to_string() });
            }
            error.code()
        }
    }
}

/// Loads what is to be replaced as soon as it has changed. If that fails, what is served is the reason.
fn load_and_watch(
    py: Python<'_>,
    settings: &Settings,
    channel: &Arc<UnixStream>,
) -> Result<Loaded, Error> {
    let python = |error| Error::python(py, &error);
    let (loaded, beside) = match load(py, settings) {
        Err(Error::Application(error)) if !matches!(error, application::Error::Interrupted) => {
            development::stand_in(py, settings, &error).map_err(python)?
        }
        loaded => (loaded?, Vec::new()),
    };
    let watch = FileWatch::begin(py, settings, beside).map_err(python)?;
    let started = watch.start(Arc::clone(channel));
    started.map_err(|error| Error::System("cannot start a thread", error))?;
    Ok(loaded)
}

/// What a process serves, and for whom.
struct Served {
    bound: Bound,
    tls: Option<Tls>,
    log: Option<Arc<AccessLog>>,
    /// where it is a worker
    duty: Option<Duty>,
}

fn run(py: Python<'_>, settings: &Settings, loaded: Loaded, served: Served) -> Result<(), Error> {
    let Served { bound, tls, log, duty } = served;
    let application = match settings.validate {
        true => validated(py, &loaded).map_err(|error| Error::python(py, &error))?,
        false => loaded.application.clone_ref(py),
    };
    let application = development::debugged(py, settings, application);
    let application = application.map_err(|error| Error::python(py, &error))?;
    let siblings = duty.as_ref().is_some_and(|duty| duty.siblings);
    let gateway = Gateway::new(py, application, gateway_options(settings, siblings));
    let is_watched = settings.timeout.0.is_some() || settings.slow_log.0.is_some();
    let gateway = gateway.and_then(|gateway| match is_watched {
        true => gateway.glimpsing(py),
        false => Ok(gateway),
    });
    let gateway = gateway.map_err(|error| Error::python(py, &error))?;

    let urls = sockets::urls(&bound.sockets, tls.is_some());
    let listeners = bound.sockets.into_iter().map(Listener::new).collect::<io::Result<Vec<_>>>();
    let listeners = listeners.map_err(|error| Error::System("cannot use a socket", error))?;
    let connections = engine::make_room(settings.limit_connections.number());
    let observer = log.clone().map(|log| -> Arc<dyn Observer> { log });
    let supervised = duty.as_ref().map(|duty| duty.supervised(settings)).unwrap_or_default();
    let config = Config { tls, ..engine::config(settings, connections, observer, supervised) };
    let server = Server::new(config, listeners, Arc::new(gateway));
    let server = server.map_err(|error| Error::System("cannot assemble the server", error))?;

    let ending = Arc::new(Ending::default());
    let watch = Watch {
        handle: server.handle(),
        ending: Arc::clone(&ending),
        files: bound.files.clone(),
        graceful_timeout: settings.graceful_timeout,
        log: log.clone(),
        role: duty.as_ref().map_or(Role::Alone, |duty| Role::Worker(duty.told())),
    };
    watch.start(py).map_err(|error| Error::python(py, &error))?;

    let (application, python) = (loaded.name, banner::interpreter(py));
    // A worker finds none: its supervisor has taken it.
    let mut notifier = Notifier::take(py).map_err(|error| Error::python(py, &error))?;
    match duty {
        None => {
            let threads = settings.threads.number();
            let status = format!("serves {application}");
            Banner { urls, application, workers: None, threads, python }.show();
            notifier.ready("", &status);
        }
        Some(duty) => {
            let ready = Report::Ready { application, python };
            let begun = duty.begin(settings, server.handle(), log, ready);
            begun.map_err(|error| Error::System("cannot start a thread", error))?;
        }
    }
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

fn open_access_log(settings: &Settings) -> Result<Option<Arc<AccessLog>>, Error> {
    let Some(output) = &settings.access_log else { return Ok(None) };
    match AccessLog::open(output) {
        Ok(log) => Ok(Some(Arc::new(log))),
        Err(error) => Err(Error::AccessLog(output.clone(), error)),
    }
}

pub(crate) fn gateway_options(settings: &Settings, multiprocess: bool) -> Options {
    Options {
        root_path: settings.root_path.text().to_owned(),
        multithread: settings.threads.number() > 1,
        multiprocess,
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
