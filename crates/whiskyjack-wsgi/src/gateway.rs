//! Calls the application, sends what it returns, and closes it.
//!
//! A response goes through these steps, whatever the application returns:
//!
//! ```text
//! call -> (start_response) -> items -> end -> close() once
//!              \ error anywhere -> close() once -> logged, and a Failure
//! ```

mod call;

use self::call::{Call, Trouble};
use crate::environ::{Constants, HeaderMap, Shown, Template, Unfit};
use crate::error;
use crate::forwarded::Untrusted;
use crate::gil;
use crate::glimpse::{self, Glimpse};
use crate::lease::Draft;
use crate::raw;
use crate::report::{Report, ToLog, request_line};
use crate::seat::{self, RequestTimeout};
use crate::socket;
use crate::start_response::{StartResponse, type_name};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use whiskyjack_proto::head::{RequestHead, ResponseHead};
use whiskyjack_server::exchange::{Application, Exchange, Failure};
use whiskyjack_server::trust::Trusted;

/// What a gateway tells its application, and how it reads field names.
#[derive(Debug)]
pub struct Options {
    /// the prefix under which the application is mounted: SCRIPT_NAME
    pub root_path: String,
    /// whether the application may be called by several threads at once
    pub multithread: bool,
    /// whether other processes serve the same application
    pub multiprocess: bool,
    /// what becomes of fields whose name has a `_`
    pub header_map: HeaderMap,
    /// whose Forwarded and X-Forwarded-* fields are believed
    pub trusted: Vec<Trusted>,
    /// what becomes of those fields from all others
    pub untrusted: Untrusted,
    /// further keys of every environ
    pub extra: Vec<(String, Py<PyAny>)>,
    /// SERVER_SOFTWARE
    pub server_software: String,
}

/// A WSGI application as the server sees it.
pub struct Gateway {
    application: Py<PyAny>,
    constants: Constants,
    report: Box<dyn Report>,
    glimpse: Option<Glimpse>,
    /// tells whose template a connection has
    number: u64,
}

/// What a gateway keeps for a connection's life.
struct Connection {
    gateway: u64,
    template: Template,
    /// `None` only while a request has it
    draft: Option<Box<Draft>>,
}

/// The lease, `environ`, `start_response` and what that returns.
type Prepared<'py> = (Bound<'py, StartResponse>, Bound<'py, PyDict>, Bound<'py, PyAny>, Py<PyAny>);

