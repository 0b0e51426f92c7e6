//! The seam between the machine and what answers requests.
//! HTTP/1.1 connections, HTTP/2 and HTTP/3 streams and the in-memory exchange of tests all stand behind it.

use crate::tls::Security;
use std::any::Any;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use whiskyjack_proto::head::{RequestHead, ResponseHead};

/// Answers requests. The server calls it inline, on the thread that holds the exchange.
pub trait Application: Send + Sync + 'static {
    /// Answers one request. An `Err` after the response has begun ends the connection so that the peer can tell.
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure>;

    /// Runs a server thread's whole life (`life`). A gateway to an interpreter attaches the thread here, once.
    fn thread(&self, life: &mut dyn FnMut()) {
        life();
    }

    /// Runs something that may wait. A gateway to an interpreter detaches the thread around it.
    fn wait(&self, wait: &mut dyn FnMut()) {
        wait();
    }

    /// Whether calls on several threads run at the same time, rather than by turns of one interpreter. Asked once, as serving begins,
    /// on a thread that is not attached to it; what was true then may change later, so that nothing but speed may rest on it.
    fn is_parallel(&self) -> bool {
        true
    }

    /// What the application knows the calling thread by, which is one of the server's.
    fn identity(&self) -> u64 {
        0
    }

    /// What a thread is doing, the innermost last, if that can be seen. `is_current` says whether the call in question is still under way.
    /// May wait as long as somebody keeps the interpreter; called on a thread that has nothing else to do.
    fn stack(&self, identity: u64, is_current: &dyn Fn() -> bool) -> Option<String> {
        let _ = (identity, is_current);
        None
    }

    /// The same while the interpreter is held, as far as it can be seen without: waits for nobody longer than a moment.
    fn glimpse(&self, identity: u64) -> Option<String> {
        let _ = identity;
        None
    }

    /// Interrupts the call that a thread is inside of, and no later one; false if that could not be done. May wait like
    /// [`Application::stack`].
    fn interrupt(&self, identity: u64, is_current: &dyn Fn() -> bool) -> bool {
        let _ = (identity, is_current);
        false
    }
}

/// Why a request was not answered as its application meant to.
#[derive(Debug)]
pub enum Failure {
    /// The application's fault; whoever returns this has logged the details. Answered with 500 where nothing has been sent.
    Application,
    /// The peer has gone or does not take or send bytes any more. Nobody is there to be answered.
    Disconnected(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Application => f.write_str("the application failed"),
            Failure::Disconnected(error) => write!(f, "the peer is gone: {error}"),
        }
    }
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6 with a port
    Inet(SocketAddr),
    /// a Unix socket; the path is that of the listener, `None` for an unnamed end
    Unix(Option<PathBuf>),
}

/// What is known of a connection, the same for every request on it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// the other side
    pub peer: Address,
    /// our side
    pub local: Address,
    /// whether the bytes came through TLS (`https`)
    pub secure: bool,
    /// whether a proxy has claimed the two addresses in a PROXY header: the socket's are others
    pub claimed: bool,
}

/// How the body of a request can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// All of it is here, this many bytes (0 for none): reading never waits.
    Collected(u64),
    /// It is still coming; the length is known where the peer announced it. Reading may wait.
    Streaming(Option<u64>),
}

/// A run of body bytes that can outlive the call which sends it.
pub trait Block {
    /// The bytes.
    fn bytes(&self) -> &[u8];
    /// An owner that keeps the same bytes alive until the socket has taken them. Called only if it has not taken them at once.
    fn keep(&self) -> Box<dyn Kept>;
}

/// Bytes that wait to be sent. It may be dropped on any thread of the server.
pub trait Kept: Send {
    /// The bytes, the same at every call.
    fn bytes(&self) -> &[u8];
}

impl Kept for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Block for &[u8] {
    fn bytes(&self) -> &[u8] {
        self
    }
    fn keep(&self) -> Box<dyn Kept> {
        Box::new(self.to_vec())
    }
}

