//! From a request to PEP 3333's environ. The only room that spells CGI names.

use crate::file_wrapper::FileWrapper;
use crate::forwarded::{self, Contradiction, Scheme, Told, Untrusted};
use crate::kit::Kit;
use crate::learned::Learned;
use crate::names::{Known, Names, Role, cgi_name};
use crate::percent;
use crate::raw::{insert, lasting, latin1};
use crate::secured;
use memchr::memchr;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString};
use pyo3::{PyTypeInfo, intern};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use whiskyjack_proto::head::{RequestHead, Version};
use whiskyjack_server::call;
use whiskyjack_server::exchange::{Address, Exchange, Upload};
use whiskyjack_server::trust::{Trust, Trusted};

/// What becomes of fields whose name has a `_`: in the environ they can't be told from those with a `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderMap {
    /// They are left out, with one log line a name.
    Drop,
    /// The request is answered with 400.
    Refuse,
    /// They are taken as if they had a `-`.
    Allow,
}

/// Why there is no environ.
pub(crate) enum Unfit {
    /// The request has a field name that [`HeaderMap::Refuse`] refuses.
    Refused(Vec<u8>),
    /// Trusted proxies contradict each other, or one hands on what a client made up.
    Contradictory,
    /// RFC 9110 7.4: an https URI is asked for over a connection that is not secured, and by nobody who is trusted to have had one.
    Misdirected,
    /// Python failed, for want of memory.
    Python(PyErr),
}

impl From<PyErr> for Unfit {
    fn from(error: PyErr) -> Unfit {
        Unfit::Python(error)
    }
}

impl From<Contradiction> for Unfit {
    fn from(_: Contradiction) -> Unfit {
        Unfit::Contradictory
    }
}

/// What is the same in every environ of a gateway.
pub(crate) struct Constants {
    dict: Py<PyDict>,
    /// the embedder's words about a connection, which stand over ours
    above: Option<Py<PyDict>>,
    /// SCRIPT_NAME: empty, or with a `/` in front and none behind
    root: Vec<u8>,
    header_map: HeaderMap,
    trust: Trust,
    untrusted: Untrusted,
}

/// What is the same in every environ of a connection.
pub(crate) struct Template {
    dict: Py<PyDict>,
    kit: Option<Kit>,
    learned: Option<Learned>,
    /// how many requests more may be learned from; the first of a connection is mostly its only one
    lessons: u8,
    is_fresh: bool,
    forwarded: Forwarded,
    is_secure: bool,
    /// SERVER_NAME and SERVER_PORT are made up
    is_unix: bool,
}

/// What is done with the forwarded fields of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forwarded {
    /// They are read, and shown.
    Believed,
    Shown,
    Removed,
}

/// More of a connection's requests are not learned from: its client sends other fields each time.
const LESSONS: u8 = 4;

impl Template {
    /// The objects of the next call. They stand in the templates already.
    pub(crate) fn kit(&mut self, py: Python<'_>) -> PyResult<&Kit> {
        let templates = 1 + isize::from(self.learned.is_some());
        let kit = match self.kit.take() {
            Some(kit) if kit.is_unused(py, templates) => kit,
            _ => {
                let kit = Kit::new(py)?;
                show(self.dict.bind(py), &kit)?;
                if let Some(learned) = &self.learned {
                    show(learned.environ.bind(py), &kit)?;
                }
                kit
            }
        };
        Ok(self.kit.insert(kit))
    }
}

/// A call that has a thread beside the server's others, however few these are.
pub(crate) fn called_beside_others(environ: &Bound<'_, PyDict>) -> PyResult<()> {
    environ.set_item(intern!(environ.py(), "wsgi.multithread"), true)
}

fn show(environ: &Bound<'_, PyDict>, kit: &Kit) -> PyResult<()> {
    let py = environ.py();
    environ.set_item(intern!(py, "wsgi.input"), &kit.input)?;
    environ.set_item(intern!(py, "wsgi.early_hints"), &kit.early_hints)?;
    environ.set_item(intern!(py, "whiskyjack.client_disconnected"), &kit.client_disconnected)
}

/// Whether a known field is in the environ under its key.
fn is_shown(known: &Known, forwarded: Forwarded, authority: Option<&[u8]>) -> bool {
    match known.role {
        Role::Plain | Role::Cookie => true,
        Role::Forwarded => forwarded != Forwarded::Removed,
        Role::Host => authority.is_none(),
        Role::Length | Role::Left => false,
    }
}

