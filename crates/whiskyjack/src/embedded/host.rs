//! Between the server's threads and the hooks of whoever embeds it. Knows what happens when; what a hook does with it is the embedder's.

use super::alarm::Due;
use super::request::Request;
use pyo3::exceptions::{PyAssertionError, PyKeyboardInterrupt};
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_server::config::{Observer, Record};
use whiskyjack_server::exchange::{Application, Exchange, Failure};
use whiskyjack_server::server::Handle;
use whiskyjack_wsgi::{Gateway, Report};

/// What the embedder wants to be called for.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// after each request: `(request, status, length, seconds)`
    pub(super) on_request: Option<Py<PyAny>>,
    /// after each fault of the application: `(request, exception)`
    pub(super) on_error: Option<Py<PyAny>>,
    /// now and then, on the thread that serves
    pub(super) on_tick: Option<Py<PyAny>>,
}

/// What the threads of one embedded server share.
#[derive(Debug)]
pub(super) struct Host {
    hooks: Hooks,
    pub(super) due: Arc<Due>,
    /// the thread that serves
    home: ThreadId,
    /// Guards the way to the machine while it runs, which has ways back here: kept longer, neither would ever go.
    handle: Mutex<Option<Handle>>,
    /// Guards what the server ends with, if it is an exception.
    outcome: Mutex<Option<PyErr>>,
    /// Guards the records of requests that threads without Python have answered.
    untold: Mutex<Vec<Ended>>,
}

/// A request that ended.
#[derive(Debug)]
struct Ended {
    request: Request,
    status: u16,
    bytes: u64,
    duration: Duration,
}

thread_local! {
    /// whether the thread is one that is attached to Python for its life
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
    /// the request that the thread answers
    static CURRENT: RefCell<Option<Py<Request>>> = const { RefCell::new(None) };
    /// the server that the thread belongs to
    static SERVER: Cell<usize> = const { Cell::new(0) };
}

impl Host {
    /// A host on the calling thread, which is the one that will serve.
    pub(super) fn new(hooks: Hooks) -> Host {
        Host {
            hooks,
            due: Arc::default(),
            home: thread::current().id(),
            handle: Mutex::default(),
            outcome: Mutex::default(),
            untold: Mutex::default(),
        }
    }

    /// To be called once, before the server runs.
    pub(super) fn settle(&self, handle: Handle) {
        *held(&self.handle) = Some(handle);
    }

    /// To be called once it has run.
    pub(super) fn leave(&self) {
        held(&self.handle).take();
    }

    fn handle(&self) -> Option<Handle> {
        held(&self.handle).clone()
    }

    /// What the server ended with.
    pub(super) fn take_outcome(&self) -> Option<PyErr> {
        held(&self.outcome).take()
    }

    /// Whether the calling thread answers requests of this server.
    pub(super) fn is_here(self: &Arc<Self>) -> bool {
        SERVER.get() == Arc::as_ptr(self) as usize
    }

    /// The request that the calling thread answers, of whatever server.
    pub(super) fn current(py: Python<'_>) -> Option<Py<Request>> {
        CURRENT.with_borrow(|current| current.as_ref().map(|request| request.clone_ref(py)))
    }

    /// An exception ends the server at once, and comes out of `serve()`.
    fn fail(&self, error: PyErr) {
        held(&self.outcome).get_or_insert(error);
        if let Some(handle) = self.handle() {
            handle.stop();
        }
    }

    /// What the thread that serves has to see to between two waits.
    fn look_around(&self, py: Python<'_>) {
        let looked = py.check_signals().and_then(|()| {
            let is_due = self.due.take();
            match &self.hooks.on_tick {
                Some(on_tick) if is_due => on_tick.call0(py).map(drop),
                _ => Ok(()),
            }
        });
        if let Err(error) = looked {
            self.fail(error);
        }
        self.tell_untold(py);
    }

    /// Tells what threads without Python could not.
    pub(super) fn tell_untold(&self, py: Python<'_>) {
        let untold = std::mem::take(&mut *held(&self.untold));
        for ended in untold {
            match Py::new(py, ended.request) {
                Ok(request) => self.tell(py, request, ended.status, ended.bytes, ended.duration),
                Err(error) => error.write_unraisable(py, None),
            }
        }
    }

    fn tell(&self, py: Python<'_>, request: Py<Request>, status: u16, bytes: u64, took: Duration) {
        let Some(on_request) = &self.hooks.on_request else { return };
        if let Err(error) = on_request.call1(py, (request, status, bytes, took.as_secs_f64())) {
            self.hook_failed(py, error, on_request);
        }
    }

