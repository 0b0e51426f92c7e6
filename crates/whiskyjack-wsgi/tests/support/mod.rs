//! An exchange in memory, an application from a few lines of Python, and what came of the two.

use pyo3::ffi::c_str;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Once;
use std::time::Duration;
use whiskyjack_proto::head::{RequestHead, ResponseHead};
use whiskyjack_proto::parse::{HeadLimits, HeadParser, Progress};
use whiskyjack_server::exchange::{
    Address, Application, Block, Exchange, Failure, Kept, Origin, Sent, Upload,
};
use whiskyjack_wsgi::{Gateway, HeaderMap, Options, Untrusted};

/// One thing that the gateway did to the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// an interim response: its status line and fields
    Interim(String),
    /// the final head, with the length that was given beside it
    Start(String, Option<u64>),
    Write(Vec<u8>),
    WriteLast(Vec<u8>),
    File(Vec<u8>),
    Waited,
}

/// How a request's body lies there.
pub enum Body {
    Memory(Vec<u8>),
    /// collected, but not in memory
    Spooled(Vec<u8>),
    /// comes in these steps, and then ends
    Streaming(Option<u64>, VecDeque<io::Result<Vec<u8>>>),
}

/// An exchange in memory.
pub struct Memory {
    head: RequestHead,
    pub origin: Origin,
    pub body: Body,
    announced: Upload,
    pub queued: Duration,
    cache: Option<Box<dyn Any + Send>>,
    pub events: Vec<Event>,
    status: u16,
    started: bool,
    length: Option<u64>,
    given: u64,
    /// what is kept beyond a write, as a full socket has it
    pub kept: Vec<Box<dyn Kept>>,
    /// every write finds the socket full
    pub full: bool,
    /// writes that succeed before the peer goes; `None` for a peer that stays
    pub patience: Option<usize>,
    /// a write panics
    pub broken: bool,
}

impl Memory {
    /// A request with this head (lines end with a line feed) and no body.
    pub fn request(head: &str) -> Memory {
        Memory::with_body(head, Body::Memory(Vec::new()))
    }

    pub fn get(target: &str) -> Memory {
        Memory::request(&format!("GET {target} HTTP/1.1\nHost: example.org\n"))
    }

    /// A POST whose body lies in memory.
    pub fn post(body: &[u8]) -> Memory {
        let head = format!("POST / HTTP/1.1\nHost: example.org\nContent-Length: {}\n", body.len());
        Memory::with_body(&head, Body::Memory(body.to_vec()))
    }

    pub fn with_body(head: &str, body: Body) -> Memory {
        let announced = match &body {
            Body::Memory(bytes) | Body::Spooled(bytes) => Upload::Collected(bytes.len() as u64),
            Body::Streaming(length, _) => Upload::Streaming(*length),
        };
        Memory {
            head: parse(head),
            origin: Origin {
                peer: inet([192, 0, 2, 7], 40001),
                local: inet([198, 51, 100, 1], 8000),
                secure: false,
                claimed: false,
            },
            body,
            announced,
            queued: Duration::ZERO,
            cache: None,
            events: Vec::new(),
            status: 0,
            started: false,
            length: None,
            given: 0,
            kept: Vec::new(),
            full: false,
            patience: None,
            broken: false,
        }
    }

    /// The next request of the same connection.
    pub fn then(mut self, mut next: Memory) -> Memory {
        next.cache = self.cache.take();
        next
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        if let Some(patience) = &mut self.patience {
            *patience = patience.checked_sub(1).ok_or_else(|| {
                Failure::Disconnected(io::Error::new(io::ErrorKind::BrokenPipe, "gone"))
            })?;
        }
        assert!(self.started, "a piece before the head");
        let room = self.length.map_or(u64::MAX, |length| length.saturating_sub(self.given));
        let cut = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.given += bytes.len() as u64;
        Ok(if self.is_bodyless() { Vec::new() } else { bytes[..cut].to_vec() })
    }

    /// The status line and fields of the final response.
    pub fn response(&self) -> &str {
        self.events
            .iter()
            .find_map(|event| match event {
                Event::Start(head, _) => Some(&head[..]),
                _ => None,
            })
            .expect("there is a response")
    }

