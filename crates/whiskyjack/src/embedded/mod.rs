//! A server inside somebody else's process: takes a socket that listens already, serves on the thread that asks for it, and leaves nothing behind.
//! Touches no signal handler, no limit of the process and no descriptor that it was not given.
//!
//! ```text
//! New ──serve()──▶ Serving ──the end──▶ Ended
//!  │                 ▲
//!  └─drain(), stop()─┴──▶ Ended as soon as it is served
//! ```
//!
//! From Python it is `whiskyjack._whiskyjack.Server`, beneath `whiskyjack.wsgiref.simple_server` and whatever else makes servers of its own; from Rust it
//! is [`Server`](struct@Server), a Python class like any other:
//!
//! ```
//! use _whiskyjack::embedded::Server;
//! use pyo3::prelude::*;
//! use pyo3::types::IntoPyDict;
//!
//! # fn main() -> PyResult<()> {
//! Python::attach(|py| {
//!     let socket = py.import("socket")?.call_method1("create_server", (("127.0.0.1", 0),))?;
//!     let application = py.eval(c"lambda environ, start_response: []", None, None)?;
//!     let settings = [("threads", 4)].into_py_dict(py)?;
//!     let server = py.get_type::<Server>().call((application, socket), Some(&settings))?;
//!     // Another thread would ask for the end; asked for before, it comes at once.
//!     server.call_method0("drain")?;
//!     server.call_method0("serve")?;
//!     Ok(())
//! })
//! # }
//! ```

mod alarm;
mod host;
mod request;

pub use self::request::Request;

use self::alarm::Alarm;
use self::host::{Complaints, Ears, Hooks, Host, Hosted};
use crate::choices::Level;
use crate::credentials;
use crate::engine;
use crate::logs;
use crate::settings::{Group, Setting, Settings, TABLE};
use crate::sys;
use crate::values::nearest;
use crate::worker::gateway_options;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};
use socket2::Socket;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use whiskyjack_server::config::{Config, Observer};
use whiskyjack_server::listener::Listener;
use whiskyjack_server::server::{Ended, Handle, Server as Engine};
use whiskyjack_server::tls::Tls;
use whiskyjack_wsgi::Gateway;

/// Serves one application from one socket, once.
///
/// Settings are given by name with their values, as `threads=4` or `keep_alive="10s"`, and mean what they mean to the `whiskyjack` command; only
/// `threads` is 1 where nothing is said, so that an application which knows nothing of threads is safe.
#[pyclass(module = "whiskyjack._whiskyjack", frozen)]
#[derive(Debug)]
pub struct Server {
    application: Py<PyAny>,
    socket: Py<PyAny>,
    settings: Settings,
    tls: Option<Tls>,
    below: Option<Py<PyDict>>,
    above: Option<Py<PyDict>>,
    software: Option<String>,
    hooks: [Option<Py<PyAny>>; 3],
    every: Option<Duration>,
    /// whether a thread serves, or has served
    is_taken: AtomicBool,
    /// Guards how far its life has come. Never held while anything waits, but for that.
    stage: Mutex<Stage>,
    ended: Condvar,
}

#[derive(Debug)]
enum Stage {
    New,
    /// to end as soon as it is served
    Doomed,
    Serving(Handle, Arc<Host>),
    Ended,
}

/// Settings that an embedder cannot give, and what stands for them.
const NOT_TAKEN: [(&str, &str); 11] = [
    ("app", "it is the first argument"),
    ("chdir", "the directory is the process's own"),
    ("pythonpath", "sys.path is the process's own"),
    ("validate", "wrap the application in whiskyjack.wsgiref.validate.validator"),
    ("bind", "the socket is the second argument"),
    ("backlog", "it is the socket's, from listen()"),
    ("unix-socket-mode", "the socket is bound already"),
    ("unix-socket-owner", "the socket is bound already"),
    ("access-log", "use on_request"),
    ("log-level", "it is the process's own"),
    ("timeout-stuck-threads", "nobody replaces a process that whiskyjack has not started"),
];