/// The settings that an environ shows.
pub(crate) struct Shown<'a> {
    pub(crate) root_path: &'a str,
    pub(crate) multithread: bool,
    pub(crate) multiprocess: bool,
    pub(crate) header_map: HeaderMap,
    pub(crate) trusted: Vec<Trusted>,
    pub(crate) untrusted: Untrusted,
    pub(crate) extra: &'a [(String, Py<PyAny>)],
    pub(crate) server_software: &'a str,
}

/// Gives the request that this thread answers so many seconds from now on until the next piece of its response; `None` or 0 are for ever.
#[pyfunction]
#[pyo3(signature = (seconds, /))]
fn timeout(seconds: Option<f64>) -> PyResult<()> {
    let limit = match seconds {
        None => None,
        Some(seconds) => {
            let limit = Duration::try_from_secs_f64(seconds).map_err(|_| {
                PyValueError::new_err(format!("a timeout must be 0 or more seconds, not {seconds}"))
            })?;
            (!limit.is_zero()).then_some(limit)
        }
    };
    match call::set_limit(limit) {
        true => Ok(()),
        false => Err(PyRuntimeError::new_err(
            "whiskyjack.timeout() was called on a thread that answers no request; call it on the one that the server called the application on",
        )),
    }
}

impl Constants {
    pub(crate) fn new(py: Python<'_>, shown: Shown<'_>) -> PyResult<Constants> {
        let mut root = shown.root_path.trim_end_matches('/').as_bytes().to_vec();
        if !root.is_empty() && root[0] != b'/' {
            root.insert(0, b'/');
        }
        let dict = PyDict::new(py);
        // What each request sets stands here too, with the commonest value: a copy then needs no growth.
        dict.set_item(intern!(py, "REQUEST_METHOD"), intern!(py, "GET"))?;
        dict.set_item(intern!(py, "SCRIPT_NAME"), lasting(py, &root)?)?;
        dict.set_item(intern!(py, "PATH_INFO"), intern!(py, ""))?;
        dict.set_item(intern!(py, "QUERY_STRING"), intern!(py, ""))?;
        dict.set_item(intern!(py, "REQUEST_URI"), intern!(py, ""))?;
        dict.set_item(intern!(py, "RAW_URI"), intern!(py, ""))?;
        dict.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.1"))?;
        let software = lasting(py, shown.server_software.as_bytes())?;
        dict.set_item(intern!(py, "SERVER_SOFTWARE"), software)?;
        // A literal, for it lives for ever as well.
        dict.set_item(intern!(py, "wsgi.version"), py.eval(c"(1, 0)", None, None)?)?;
        dict.set_item(intern!(py, "wsgi.errors"), errors(py)?)?;
        dict.set_item(intern!(py, "wsgi.multithread"), shown.multithread)?;
        dict.set_item(intern!(py, "wsgi.multiprocess"), shown.multiprocess)?;
        dict.set_item(intern!(py, "wsgi.run_once"), false)?;
        dict.set_item(intern!(py, "wsgi.file_wrapper"), FileWrapper::type_object(py))?;
        dict.set_item(intern!(py, "wsgi.input_terminated"), true)?;
        dict.set_item(intern!(py, "wsgi.input"), py.None())?;
        dict.set_item(intern!(py, "wsgi.early_hints"), py.None())?;
        dict.set_item(intern!(py, "whiskyjack.client_disconnected"), py.None())?;
        dict.set_item(intern!(py, "whiskyjack.queue_time"), 0.0)?;
        dict.set_item(intern!(py, "whiskyjack.timeout"), wrap_pyfunction!(timeout, py)?)?;
        for (key, value) in shown.extra {
            dict.set_item(PyString::intern(py, key), value)?;
        }
        Ok(Constants {
            dict: dict.unbind(),
            above: None,
            root,
            header_map: shown.header_map,
            trust: Trust(shown.trusted),
            untrusted: shown.untrusted,
        })
    }