impl Gateway {
    /// A gateway to a callable. Fails if it is not callable.
    pub fn new(py: Python<'_>, application: Py<PyAny>, options: Options) -> PyResult<Gateway> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if !application.bind(py).is_callable() {
            return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "a WSGI application must be callable with (environ, start_response), not {}",
                type_name(application.bind(py))
            )));
        }
        let shown = Shown {
            root_path: &options.root_path,
            multithread: options.multithread,
            multiprocess: options.multiprocess,
            header_map: options.header_map,
            trusted: options.trusted,
            untrusted: options.untrusted,
            extra: &options.extra,
            server_software: &options.server_software,
        };
        let constants = Constants::new(py, shown)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Ok(Gateway { application, constants, report: Box::new(ToLog), glimpse: None, number })
    }

    /// The same with the application's faults reported there rather than in the log.
    pub fn reporting(self, report: Box<dyn Report>) -> Gateway {
        Gateway { report, ..self }
    }

    /// The same with a way to see what a thread is doing also while C code holds the interpreter, where the system has one. It takes the
    /// signal SIGRTMAX and belongs to the whole process, so it is for a process that is the server's own. Errors: what Python raises.
    pub fn glimpsing(self, py: Python<'_>) -> PyResult<Gateway> {
        Ok(Gateway { glimpse: Glimpse::new(py)?, ..self })
    }

    /// The same with environs that begin with what `below` has, where the server sets nothing of its own, and take what `above` has, at the
    /// time when their connection begins, over what the server sets for a connection.
    pub fn between(
        self,
        py: Python<'_>,
        below: Option<&Bound<'_, PyDict>>,
        above: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Gateway> {
        let constants = self.constants.between(py, below, above)?;
        Ok(Gateway { constants, ..self })
    }

    fn connection(&self, py: Python<'_>, exchange: &mut dyn Exchange) -> PyResult<Box<Connection>> {
        let cached =
            exchange.cache().take().and_then(|cached| cached.downcast::<Connection>().ok());
        match cached.filter(|connection| connection.gateway == self.number) {
            Some(connection) => Ok(connection),
            None => Ok(Box::new(Connection {
                gateway: self.number,
                template: self.constants.template(py, exchange)?,
                draft: None,
            })),
        }
    }

    fn answer(&self, py: Python<'_>, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let mut connection = match self.connection(py, exchange) {
            Ok(connection) => connection,
            Err(error) => return Err(self.raised(py, &error, exchange.head())),
        };
        let outcome = self.converse(py, exchange, &mut connection);
        *exchange.cache() = Some(connection);
        outcome
    }

    /// What a call is made with.
    fn prepare<'py>(
        &self,
        py: Python<'py>,
        exchange: &dyn Exchange,
        connection: &mut Connection,
    ) -> Result<Prepared<'py>, Unfit> {
        let template = &mut connection.template;
        let kit = template.kit(py)?;
        let (request, start_response) = (kit.request.bind(py), kit.start_response.bind(py));
        let (request, start_response) = (request.clone(), start_response.clone());
        let write = kit.write.clone_ref(py);
        let environ = self.constants.environ(py, template, exchange)?;
        if exchange.offers_socket() {
            socket::offer(&environ, &request)?;
        }
        Ok((request, environ, start_response, write))
    }

    fn converse(
        &self,
        py: Python<'_>,
        exchange: &mut dyn Exchange,
        connection: &mut Connection,
    ) -> Result<(), Failure> {
        let (request, environ, start_response, write) = match self.prepare(py, exchange, connection)
        {
            Ok(prepared) => prepared,
            Err(Unfit::Python(error)) => return Err(self.raised(py, &error, exchange.head())),
            Err(Unfit::Contradictory) => {
                log::warn!(
                    "{}: refused for having both Forwarded and X-Forwarded-*: the proxy must remove those that it does not set itself",
                    request_line(exchange.head())
                );
                return answer_plainly(exchange, "400 Bad Request");
            }
            Err(Unfit::Misdirected) => {
                log::debug!(
                    "{}: refused, being no request over TLS",
                    request_line(exchange.head())
                );
                return answer_plainly(exchange, "421 Misdirected Request");
            }
            Err(Unfit::Refused(name)) => {
                log::warn!(
                    "{}: refused for its field {}: a name with '_' could pass for one with '-'",
                    request_line(exchange.head()),
                    name.escape_ascii()
                );
                return answer_plainly(exchange, "400 Bad Request");
            }
        };
        let lease = &request.get().lease;
        let mut draft = connection.draft.take().unwrap_or_default();
        draft.settle();
        draft.write = Some(write);
        let (outcome, draft) = lease.lend(py, exchange, draft, || {
            let call = Call { py, lease, report: &*self.report };
            let run = || call.run(self.application.bind(py), environ, start_response);
            match seat::open(py, run) {
                // Who was interrupted has been told of already, with what it was doing.
                (Err(Trouble::Raised(error)), true)
                    if error.is_instance_of::<RequestTimeout>(py) =>
                {
                    Err(Trouble::Unsent(Failure::Application))
                }
                (outcome, _) => outcome,
            }
        });
        let mut draft = draft.unwrap_or_default();
        let outcome = outcome.or_else(|trouble| self.report(py, exchange, &mut draft, trouble));
        draft.clear();
        connection.draft = Some(draft);
        outcome
    }

    /// Says once what happened, and what the server shall do about it.
    fn report(
        &self,
        py: Python<'_>,
        exchange: &mut dyn Exchange,
        draft: &mut Draft,
        trouble: Trouble,
    ) -> Result<(), Failure> {
        match &trouble {
            Trouble::Raised(error) => draft.birthplace.hold_raised(py, error),
            Trouble::Misuse(_) | Trouble::Unsent(_) => draft.birthplace.hold(),
        }
        match trouble {
            // Nothing can be answered any more, and whatever speaks on the connection has its own ways to end.
            Trouble::Raised(error) if exchange.is_socket_taken() => {
                match socket::is_an_end(py, &error) {
                    true => Ok(()),
                    false => Err(self.raised(py, &error, exchange.head())),
                }
            }
            Trouble::Misuse(_) | Trouble::Unsent(_) if exchange.is_socket_taken() => Ok(()),
            Trouble::Unsent(failure) => Err(failure),
            Trouble::Misuse(what) => {
                self.report.misused(py, &what, exchange.head());
                Err(Failure::Application)
            }
            Trouble::Raised(error) => match draft.fault.take() {
                Some(fault) if error::is_of(py, &error, &fault) => answer_fault(exchange, fault),
                _ => Err(self.raised(py, &error, exchange.head())),
            },
        }
    }

    fn raised(&self, py: Python<'_>, error: &PyErr, head: &RequestHead) -> Failure {
        self.report.raised(py, "the application", error, head);
        Failure::Application
    }
}