    /// All bytes of the body.
    pub fn sent(&self) -> Vec<u8> {
        let pieces = self.events.iter().map(|event| match event {
            Event::Write(bytes) | Event::WriteLast(bytes) | Event::File(bytes) => &bytes[..],
            _ => b"",
        });
        pieces.collect::<Vec<_>>().concat()
    }
}

pub fn inet(address: [u8; 4], port: u16) -> Address {
    Address::Inet(SocketAddr::from((Ipv4Addr::from(address), port)))
}

fn parse(lines: &str) -> RequestHead {
    // Heads are written as text; a character stands for its latin-1 byte.
    let text = format!("{}\n", lines).replace('\n', "\r\n");
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(c).expect("latin-1")).collect();
    let limits = HeadLimits { line: 8192, fields: 100, field: 8192, head: 65536 };
    let mut head = RequestHead::default();
    let progress = HeadParser::default().parse(&bytes, &limits, &mut head).expect("a right head");
    assert_eq!(progress, Progress::Complete(bytes.len()));
    head
}

fn shown(head: &ResponseHead) -> String {
    let mut text = String::from_utf8_lossy(head.status_line()).into_owned();
    for (name, value) in head.fields() {
        text += &format!("\n{}: {}", name.escape_ascii(), value.escape_ascii());
    }
    text
}

impl Exchange for Memory {
    fn head(&self) -> &RequestHead {
        &self.head
    }
    fn origin(&self) -> &Origin {
        &self.origin
    }
    fn upload(&self) -> Upload {
        self.announced
    }
    fn queued(&self) -> Duration {
        self.queued
    }
    fn cache(&mut self) -> &mut Option<Box<dyn Any + Send>> {
        &mut self.cache
    }
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = match &mut self.body {
            Body::Memory(bytes) | Body::Spooled(bytes) => bytes,
            Body::Streaming(_, steps) => match steps.front_mut() {
                None => return Ok(0),
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Err(io::Error::new(error.kind(), error.to_string())),
            },
        };
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        if let Body::Streaming(_, steps) = &mut self.body
            && matches!(steps.front(), Some(Ok(bytes)) if bytes.is_empty())
        {
            steps.pop_front();
        }
        Ok(count)
    }
    fn peek(&mut self) -> Option<&[u8]> {
        match &self.body {
            Body::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }
    fn advance(&mut self, count: usize) {
        match &mut self.body {
            Body::Memory(bytes) => drop(bytes.drain(..count)),
            _ => panic!("advance without peek"),
        }
    }
    fn interim(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        self.events.push(Event::Interim(shown(head)));
        Ok(())
    }
    fn start(&mut self, head: &ResponseHead, length: Option<u64>) {
        assert!(!self.started, "started twice");
        self.started = true;
        self.status = head.status();
        self.length = head
            .value(b"Content-Length")
            .map(|value| String::from_utf8_lossy(value).parse().expect("a number"))
            .or(length);
        self.events.push(Event::Start(shown(head), length));
    }
    fn is_started(&self) -> bool {
        self.started
    }
    fn is_bodyless(&self) -> bool {
        self.head.method() == b"HEAD" || matches!(self.status, 204 | 304)
    }
    fn write(&mut self, piece: &dyn Block) -> Result<Sent, Failure> {
        assert!(!self.broken, "the exchange is broken");
        let bytes = self.take(piece.bytes())?;
        self.events.push(Event::Write(bytes));
        if !self.full {
            return Ok(Sent::Taken);
        }
        self.kept.push(piece.keep());
        Ok(Sent::Full)
    }
    fn write_last(&mut self, piece: &dyn Block) -> Result<(), Failure> {
        let bytes = self.take(piece.bytes())?;
        self.events.push(Event::WriteLast(bytes));
        if self.full {
            self.kept.push(piece.keep());
        }
        Ok(())
    }
    fn write_file(&mut self, file: OwnedFd, offset: u64, length: u64) -> Result<Sent, Failure> {
        let mut file = File::from(file);
        let mut bytes = vec![0; usize::try_from(length).expect("a small file")];
        file.seek(SeekFrom::Start(offset)).expect("a seekable file");
        file.read_exact(&mut bytes).expect("a file of that length");
        let bytes = self.take(&bytes)?;
        self.events.push(Event::File(bytes));
        Ok(Sent::Taken)
    }
    fn wait_writable(&mut self) -> Result<(), Failure> {
        self.events.push(Event::Waited);
        Ok(())
    }
    fn excess(&self) -> u64 {
        self.length.map_or(0, |length| self.given.saturating_sub(length))
    }
    fn missing(&self) -> u64 {
        self.length.map_or(0, |length| length.saturating_sub(self.given))
    }
    fn is_disconnected(&mut self) -> bool {
        self.patience == Some(0)
    }
}

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what a thread logs for the test that runs on it.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{}: {}", record.level(), record.args());
        LOGGED.with_borrow_mut(|logged| logged.push(line));
    }
    fn flush(&self) {}
}