fn read_settings(given: Option<&Bound<'_, PyDict>>) -> PyResult<Settings> {
    let mut texts =
        BTreeMap::from([("threads", "1".to_owned()), ("timeout-stuck-threads", "0".to_owned())]);
    for (name, value) in given.into_iter().flatten() {
        let keyword: String = name.extract()?;
        let written = keyword.replace('_', "-");
        let Some(setting) = TABLE.iter().find(|setting| setting.name == written) else {
            let hint = match nearest(
                &keyword,
                TABLE.iter().filter(|setting| is_taken(setting)).map(|setting| setting.name),
            ) {
                Some(name) => format!("the nearest is {}", name.replace('-', "_")),
                None => "the settings are those of the whiskyjack command".to_owned(),
            };
            return Err(PyTypeError::new_err(format!("Server() has no setting {keyword}: {hint}")));
        };
        if !is_taken(setting) {
            let instead = NOT_TAKEN
                .iter()
                .find(|(name, _)| *name == setting.name)
                .map_or("it is for the whiskyjack command", |found| found.1);
            return Err(PyTypeError::new_err(format!(
                "Server() does not take {keyword}: {instead}"
            )));
        }
        let text = match value.cast::<PyBool>() {
            Ok(value) => value.is_true().to_string(),
            Err(_) => value.str()?.to_string(),
        };
        texts.insert(setting.name, text);
    }
    let read = Settings::read(|setting| match texts.get(setting.name) {
        Some(text) => text.clone(),
        None => setting.default.to_owned(),
    });
    read.map_err(|(setting, remedy)| {
        let (name, text) = (setting.name.replace('-', "_"), texts.get(setting.name));
        PyValueError::new_err(format!("{name}={:?}: {remedy}", text.map_or("", String::as_str)))
    })
}

/// What concerns one server, rather than a process or a tree of them.
fn is_taken(setting: &Setting) -> bool {
    let is_a_servers = match setting.group {
        Group::Tls | Group::Timeouts | Group::Limits | Group::Http => true,
        Group::Application => setting.name == "root-path",
        Group::Concurrency => {
            setting.name == "threads"
                || setting.name == "websockets"
                || setting.name == "requests-per-connection"
                || setting.name.starts_with("limit-connections")
        }
        Group::Addresses | Group::Workers | Group::Logs | Group::Development => false,
    };
    is_a_servers && NOT_TAKEN.iter().all(|(name, _)| *name != setting.name)
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (application, socket, *, process_environ=None, base_environ=None, server_software=None,
                        on_request=None, on_error=None, on_tick=None, tick=0.5, **settings))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        application: Bound<'_, PyAny>,
        socket: Bound<'_, PyAny>,
        process_environ: Option<&Bound<'_, PyAny>>,
        base_environ: Option<Bound<'_, PyDict>>,
        server_software: Option<String>,
        on_request: Option<Py<PyAny>>,
        on_error: Option<Py<PyAny>>,
        on_tick: Option<Py<PyAny>>,
        tick: f64,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Server> {
        if !application.is_callable() {
            return Err(PyTypeError::new_err(format!(
                "a WSGI application must be callable with (environ, start_response), not {}",
                application.get_type().name()?
            )));
        }
        if !socket.hasattr("fileno")? {
            return Err(PyTypeError::new_err(format!(
                "Server() needs a socket that listens, not {}",
                socket.get_type().name()?
            )));
        }
        let every = match Duration::try_from_secs_f64(tick) {
            Ok(every) if every >= SHORTEST_TICK => on_tick.is_some().then_some(every),
            _ if on_tick.is_none() => None,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "tick={tick}: write seconds, {} or more",
                    SHORTEST_TICK.as_secs_f64()
                )));
            }
        };
        let settings = read_settings(settings)?;
        let tls = credentials::read(&settings)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Server {
            settings,
            tls,
            application: application.unbind(),
            socket: socket.unbind(),
            below: process_environ.map(request::copied).transpose()?.map(Bound::unbind),
            above: base_environ.map(Bound::unbind),
            software: server_software,
            hooks: [on_request, on_error, on_tick],
            every,
            is_taken: AtomicBool::new(false),
            stage: Mutex::new(Stage::New),
            ended: Condvar::new(),
        })
    }

    /// Serves until the end is asked for, on the calling thread, which calls the application. What ends it early comes out of here:
    /// KeyboardInterrupt on the main thread, and what `on_tick` raises.
    fn serve(&self, py: Python<'_>) -> PyResult<()> {
        match &*self.stage() {
            Stage::New | Stage::Doomed => {}
            Stage::Serving(..) | Stage::Ended => return Err(served_once()),
        }
        // Without a logger of the process's own, what the server has to say about itself must be seen somewhere.
        logs::start_unless_started(Level::Warning);
        let number: i32 = self.socket.call_method0(py, "fileno")?.extract(py)?;
        // Another thread may have come as far at the same time.
        if self.is_taken.swap(true, Ordering::AcqRel) {
            return Err(served_once());
        }
        let socket = Socket::from(sys::duplicate(number)?);
        let is_blocking = !socket.nonblocking()?;
        // Both descriptors share the flag: accept() on the caller's is to wait again as before.
        let restore = Restore { socket: socket.try_clone()?, is_blocking };
        let served = self.serve_from(py, socket);
        drop(restore);
        *self.stage() = Stage::Ended;
        self.ended.notify_all();
        served
    }

    /// Takes no new connection, lets what is under way finish within the graceful timeout, and ends. Returns at once.
    fn drain(&self) {
        self.end(Handle::drain);
    }

    /// Ends at once, and cuts off what is under way. Returns at once.
    fn stop(&self) {
        self.end(Handle::stop);
    }

    /// `drain()`, and waits until `serve()` is about to return. Not from inside the application, which it would wait for.
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        if let Stage::Serving(_, host) = &*self.stage()
            && host.is_here()
        {
            return Err(PyRuntimeError::new_err(
                "shutdown() waits for the requests under way, and was called from one of them: call it on another thread",
            ));
        }
        self.drain();
        py.detach(|| {
            let serving = |stage: &mut Stage| matches!(stage, Stage::Serving(..));
            drop(self.ended.wait_while(self.stage(), serving));
        });
        Ok(())
    }

    /// Connections that are open now.
    #[getter]
    fn connections(&self) -> usize {
        match &*self.stage() {
            Stage::Serving(handle, _) => handle.connections(),
            Stage::New | Stage::Doomed | Stage::Ended => 0,
        }
    }

    /// Whoever keeps a server may be kept by its hooks, and that must not be for ever.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.application)?;
        visit.call(&self.socket)?;
        visit.call(&self.below)?;
        visit.call(&self.above)?;
        self.hooks.iter().try_for_each(|hook| visit.call(hook))
    }

    /// The request that the calling thread is answering, where there is a hook; None elsewhere.
    #[staticmethod]
    fn current(py: Python<'_>) -> Option<Py<Request>> {
        Host::current(py)
    }
}