impl Application for Gateway {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        Python::attach(|py| self.answer(py, exchange))
    }

    fn thread(&self, life: &mut dyn FnMut()) {
        Python::attach(|py| seat::take(py, life));
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        Python::attach(|py| raw::detached(py, wait));
    }

    /// An extension module that needs the GIL turns it on as it is imported, which an application may do at any time.
    fn is_parallel(&self) -> bool {
        Python::attach(|py| !gil::is_enabled(py))
    }

    fn identity(&self) -> u64 {
        Python::attach(seat::identity)
    }

    fn stack(&self, identity: u64, is_current: &dyn Fn() -> bool) -> Option<String> {
        // Where nothing holds a thread back while others look at its frames, only the thread itself can tell of them.
        if cfg!(Py_GIL_DISABLED) {
            let stack = self.glimpse(identity).filter(|_| is_current())?;
            return Some(Python::attach(|py| glimpse::with_sources(py, stack)));
        }
        let stack = Python::attach(|py| seat::stack(py, identity, is_current));
        stack.unwrap_or_else(|error| {
            log::error!("cannot see what a thread is doing: {error}");
            None
        })
    }

    fn glimpse(&self, identity: u64) -> Option<String> {
        self.glimpse.as_ref()?.stack(identity)
    }

    fn interrupt(&self, identity: u64, is_current: &dyn Fn() -> bool) -> bool {
        Python::attach(|py| seat::interrupt(py, identity, is_current))
    }
}

/// Answers a request whose body can't be read, after the application gave up on it.
fn answer_fault(exchange: &mut dyn Exchange, fault: io::Error) -> Result<(), Failure> {
    let status = match fault.kind() {
        io::ErrorKind::FileTooLarge => "413 Content Too Large",
        io::ErrorKind::InvalidData => "400 Bad Request",
        io::ErrorKind::TimedOut => "408 Request Timeout",
        _ => return Err(Failure::Disconnected(fault)),
    };
    log::debug!("{}: {status}: {fault}", request_line(exchange.head()));
    if exchange.is_started() {
        return Err(Failure::Disconnected(fault));
    }
    answer_plainly(exchange, status)
}

fn answer_plainly(exchange: &mut dyn Exchange, status: &str) -> Result<(), Failure> {
    let body = format!("{status}\n");
    let mut head = ResponseHead::default();
    let made = head
        .set_status(status.as_bytes())
        .and_then(|()| head.push(b"Content-Type", b"text/plain; charset=utf-8"))
        // What is refused is the last that is read as a request.
        .and_then(|()| head.push(b"Connection", b"close"));
    if let Err(error) = made {
        log::error!("{status}: {error}");
        return Err(Failure::Application);
    }
    exchange.start(&head, Some(body.len() as u64));
    exchange.write_last(&body.as_bytes())
}