    /// See [`crate::Gateway::between`].
    pub(crate) fn between(
        self,
        py: Python<'_>,
        below: Option<&Bound<'_, PyDict>>,
        above: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Constants> {
        let dict = PyDict::new(py);
        for (key, value) in below.into_iter().flatten() {
            // What a request may bring must not be taken for something that it has brought.
            let is_the_requests = match key.cast::<PyString>() {
                Ok(key) => {
                    key.to_string_lossy().starts_with("HTTP_")
                        || *key == "CONTENT_TYPE"
                        || *key == "CONTENT_LENGTH"
                        || *key == "REMOTE_PORT"
                }
                Err(_) => false,
            };
            if !is_the_requests {
                dict.set_item(key, value)?;
            }
        }
        dict.update(self.dict.bind(py).as_mapping())?;
        Ok(Constants {
            dict: dict.unbind(),
            above: above.map(|above| above.clone().unbind()),
            ..self
        })
    }

    /// What every environ of a connection begins with.
    pub(crate) fn template(&self, py: Python<'_>, exchange: &dyn Exchange) -> PyResult<Template> {
        let origin = exchange.origin();
        let dict = self.dict.bind(py).copy()?;
        let scheme = if origin.secure { intern!(py, "https") } else { intern!(py, "http") };
        dict.set_item(intern!(py, "wsgi.url_scheme"), scheme)?;
        if let Some(security) = exchange.security() {
            secured::show(&dict, &security)?;
        }
        let (name, port) = match &origin.local {
            // RFC 3875 4.1.14: an IPv6 address stands in brackets, as it does in a URL.
            Address::Inet(address) => {
                let ip = address.ip().to_canonical();
                let name = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
                (name, address.port().to_string())
            }
            // PEP 3333 lets neither be empty, and a Unix socket has neither. These make the URL that a client on this host would use.
            Address::Unix(_) => {
                ("localhost".to_owned(), if origin.secure { "443" } else { "80" }.to_owned())
            }
        };
        dict.set_item(intern!(py, "SERVER_NAME"), name)?;
        dict.set_item(intern!(py, "SERVER_PORT"), port)?;
        match &origin.peer {
            Address::Inet(address) => {
                dict.set_item(intern!(py, "REMOTE_ADDR"), address.ip().to_canonical().to_string())?;
                dict.set_item(intern!(py, "REMOTE_PORT"), address.port().to_string())?;
            }
            // Applications read the address without asking whether it is there; none needs the port.
            Address::Unix(_) => dict.set_item(intern!(py, "REMOTE_ADDR"), intern!(py, ""))?,
        }
        if let Some(above) = &self.above {
            dict.update(above.bind(py).as_mapping())?;
            // The request's own, which an empty one must not hide.
            for key in [intern!(py, "CONTENT_LENGTH"), intern!(py, "CONTENT_TYPE")] {
                if dict.contains(key)? {
                    dict.del_item(key)?;
                }
            }
        }
        let forwarded = match self.untrusted {
            _ if self.trust.has(origin) => Forwarded::Believed,
            Untrusted::Keep => Forwarded::Shown,
            Untrusted::Remove => Forwarded::Removed,
        };
        let is_unix = matches!(origin.local, Address::Unix(_));
        Ok(Template {
            dict: dict.unbind(),
            kit: None,
            learned: None,
            lessons: LESSONS,
            is_fresh: true,
            forwarded,
            is_secure: origin.secure,
            is_unix,
        })
    }

    /// The environ of one request.
    pub(crate) fn environ<'py>(
        &self,
        py: Python<'py>,
        template: &mut Template,
        exchange: &dyn Exchange,
    ) -> Result<Bound<'py, PyDict>, Unfit> {
        let head = exchange.head();
        if head.is_https() && !template.is_secure && template.forwarded != Forwarded::Believed {
            return Err(Unfit::Misdirected);
        }
        let told = match template.forwarded {
            Forwarded::Believed => {
                forwarded::told(head.fields(), &self.trust, forwarded::warn_once)?
            }
            Forwarded::Shown | Forwarded::Removed => Told::default(),
        };
        let environ = self.with_fields(py, template, exchange)?;
        if head.method() != b"GET" {
            environ.set_item(intern!(py, "REQUEST_METHOD"), method(py, head.method())?)?;
        }
        if head.version() == Version::Http10 {
            environ.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.0"))?;
        }
        let root = told.prefix.as_deref().unwrap_or(&self.root);
        set_target(&environ, head, root)?;
        if template.forwarded == Forwarded::Believed {
            set_told(&environ, &told, template)?;
        }
        let queued = exchange.queued();
        if !queued.is_zero() {
            let seconds = PyFloat::new(py, queued.as_secs_f64());
            environ.set_item(intern!(py, "whiskyjack.queue_time"), seconds)?;
        }
        Ok(environ)
    }

    /// A copy of the template with the request's fields.
    fn with_fields<'py>(
        &self,
        py: Python<'py>,
        template: &mut Template,
        exchange: &dyn Exchange,
    ) -> Result<Bound<'py, PyDict>, Unfit> {
        let (head, upload) = (exchange.head(), exchange.upload());
        let is_learnable = upload == Upload::Collected(0) && head.authority().is_none();
        if is_learnable
            && let Some(learned) = &template.learned
            && let Some(changes) = learned.changes(head)
        {
            let environ = learned.environ.bind(py).copy()?;
            for (key, value) in learned.changed(head, changes) {
                environ.set_item(key, latin1(py, value)?)?;
            }
            return Ok(environ);
        }
        let environ = template.dict.bind(py).copy()?;
        let mut keys = Vec::new();
        let learns = is_learnable && !template.is_fresh && template.lessons > 0;
        template.is_fresh = false;
        self.set_fields(&environ, head, upload, template.forwarded, &mut |key| {
            if learns {
                keys.push(key.map(|key| key.clone().unbind()));
            }
        })?;
        if learns {
            template.lessons -= 1;
            // Its place may be the one that is needed.
            template.learned = None;
            let has_length = environ.contains(intern!(py, "CONTENT_LENGTH"))?;
            template.learned = match has_length {
                true => None,
                false => Learned::new(py, head, keys, environ.copy()?.unbind()),
            };
        }
        Ok(environ)
    }

    /// Sets what the fields bring, and tells `each` of them the key, `None` where it is left out.
    fn set_fields(
        &self,
        environ: &Bound<'_, PyDict>,
        head: &RequestHead,
        upload: Upload,
        forwarded: Forwarded,
        each: &mut dyn FnMut(Option<&Bound<'_, PyString>>),
    ) -> Result<(), Unfit> {
        let py = environ.py();
        let names = Names::shared(py)?;
        let authority = head.authority();
        // A body of chunks has a length too, once it is collected, be it 0: then the application never learns of the coding.
        let mut has_length = matches!(upload, Upload::Collected(1..));
        for (name, value) in head.fields() {
            let Some(known) = names.find(name) else {
                let key = self.unknown(py, name)?;
                if let Some(key) = &key {
                    set_field(environ, key, value, b",")?;
                }
                each(key.as_ref());
                continue;
            };
            has_length |= known.role == Role::Length;
            let key = is_shown(known, forwarded, authority).then(|| known.key.bind(py));
            if let Some(key) = key {
                let separator: &[u8] = if known.role == Role::Cookie { b"; " } else { b"," };
                set_field(environ, key, value, separator)?;
            }
            each(key);
        }
        if let Some(authority) = authority {
            environ.set_item(intern!(py, "HTTP_HOST"), latin1(py, authority)?)?;
        }
        if has_length && let Upload::Collected(length) | Upload::Streaming(Some(length)) = upload {
            environ.set_item(intern!(py, "CONTENT_LENGTH"), length.to_string())?;
        }
        Ok(())
    }

    /// The key of a field that is not in the table; `None` where it is left out.
    fn unknown<'py>(
        &self,
        py: Python<'py>,
        name: &[u8],
    ) -> Result<Option<Bound<'py, PyString>>, Unfit> {
        let key = cgi_name(name);
        if memchr(b'_', name).is_some() {
            match self.header_map {
                HeaderMap::Refuse => return Err(Unfit::Refused(name.to_vec())),
                HeaderMap::Drop => {
                    warn_once(name);
                    return Ok(None);
                }
                HeaderMap::Allow => {
                    // What CGI has for itself stays the server's own word.
                    if RESERVED.contains(&&key[..]) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(latin1(py, &key)?))
    }
}