    /// A hook must not end requests, but what interrupts is meant for the whole server.
    fn hook_failed(&self, py: Python<'_>, error: PyErr, hook: &Py<PyAny>) {
        match error.is_instance_of::<PyKeyboardInterrupt>(py) && self.is_home() {
            true => self.fail(error),
            false => error.write_unraisable(py, Some(hook.bind(py))),
        }
    }

    fn is_home(&self) -> bool {
        thread::current().id() == self.home
    }

    fn is_hooked(&self) -> bool {
        self.hooks.on_request.is_some() || self.hooks.on_error.is_some()
    }
}

/// A thread that panicked while it held a lock has left in order what that guards: nothing under it calls out.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees requests end.
#[derive(Debug)]
pub(super) struct Ears(pub(super) Arc<Host>);

impl Observer for Ears {
    fn finished(&self, record: &Record<'_>) {
        let (status, bytes, duration) = (record.status, record.bytes, record.duration);
        if !ATTACHED.get() {
            let request = Request::new(record.peer, record.head);
            held(&self.0.untold).push(Ended { request, status, bytes, duration });
            if let Some(handle) = self.0.handle() {
                handle.nudge();
            }
            return;
        }
        Python::attach(|py| {
            let request = match CURRENT.take() {
                Some(request) => Ok(request),
                None => Py::new(py, Request::new(record.peer, record.head)),
            };
            match request {
                Ok(request) => self.0.tell(py, request, status, bytes, duration),
                Err(error) => error.write_unraisable(py, None),
            }
        });
    }
}

/// Hears of the application's faults.
#[derive(Debug)]
pub(super) struct Complaints(pub(super) Arc<Host>);

impl Complaints {
    fn tell(&self, py: Python<'_>, head: &RequestHead, error: PyErr, doing: &str) {
        let host = &self.0;
        // Ctrl-C is meant for the program, though it may meet the application.
        if host.is_home() && error.is_instance_of::<PyKeyboardInterrupt>(py) {
            return host.fail(error);
        }
        let Some(on_error) = &host.hooks.on_error else {
            let line = (head.method().escape_ascii(), head.target().escape_ascii());
            log::error!("{} {}: {doing} raised {error}", line.0, line.1);
            return error.display(py);
        };
        let called = match Host::current(py) {
            Some(request) => on_error.call1(py, (request, error.into_value(py))),
            None => return error.write_unraisable(py, None),
        };
        if let Err(error) = called {
            host.hook_failed(py, error, on_error);
        }
    }
}

impl Report for Complaints {
    fn raised(&self, py: Python<'_>, doing: &str, error: &PyErr, head: &RequestHead) {
        self.tell(py, head, error.clone_ref(py), doing);
    }

    fn misused(&self, py: Python<'_>, what: &str, head: &RequestHead) {
        let error = PyAssertionError::new_err(what.to_owned());
        self.tell(py, head, error, "the server");
    }
}

/// The gateway, with the hooks around it.
pub(super) struct Hosted {
    pub(super) gateway: Gateway,
    pub(super) host: Arc<Host>,
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosted").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Application for Hosted {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        if self.host.is_hooked() {
            let request = Request::new(&exchange.origin().peer, Some(exchange.head()));
            let request = Python::attach(|py| Py::new(py, request));
            // Without memory for it the hook gets one that is made when the request ends.
            CURRENT.set(request.ok());
        }
        self.gateway.call(exchange)
    }

    fn thread(&self, life: &mut dyn FnMut()) {
        self.gateway.thread(&mut || {
            // A server may be run from a request of another one.
            let before = (ATTACHED.replace(true), SERVER.replace(Arc::as_ptr(&self.host) as usize));
            let request = CURRENT.take();
            life();
            CURRENT.set(request);
            ATTACHED.set(before.0);
            SERVER.set(before.1);
        });
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        if !self.host.is_home() {
            return self.gateway.wait(wait);
        }
        // Before, because nothing that has come meanwhile must be slept over; after, because that is what the wait was ended for.
        Python::attach(|py| self.host.look_around(py));
        self.gateway.wait(wait);
        Python::attach(|py| self.host.look_around(py));
    }

    fn is_parallel(&self) -> bool {
        self.gateway.is_parallel()
    }

    fn identity(&self) -> u64 {
        self.gateway.identity()
    }

    fn stack(&self, identity: u64, is_current: &dyn Fn() -> bool) -> Option<String> {
        self.gateway.stack(identity, is_current)
    }

    fn interrupt(&self, identity: u64, is_current: &dyn Fn() -> bool) -> bool {
        self.gateway.interrupt(identity, is_current)
    }
}
