//! From a request to PEP 3333's environ. The only room that spells CGI names.

use crate::file_wrapper::FileWrapper;
use crate::forwarded::{self, Contradiction, Scheme, Told, Trust, Trusted, Untrusted};
use crate::input::Input;
use crate::percent;
use crate::raw::{insert, latin1};
use crate::start_response::StartResponse;
use memchr::memchr;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyString};
use pyo3::{PyTypeInfo, intern};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use whiskyjack_proto::head::{RequestHead, Version};
use whiskyjack_server::exchange::{Address, Exchange, Origin, Upload};

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
    /// SCRIPT_NAME: empty, or with a `/` in front and none behind
    root: Vec<u8>,
    header_map: HeaderMap,
    trust: Trust,
    untrusted: Untrusted,
}

/// What is the same in every environ of a connection.
pub(crate) struct Template {
    dict: Py<PyDict>,
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

impl Constants {
    pub(crate) fn new(py: Python<'_>, shown: Shown<'_>) -> PyResult<Constants> {
        let mut root = shown.root_path.trim_end_matches('/').as_bytes().to_vec();
        if !root.is_empty() && root[0] != b'/' {
            root.insert(0, b'/');
        }
        let dict = PyDict::new(py);
        // What each request sets stands here too, with the commonest value: a copy then needs no growth.
        dict.set_item(intern!(py, "REQUEST_METHOD"), intern!(py, "GET"))?;
        dict.set_item(intern!(py, "SCRIPT_NAME"), latin1(py, &root)?)?;
        dict.set_item(intern!(py, "PATH_INFO"), intern!(py, ""))?;
        dict.set_item(intern!(py, "QUERY_STRING"), intern!(py, ""))?;
        dict.set_item(intern!(py, "REQUEST_URI"), intern!(py, ""))?;
        dict.set_item(intern!(py, "RAW_URI"), intern!(py, ""))?;
        dict.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.1"))?;
        let software = latin1(py, shown.server_software.as_bytes())?;
        dict.set_item(intern!(py, "SERVER_SOFTWARE"), software)?;
        dict.set_item(intern!(py, "wsgi.version"), (1, 0))?;
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
        for (key, value) in shown.extra {
            dict.set_item(PyString::intern(py, key), value)?;
        }
        Ok(Constants {
            dict: dict.unbind(),
            root,
            header_map: shown.header_map,
            trust: Trust(shown.trusted),
            untrusted: shown.untrusted,
        })
    }

    /// What every environ of a connection begins with.
    pub(crate) fn template(&self, py: Python<'_>, origin: &Origin) -> PyResult<Template> {
        let dict = self.dict.bind(py).copy()?;
        let scheme = if origin.secure { intern!(py, "https") } else { intern!(py, "http") };
        dict.set_item(intern!(py, "wsgi.url_scheme"), scheme)?;
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
        let forwarded = match self.untrusted {
            _ if self.trust.has(&origin.peer) => Forwarded::Believed,
            Untrusted::Keep => Forwarded::Shown,
            Untrusted::Remove => Forwarded::Removed,
        };
        let is_unix = matches!(origin.local, Address::Unix(_));
        Ok(Template { dict: dict.unbind(), forwarded, is_secure: origin.secure, is_unix })
    }