fn set_target(environ: &Bound<'_, PyDict>, head: &RequestHead, root: &[u8]) -> PyResult<()> {
    let py = environ.py();
    let target = latin1(py, head.target())?;
    let path = match head.path() {
        // `OPTIONS *` asks for no path; RFC 3875 4.1.5 wants one to begin with `/`.
        b"*" => b"",
        path => path,
    };
    let decoded;
    let path = match memchr(b'%', path) {
        None => path,
        Some(first) => {
            decoded = percent::decoded(path, first);
            &decoded[..]
        }
    };
    let path = match path.strip_prefix(root) {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => rest,
        // A proxy has taken the prefix off, or it is another one.
        _ => path,
    };
    if path == head.target() {
        environ.set_item(intern!(py, "PATH_INFO"), &target)?;
    } else {
        environ.set_item(intern!(py, "PATH_INFO"), latin1(py, path)?)?;
    }
    if let Some(query) = head.query()
        && !query.is_empty()
    {
        environ.set_item(intern!(py, "QUERY_STRING"), latin1(py, query)?)?;
    }
    environ.set_item(intern!(py, "REQUEST_URI"), &target)?;
    environ.set_item(intern!(py, "RAW_URI"), target)
}

/// Sets what trusted proxies tell over what the connection and the Host field tell.
fn set_told(environ: &Bound<'_, PyDict>, told: &Told, template: &Template) -> PyResult<()> {
    let py = environ.py();
    if let Some(prefix) = &told.prefix {
        environ.set_item(intern!(py, "SCRIPT_NAME"), latin1(py, prefix)?)?;
    }
    if let Some(client) = told.client {
        environ.set_item(intern!(py, "REMOTE_ADDR"), client.address.to_string())?;
        let key = intern!(py, "REMOTE_PORT");
        match client.port {
            Some(port) => environ.set_item(key, port.to_string())?,
            // The proxy's would be wrong with the client's address.
            None if environ.contains(key)? => environ.del_item(key)?,
            None => {}
        }
    }
    let is_secure = told.scheme.map_or(template.is_secure, |scheme| scheme == Scheme::Https);
    if told.scheme.is_some() {
        let scheme = if is_secure { intern!(py, "https") } else { intern!(py, "http") };
        environ.set_item(intern!(py, "wsgi.url_scheme"), scheme)?;
        if !is_secure && template.is_secure {
            secured::hide(environ)?;
        }
    }
    let default = if is_secure { 443 } else { 80 };
    let mut port = told.port.map(|port| port.to_string().into_bytes());
    if let Some(host) = &told.host {
        let (name, own) = forwarded::name_and_port(host);
        environ.set_item(intern!(py, "SERVER_NAME"), latin1(py, name)?)?;
        let mut host = host.clone();
        match (own, told.port) {
            (Some(own), _) => port = Some(own.to_vec()),
            (None, Some(told)) if told != default => {
                host = [name, format!(":{told}").as_bytes()].concat();
            }
            (None, Some(_)) => {}
            (None, None) => port = Some(default.to_string().into_bytes()),
        }
        environ.set_item(intern!(py, "HTTP_HOST"), latin1(py, &host)?)?;
    }
    match port {
        Some(port) => environ.set_item(intern!(py, "SERVER_PORT"), latin1(py, &port)?),
        None if template.is_unix => {
            environ.set_item(intern!(py, "SERVER_PORT"), default.to_string())
        }
        None => Ok(()),
    }
}

