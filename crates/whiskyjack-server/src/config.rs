//! What a server is told before it starts. Knows no flag and no default: the program's `settings` room names those.

use crate::exchange::Address;
use crate::tls::Tls;
use crate::trust::Trust;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use whiskyjack_proto::body::BodyLimits;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_proto::parse::HeadLimits;
use whiskyjack_proto::proxy::Versions;

/// Limits, timeouts and sizes of a server. A timeout of `None` never fires.
#[derive(Clone, Debug)]
pub struct Config {
    /// application threads (at least 1)
    pub threads: usize,
    /// the Server field; `None` sends none
    pub server_name: Option<String>,
    /// bounds of a request's head
    pub head: HeadLimits,
    /// bounds of a request's body
    pub body: BodyLimits,
    /// body bytes held in memory before a temporary file takes over
    pub body_in_memory: usize,
    /// calls the application before the body has come, and lets it wait for it
    pub streaming_uploads: bool,
    /// from the connection's start or a request's first byte to the end of its head
    pub head_timeout: Option<Duration>,
    /// without a single byte of a body that should come
    pub body_timeout: Option<Duration>,
    /// bytes a second that a body must bring on the average, once `body_timeout` has passed; 0 is any
    pub body_rate: u64,
    /// without a single byte of a response being taken
    pub write_timeout: Option<Duration>,
    /// bytes a second of a response that must be taken on the average, once `write_timeout` has passed; 0 is any
    pub write_rate: u64,
    /// between two requests of a connection; zero closes after each response
    pub keep_alive: Duration,
    /// requests that one connection may carry; 0 is any number
    pub requests_per_connection: u64,
    /// connections at once; over it, accepting pauses
    pub connections: usize,
    /// connections at once from one IP address; one more is closed; 0 is any number. Where there is a PROXY header, it is the
    /// claimed address that counts.
    pub connections_per_address: usize,
    /// response bytes held in memory for a slow reader
    pub high_water: usize,
    /// of what is over it, bytes in temporary files, all responses together, before applications wait
    pub response_spool: u64,
    /// unread body bytes that are read and thrown away to keep a connection
    pub drain: u64,
    /// after a stop was asked for: how long what is under way may take
    pub graceful_timeout: Duration,
    /// how long the application may take until it gives the first, or the next, piece of its response
    pub timeout: Option<Duration>,
    /// whether a call that is past its deadline is interrupted as well
    pub raise: bool,
    /// a call that takes so long is told of, once
    pub slow_log: Option<Duration>,
    /// so many threads past their deadline at once ask for another process; 0 is never
    pub stuck_threads: usize,
    /// how long a request may wait for a thread
    pub queue_timeout: Option<Duration>,
    /// asked to have this process replaced
    pub relief: Option<Arc<dyn Relief>>,
    /// the PROXY header that each connection has to begin with; `None` knows none
    pub proxy: Option<ProxyProtocol>,
    /// what speaks TLS on every connection that a listener takes; `None` speaks plain HTTP
    pub tls: Option<Tls>,
    /// calls at once that may take a connection over for a WebSocket, each with a thread of its own; 0 offers it to none
    pub websockets: usize,
    /// told of every request that ended
    pub observer: Option<Arc<dyn Observer>>,
    /// told what is under way, and asked whose turn it is where several servers share their listeners
    pub board: Option<Arc<dyn Board>>,
}

/// Where a server writes down what it is doing, for others to read. Called on the hot path: must not wait, and should cost a few stores.
pub trait Board: std::fmt::Debug + Send + Sync + 'static {
    /// This thread is about to call the application.
    fn began(&self, thread: usize, head: &RequestHead, now: Instant);

    /// It has come back.
    fn ended(&self, thread: usize);

    /// So many connections are open now.
    fn connections(&self, open: usize);

    /// Nothing is under way, and has not been for some moments. Told by a thread of its own, off the hot path, as is the end of it.
    fn rests(&self) {}

    /// Something is under way again.
    fn stirs(&self) {}

    /// Whether the next connection of a shared queue is for this server.
    fn share(&self) -> Share;

    /// Whether somebody else goes on to accept from the queues that this server leaves.
    fn has_heirs(&self) -> bool;
}

/// What a server does about a connection that waits in a queue it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// takes it
    Take,
    /// lets those take it who have less to do; takes it if nobody has for so long
    Yield(Duration),
    /// lets it be until it is told to look around
    Leave,
}

/// Which PROXY headers are taken, and from whom.
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    /// the versions that are taken
    pub versions: Versions,
    /// whose word about clients is taken; connections of all others are closed
    pub trusted: Trust,
    /// from the connection's start to the end of the header
    pub timeout: Option<Duration>,
}

/// Sees every request end, exactly once each. Called on server threads; must not wait.
pub trait Observer: std::fmt::Debug + Send + Sync + 'static {
    /// A request has ended.
    fn finished(&self, record: &Record<'_>);
}

/// Whoever can have a fresh process take this one's place.
pub trait Relief: std::fmt::Debug + Send + Sync + 'static {
    /// A fresh process is wanted. Called once, on a thread of the server that has nothing more urgent to do.
    fn wanted(&self, why: Why);
}

/// Why a process should be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// too many of its threads do not come back from the application
    StuckThreads {
        /// how many
        stuck: usize,
        /// of how many
        threads: usize,
    },
}

/// What an access log can say of a request.
#[derive(Debug)]
pub struct Record<'a> {
    /// the other side
    pub peer: &'a Address,
    /// the head, where one was read
    pub head: Option<&'a RequestHead>,
    /// the status sent; 0 where nothing was
    pub status: u16,
    /// body bytes of the response that were handed to the connection
    pub bytes: u64,
    /// when the request's head was whole (or its connection failed)
    pub started: SystemTime,
    /// from then to the response's end
    pub duration: Duration,
    /// of it, waiting for a thread
    pub queued: Duration,
}