    /// The environ of one request.
    pub(crate) fn environ<'py>(
        &self,
        template: &Template,
        exchange: &dyn Exchange,
        request: &Bound<'py, StartResponse>,
    ) -> Result<Bound<'py, PyDict>, Unfit> {
        let py = request.py();
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
        let environ = template.dict.bind(py).copy()?;
        if head.method() != b"GET" {
            environ.set_item(intern!(py, "REQUEST_METHOD"), method(py, head.method())?)?;
        }
        if head.version() == Version::Http10 {
            environ.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.0"))?;
        }
        let root = told.prefix.as_deref().unwrap_or(&self.root);
        set_target(&environ, head, root)?;
        self.set_fields(&environ, head, exchange.upload(), template.forwarded)?;
        if template.forwarded == Forwarded::Believed {
            set_told(&environ, &told, template)?;
        }
        environ.set_item(
            intern!(py, "wsgi.input"),
            Bound::new(py, Input::new(request.clone().unbind()))?,
        )?;
        environ.set_item(
            intern!(py, "wsgi.early_hints"),
            request.getattr(intern!(py, "early_hints"))?,
        )?;
        environ.set_item(
            intern!(py, "whiskyjack.client_disconnected"),
            request.getattr(intern!(py, "client_disconnected"))?,
        )?;
        environ.set_item(
            intern!(py, "whiskyjack.queue_time"),
            PyFloat::new(py, exchange.queued().as_secs_f64()),
        )?;
        Ok(environ)
    }

    fn set_fields(
        &self,
        environ: &Bound<'_, PyDict>,
        head: &RequestHead,
        upload: Upload,
        forwarded: Forwarded,
    ) -> Result<(), Unfit> {
        let py = environ.py();
        let names = Names::shared(py)?;
        let authority = head.authority();
        // A body of chunks has a length too, once it is collected, be it 0: then the application never learns of the coding.
        let mut has_length = matches!(upload, Upload::Collected(1..));
        for (name, value) in head.fields() {
            let Some(known) = names.find(name) else {
                if let Some(key) = self.unknown(py, name)? {
                    set_field(environ, &key, value, b",")?;
                }
                continue;
            };
            let key = known.key.bind(py);
            match known.role {
                Role::Plain => set_field(environ, key, value, b",")?,
                Role::Forwarded if forwarded == Forwarded::Removed => {}
                Role::Forwarded => set_field(environ, key, value, b",")?,
                Role::Cookie => set_field(environ, key, value, b"; ")?,
                Role::Host if authority.is_some() => {}
                Role::Host => set_field(environ, key, value, b",")?,
                Role::Length => has_length = true,
                Role::Left => {}
            }
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

fn cgi_name(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + name.len());
    key.extend_from_slice(b"HTTP_");
    key.extend(name.iter().map(|byte| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }));
    key
}

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

/// What a field becomes.
#[derive(Clone, Copy)]
enum Role {
    Plain,
    Cookie,
    /// what a proxy tells of the client; the application sees it only where it is meant to
    Forwarded,
    Host,
    /// its value comes from the body's framing
    Length,
    /// never in the environ
    Left,
}

struct Known {
    name: &'static [u8],
    key: Py<PyString>,
    role: Role,
}

/// The known field names with their ready keys, found by a hash of a few of their letters.
struct Names {
    slots: Vec<Option<Known>>,
}

const SLOTS: usize = 256;