fn served_once() -> PyErr {
    PyRuntimeError::new_err("a Server serves once: make another one")
}

/// More often than this, a thread would do nothing else.
const SHORTEST_TICK: Duration = Duration::from_millis(1);

impl Server {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, how: impl FnOnce(&Handle)) {
        let mut stage = self.stage();
        match &*stage {
            Stage::New => *stage = Stage::Doomed,
            Stage::Serving(handle, _) => how(handle),
            Stage::Doomed | Stage::Ended => {}
        }
    }

    fn serve_from(&self, py: Python<'_>, socket: Socket) -> PyResult<()> {
        let [on_request, on_error, on_tick] = &self.hooks;
        let hooks = Hooks {
            on_request: on_request.as_ref().map(|hook| hook.clone_ref(py)),
            on_error: on_error.as_ref().map(|hook| hook.clone_ref(py)),
            on_tick: on_tick.as_ref().map(|hook| hook.clone_ref(py)),
        };
        let host = Arc::new(Host::new(hooks));
        let mut options = gateway_options(&self.settings, false);
        if let Some(software) = &self.software {
            options.server_software.clone_from(software);
        }
        let below = self.below.as_ref().map(|dict| dict.bind(py));
        let above = self.above.as_ref().map(|dict| dict.bind(py));
        let gateway = Gateway::new(py, self.application.clone_ref(py), options)?
            .reporting(Box::new(Complaints(Arc::clone(&host))))
            .between(py, below, above)?;
        let observer =
            self.hooks[0].is_some().then(|| Arc::new(Ears(Arc::clone(&host))) as Arc<dyn Observer>);
        let connections = engine::room(self.settings.limit_connections.number());
        let config =
            engine::config(&self.settings, connections, observer, engine::Supervised::default());
        let config = Config { tls: self.tls.clone(), ..config };
        let application = Hosted { gateway, host: Arc::clone(&host) };
        let engine = Engine::new(config, vec![Listener::new(socket)?], Arc::new(application))?;
        let handle = engine.handle();
        {
            let mut stage = self.stage();
            match *stage {
                Stage::Doomed => return Ok(()),
                _ => *stage = Stage::Serving(handle.clone(), Arc::clone(&host)),
            }
        }
        let alarm = Alarm::new(py, handle.clone(), self.every, Arc::clone(&host.due))?;
        host.settle(handle);
        let ended = py.detach(|| engine.run());
        host.leave();
        host.tell_untold(py);
        if let Some(alarm) = alarm {
            alarm.end(py)?;
        }
        match (host.take_outcome(), ended?) {
            (Some(error), _) => Err(error),
            (None, Ended::Cut(connections)) if connections > 0 => {
                log::warn!("{connections} connections were cut off");
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}

/// Puts the caller's socket back as it was.
struct Restore {
    socket: Socket,
    is_blocking: bool,
}

impl Drop for Restore {
    fn drop(&mut self) {
        if self.is_blocking
            && let Err(error) = self.socket.set_nonblocking(false)
        {
            log::error!("cannot make the listening socket wait again: {error}");
        }
    }
}