/// What this thread has logged since it was asked last.
pub fn logged() -> Vec<String> {
    LOGGED.take()
}

/// A gateway to an application that is written in a test.
pub struct Program {
    pub gateway: Gateway,
    globals: Py<PyDict>,
}

pub fn options() -> Options {
    Options {
        root_path: String::new(),
        multithread: true,
        multiprocess: false,
        header_map: HeaderMap::Drop,
        trusted: Vec::new(),
        untrusted: Untrusted::Remove,
        extra: Vec::new(),
        server_software: "whiskyjack/test".to_owned(),
    }
}

impl Program {
    /// The code defines `app`; `seen` is a list that it may fill.
    pub fn new(code: &str) -> Program {
        Program::with_options(code, options())
    }

    pub fn with_options(code: &str, options: Options) -> Program {
        static LOGGER: Once = Once::new();
        LOGGER.call_once(|| {
            log::set_logger(&Logger).expect("no other logger");
            log::set_max_level(log::LevelFilter::Debug);
        });
        logged();
        Python::attach(|py| {
            let globals = PyDict::new(py);
            py.run(c_str!("seen = []"), Some(&globals), None).expect("a list");
            let code = CString::new(code).expect("no NUL");
            py.run(&code, Some(&globals), None).expect("right code");
            let app = globals.get_item("app").expect("a dict").expect("an app").unbind();
            let gateway = Gateway::new(py, app, options).expect("a callable");
            Program { gateway, globals: globals.unbind() }
        })
    }

    /// Serves one request, and logs what came of it to the test's own output.
    pub fn serve(&self, mut memory: Memory) -> (Memory, Result<(), Failure>) {
        let result = self.gateway.call(&mut memory);
        (memory, result)
    }

    /// Serves one request without any fault.
    pub fn serve_well(&self, memory: Memory) -> Memory {
        let (memory, result) = self.serve(memory);
        assert!(result.is_ok(), "{result:?}: {:?}", logged());
        memory
    }

    /// Serves one request that fails by the application's fault, and gives the one log line of it.
    pub fn fail(&self, memory: Memory) -> (Memory, String) {
        let (memory, result) = self.serve(memory);
        assert!(matches!(result, Err(Failure::Application)), "{result:?}");
        let logged = logged();
        assert_eq!(logged.len(), 1, "{logged:?}");
        (memory, logged.into_iter().next().unwrap_or_default())
    }

    /// Runs more code in the application's module.
    pub fn run(&self, code: &str) {
        Python::attach(|py| {
            let code = CString::new(code).expect("no NUL");
            if let Err(error) = py.run(&code, Some(self.globals.bind(py)), None) {
                error.print(py);
                panic!("the code raised");
            }
        });
    }

    /// The `repr` of an expression in the application's module.
    pub fn eval(&self, expression: &str) -> String {
        Python::attach(|py| {
            let expression = CString::new(expression).expect("no NUL");
            let value = py.eval(&expression, Some(self.globals.bind(py)), None);
            value.and_then(|value| value.repr()).expect("a value").to_string()
        })
    }

    /// The value of an expression that gives a str.
    pub fn text(&self, expression: &str) -> String {
        Python::attach(|py| {
            let expression = CString::new(expression).expect("no NUL");
            let value = py.eval(&expression, Some(self.globals.bind(py)), None);
            value.and_then(|value| value.extract()).expect("a str")
        })
    }
}