/// Names that a field with a `_` could bring, and that no field may bring.
const RESERVED: [&[u8]; 9] = [
    b"HTTP_CONTENT_LENGTH",
    b"HTTP_CONTENT_TYPE",
    b"HTTP_PROXY",
    b"HTTP_TRANSFER_ENCODING",
    b"HTTP_X_FORWARDED_FOR",
    b"HTTP_X_FORWARDED_HOST",
    b"HTTP_X_FORWARDED_PORT",
    b"HTTP_X_FORWARDED_PREFIX",
    b"HTTP_X_FORWARDED_PROTO",
];

/// Sets a field, or joins it to what the same name brought before (RFC 9110 5.3, RFC 3875 4.1.18).
fn set_field(
    environ: &Bound<'_, PyDict>,
    key: &Bound<'_, PyString>,
    value: &[u8],
    separator: &[u8],
) -> PyResult<()> {
    let py = environ.py();
    if insert(environ, key, &latin1(py, value)?)? {
        return Ok(());
    }
    let Some(before) = environ.get_item(key)? else { return Ok(()) };
    let tail = latin1(py, &[separator, value].concat())?;
    environ.set_item(key, before.add(tail)?)
}

fn method<'py>(py: Python<'py>, method: &[u8]) -> PyResult<Bound<'py, PyString>> {
    Ok(match method {
        b"POST" => intern!(py, "POST").clone(),
        b"HEAD" => intern!(py, "HEAD").clone(),
        b"PUT" => intern!(py, "PUT").clone(),
        b"DELETE" => intern!(py, "DELETE").clone(),
        b"OPTIONS" => intern!(py, "OPTIONS").clone(),
        b"PATCH" => intern!(py, "PATCH").clone(),
        _ => latin1(py, method)?,
    })
}

/// `sys.stderr`; where there is none (pythonw, a daemon), what is written goes nowhere.
fn errors(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let stderr = py.import("sys")?.getattr("stderr")?;
    if !stderr.is_none() {
        return Ok(stderr);
    }
    let null = py.import("os")?.getattr("devnull")?;
    py.import("builtins")?.getattr("open")?.call1((null, "w"))
}

/// Says that a field was left out because of its name, once for each name.
fn warn_once(name: &[u8]) {
    /// Names are the peer's: only so many are remembered and told.
    const MOST: usize = 100;
    /// guards the names that were told
    static TOLD: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());
    let name = name.to_ascii_lowercase();
    let shown = name.escape_ascii().to_string();
    let is_new = {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MOST && told.insert(name)
    };
    if is_new {
        log::warn!(
            "field {shown} is left out of the environ: a name with '_' could pass for one with '-'"
        );
    }
}