impl Names {
    fn shared(py: Python<'_>) -> PyResult<&'static Names> {
        static NAMES: PyOnceLock<Names> = PyOnceLock::new();
        NAMES.get_or_try_init(py, || Names::new(py))
    }

    fn new(py: Python<'_>) -> PyResult<Names> {
        let mut slots: Vec<Option<Known>> = std::iter::repeat_with(|| None).take(SLOTS).collect();
        for (name, role) in FIELDS {
            let key = match *name {
                "content-type" => "CONTENT_TYPE".to_owned(),
                name => String::from_utf8_lossy(&cgi_name(name.as_bytes())).into_owned(),
            };
            let name = name.as_bytes();
            let mut slot = hash(name);
            while slots[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] =
                Some(Known { name, key: PyString::intern(py, &key).unbind(), role: *role });
        }
        Ok(Names { slots })
    }

    fn find(&self, name: &[u8]) -> Option<&Known> {
        if name.is_empty() {
            return None;
        }
        let mut slot = hash(name);
        loop {
            let known = self.slots[slot].as_ref()?;
            if known.name.eq_ignore_ascii_case(name) {
                return Some(known);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// The name is not empty.
fn hash(name: &[u8]) -> usize {
    let letter = |index: usize| usize::from(name[index] | 0x20);
    let length = name.len();
    (length * 7 + letter(0) * 13 + letter(length - 1) * 29 + letter(length / 2) * 53) % SLOTS
}

/// The names that clients and proxies send, in lower case. Only these have interned keys: to intern a name of the peer's
/// own choice would keep it for ever on some interpreters.
const FIELDS: &[(&str, Role)] = &[
    ("accept", Role::Plain),
    ("accept-charset", Role::Plain),
    ("accept-encoding", Role::Plain),
    ("accept-language", Role::Plain),
    ("access-control-request-headers", Role::Plain),
    ("access-control-request-method", Role::Plain),
    ("authorization", Role::Plain),
    ("cache-control", Role::Plain),
    ("cdn-loop", Role::Plain),
    ("cf-connecting-ip", Role::Plain),
    ("cf-ipcountry", Role::Plain),
    ("cf-ray", Role::Plain),
    ("cf-visitor", Role::Plain),
    ("connection", Role::Plain),
    ("content-disposition", Role::Plain),
    ("content-encoding", Role::Plain),
    ("content-language", Role::Plain),
    ("content-length", Role::Length),
    ("content-location", Role::Plain),
    ("content-md5", Role::Plain),
    ("content-range", Role::Plain),
    ("content-type", Role::Plain),
    ("cookie", Role::Cookie),
    ("date", Role::Plain),
    ("dnt", Role::Plain),
    ("expect", Role::Plain),
    ("forwarded", Role::Forwarded),
    ("from", Role::Plain),
    ("host", Role::Host),
    ("if-match", Role::Plain),
    ("if-modified-since", Role::Plain),
    ("if-none-match", Role::Plain),
    ("if-range", Role::Plain),
    ("if-unmodified-since", Role::Plain),
    ("keep-alive", Role::Plain),
    ("max-forwards", Role::Plain),
    ("origin", Role::Plain),
    ("pragma", Role::Plain),
    ("priority", Role::Plain),
    // A client could set the proxy of the application's own requests with it (httpoxy, CVE-2016-5385).
    ("proxy", Role::Left),
    ("proxy-authorization", Role::Plain),
    ("range", Role::Plain),
    ("referer", Role::Plain),
    ("save-data", Role::Plain),
    ("sec-ch-ua", Role::Plain),
    ("sec-ch-ua-mobile", Role::Plain),
    ("sec-ch-ua-platform", Role::Plain),
    ("sec-fetch-dest", Role::Plain),
    ("sec-fetch-mode", Role::Plain),
    ("sec-fetch-site", Role::Plain),
    ("sec-fetch-user", Role::Plain),
    ("sec-gpc", Role::Plain),
    ("sec-websocket-extensions", Role::Plain),
    ("sec-websocket-key", Role::Plain),
    ("sec-websocket-protocol", Role::Plain),
    ("sec-websocket-version", Role::Plain),
    ("te", Role::Plain),
    ("traceparent", Role::Plain),
    ("tracestate", Role::Plain),
    ("trailer", Role::Plain),
    // The server has taken the coding off (RFC 9112 6.1).
    ("transfer-encoding", Role::Length),
    ("upgrade", Role::Plain),
    ("upgrade-insecure-requests", Role::Plain),
    ("user-agent", Role::Plain),
    ("via", Role::Plain),
    ("warning", Role::Plain),
    ("x-amzn-trace-id", Role::Plain),
    ("x-api-key", Role::Plain),
    ("x-correlation-id", Role::Plain),
    ("x-csrf-token", Role::Plain),
    ("x-csrftoken", Role::Plain),
    ("x-forwarded-for", Role::Forwarded),
    ("x-forwarded-host", Role::Forwarded),
    ("x-forwarded-port", Role::Forwarded),
    ("x-forwarded-prefix", Role::Forwarded),
    ("x-forwarded-proto", Role::Forwarded),
    ("x-real-ip", Role::Plain),
    ("x-request-id", Role::Plain),
    ("x-request-start", Role::Plain),
    ("x-requested-with", Role::Plain),
    ("x-scheme", Role::Plain),
];

#[cfg(test)]
mod tests {
    use super::FIELDS;

    #[test]
    fn the_known_names_are_lower_case_and_stand_once() {
        assert!(FIELDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(FIELDS.iter().all(|(name, _)| !name.contains(|c: char| c.is_ascii_uppercase())));
    }
}