/// How a piece of the response fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The socket has it, or the server holds it and has room for more.
    Taken,
    /// The server holds more than it wants to: call [`Exchange::wait_writable`] before the next piece.
    Full,
}

/// One request and the response to it, whatever HTTP version carried them.
///
/// Calls that may wait say so in their name or documentation; a gateway detaches from its interpreter around them.
pub trait Exchange: Send {
    /// The request's head.
    fn head(&self) -> &RequestHead;

    /// The connection's ends.
    fn origin(&self) -> &Origin;

    /// How the connection is secured, where the server itself speaks TLS on it. The same for all its requests.
    fn security(&self) -> Option<Security> {
        None
    }

    /// Whether and how much body there is.
    fn upload(&self) -> Upload;

    /// How long the request waited for a thread after it was whole.
    fn queued(&self) -> Duration;

    /// A place for whatever the application wants to keep for the connection's life. Dropped on any server thread.
    fn cache(&mut self) -> &mut Option<Box<dyn Any + Send>>;

    /// Reads body bytes; 0 is the end. May wait for [`Upload::Streaming`], and sends `100 Continue` first where the peer waits for it.
    /// Errors: the peer went away (`ConnectionReset`, `UnexpectedEof`), is too slow (`TimedOut`), broke the framing (`InvalidData`),
    /// or sent more than the limit (`FileTooLarge`). Each ends the connection after the response.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// The next collected bytes without a copy; empty at the end. `None` unless the whole rest lies in memory.
    fn peek(&mut self) -> Option<&[u8]>;

    /// Moves past `count` bytes that [`Exchange::peek`] showed.
    fn advance(&mut self, count: usize);

    /// Sends an interim response such as 103; nothing on HTTP/1.0.
    fn interim(&mut self, head: &ResponseHead) -> Result<(), Failure>;

    /// Begins the response. `length` is the body's length where it is known although the head does not say it. Nothing is sent
    /// before the first piece or the end, so that head and body leave in one write.
    ///
    /// # Panics
    /// If the response has begun already: [`Exchange::is_started`] tells.
    fn start(&mut self, head: &ResponseHead, length: Option<u64>);

    /// Whether [`Exchange::start`] was called.
    fn is_started(&self) -> bool;

    /// Whether the request or status allows no body (HEAD, 204, 304): what is written is left out.
    fn is_bodyless(&self) -> bool;

    /// Sends a piece of the body now. Empty pieces send the head alone. Never waits. What goes over the Content-Length is cut, and
    /// [`Exchange::excess`] counts it.
    fn write(&mut self, piece: &dyn Block) -> Result<Sent, Failure>;

    /// Sends the last piece of the body together with what ends it. Never waits.
    fn write_last(&mut self, piece: &dyn Block) -> Result<(), Failure>;

    /// Sends `length` bytes of a file from `offset`. Never waits for the peer. Takes the descriptor, which may be needed longer.
    fn write_file(&mut self, file: OwnedFd, offset: u64, length: u64) -> Result<Sent, Failure>;

    /// Waits until the server holds little enough again. May wait, at the most as long as the write timeout.
    fn wait_writable(&mut self) -> Result<(), Failure>;

    /// Whether the request asks for a WebSocket, for which the application may take the connection over.
    fn offers_socket(&self) -> bool {
        false
    }

    /// Takes the connection over: from here on it is the caller's, until its call ends, and nothing of a response is sent. Bytes behind the
    /// request are read from it as all others. May wait for what was to be sent before. Errors: it is not offered, was taken, or something
    /// of a response has been sent.
    fn take_socket(&mut self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the connection was taken over.
    fn is_socket_taken(&self) -> bool {
        false
    }

    /// Body bytes that the application gave beyond its Content-Length.
    fn excess(&self) -> u64;

    /// Body bytes that the Content-Length still asks for.
    fn missing(&self) -> u64;

    /// Whether the peer is known to be gone. Asks the socket, never waits.
    fn is_disconnected(&mut self) -> bool;
}
