//! One HTTP/1.1 connection: collects requests, holds what its peer has not taken, and decides what comes next.
//! Never waits and calls no application: [`Connection::advance`] says what it needs, `exchange` answers requests.
//!
//! ```text
//!            ┌────────────────────────────── Request ─────────────────────┐
//!            ▼                                                            │
//! accept ─▶ Head ──▶ Body ──▶ Ready ──(the application)──▶ Flushing ──────┼──▶ Closed
//!            │ │       │       ▲                             │ │           │       ▲
//!            │ └───────┼───────┘ no body, or streamed        │ └─▶ Discarding      │
//!            └─────────┴── refused ──────────────────────────┴──▶ Lingering ───────┘
//! ```
//!
//! Behind a proxy that tells of its client, Proxied stands before the first Head, and where TLS is spoken Securing, behind that.

mod exchange;
mod pace;
mod proxied;
mod room;
mod secured;
mod taken;
mod unread;
mod workspace;

use self::pace::Pace;
pub(crate) use self::workspace::{Common, Stages, Workspace, defaults};
use crate::config::Record;
use crate::exchange::Origin;
use crate::gathering::SMALL;
use crate::handover::Handover;
use crate::input::{Filled, Input};
use crate::lost::Lost;
use crate::output::{Framed, Output};
use crate::spool::Spool;
use crate::tls;
use crate::transport::{Departure, Interest, Transport};
use std::any::Any;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use whiskyjack_proto::body::Decoder;
use whiskyjack_proto::connection::{Intent, intent};
use whiskyjack_proto::error::Error;
use whiskyjack_proto::framing::RequestFraming;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_proto::parse::{HeadParser, Progress};
use whiskyjack_proto::proxy::Versions;
use whiskyjack_proto::write::{self, Asked};

/// What a connection needs before it can go on.
#[derive(Debug)]
pub(crate) enum Turn {
    /// readiness of its socket, or the deadline
    Park(Interest, Option<Instant>),
    /// the application
    Call,
    /// to be counted for its client's address, which a proxy has told; it goes on at once
    Count(IpAddr),
    /// nothing, but others have waited long enough
    Yield,
    /// nothing, but its response may wait for those of others
    Hold,
    /// nothing any more
    Close,
}

/// One connection over one transport.
#[derive(Debug)]
pub(crate) struct Connection {
    /// shared with the monitor during a call
    transport: Arc<Transport>,
    origin: Origin,
    input: Input,
    parser: HeadParser,
    head: RequestHead,
    /// the head's memory is a thread's, to be given back when no request is under way
    borrowed: bool,
    output: Output,
    state: State,
    cache: Option<Cache>,
    served: u64,
    /// the last read took all there was: the socket will tell when there is more
    drained: bool,
    /// its application had it
    handover: Option<Handover>,
    /// the peer has ended its side: there is an end to be read behind the bytes
    ending: bool,
}

/// What the application keeps for the connection's life.
struct Cache(Option<Box<dyn Any + Send>>);

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cache")
    }
}

#[derive(Debug)]
enum State {
    /// Before or inside the header of a proxy.
    Proxied { versions: Versions, until: Option<Instant> },
    /// Before or inside the handshake of TLS.
    Securing { until: Option<Instant> },
    /// Before or inside a head.
    Head { idle_until: Option<Instant>, head_until: Option<Instant> },
    /// Inside a body that is collected before the application is called.
    Body(Box<Collecting>),
    /// The application can be called.
    Ready { request: Request, body: Body },
    /// The response is made; the socket has not taken all of it.
    Flushing { next: Next, pace: Pace },
    /// The rest of a body that the application did not read is thrown away, to keep the connection.
    Discarding { decoder: Box<Decoder>, left: u64, until: Option<Instant> },
    /// Nothing more is sent; what the peer still sends is thrown away, so that it reads our last response (RFC 9112 9.6).
    Lingering { left: usize, until: Instant },
    /// Nothing more happens.
    Closed,
}

/// A request between its head and its response.
#[derive(Debug)]
struct Request {
    intent: Intent,
    /// our answer to the peer's wish for another request on this connection
    persistent: bool,
    /// when its head was whole
    begun: Instant,
    /// when it could be given to the application
    whole: Instant,
}

/// A request whose body is being collected.
#[derive(Debug)]
struct Collecting {
    request: Request,
    decoder: Decoder,
    spool: Spool,
    until: Option<Instant>,
}

/// Where a request's body is.
#[derive(Debug)]
enum Body {
    Collected(Spool),
    Streaming {
        decoder: Box<Decoder>,
        /// data at the input's start that is decoded already, and the framing bytes behind it
        decoded: (usize, usize),
        /// `100 Continue` has still to be sent
        invite: bool,
        done: bool,
        failed: bool,
    },
}

/// What follows once a response has gone out.
#[derive(Debug)]
enum Next {
    Request,
    Discard(Box<Decoder>),
    /// what was going on before gathered responses had to be sent
    Resume(Box<State>),
    Linger,
    Close,
    /// Close so that the peer can't take what it got for a whole response.
    Abort,
}

enum Step {
    On(State),
    Stop(State, Turn),
}

/// How long a request must have waited for a thread before a peer that has ended its side is taken for one that has left:
/// from here, that looks the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a connection without any request, or since its last one, may hold up a server that drains.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long the rest of a head may hold it up: nothing has been asked yet.
const DRAIN_HEAD: Duration = Duration::from_secs(3);

/// Reads of one turn, so that a fast sender doesn't keep a thread from the others.
const READS: usize = 16;

impl Connection {
    /// A connection that was just accepted; its first head must be whole by `until`.
    pub(crate) fn new(transport: Transport, origin: Origin, until: Option<Instant>) -> Self {
        Connection {
            transport: Arc::new(transport),
            origin,
            input: Input::default(),
            parser: HeadParser::default(),
            head: RequestHead::default(),
            borrowed: false,
            output: Output::default(),
            state: State::Head { idle_until: until, head_until: None },
            cache: None,
            served: 0,
            // Registration reports what was there before it.
            drained: true,
            handover: None,
            ending: false,
        }
    }

    /// The socket has something to read; `ending` if the peer has ended its side.
    pub(crate) fn readable(&mut self, ending: bool) {
        self.drained = false;
        self.ending |= ending;
    }

    /// The head of the request under way.
    pub(crate) fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Whether it is between two requests.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Head { .. }) && !self.parser.is_begun()
    }

    /// Whether no whole head of a request is under way.
    pub(crate) fn is_asked_nothing(&self) -> bool {
        matches!(self.state, State::Proxied { .. } | State::Securing { .. } | State::Head { .. })
    }

    /// Gives lent memory back before the connection is parked.
    pub(crate) fn settle(&mut self, workspace: &mut Workspace<'_>) {
        self.input.settle(&mut workspace.spare);
        let is_answered = matches!(self.state, State::Flushing { next: Next::Request, .. });
        if self.borrowed && (is_answered || self.is_idle()) {
            self.head.clear();
            workspace.spare_head = mem::take(&mut self.head);
            self.borrowed = false;
        }
    }

    /// The deadline of the last [`Turn::Park`] has passed.
    pub(crate) fn expire(&mut self, workspace: &mut Workspace<'_>) {
        self.state = match mem::replace(&mut self.state, State::Closed) {
            State::Head { .. } if self.parser.is_begun() => {
                self.refuse(workspace, Error::HeadTimeout, false)
            }
            State::Body(_) => self.refuse(workspace, Error::BodyTimeout, true),
            State::Flushing { .. } => {
                log::debug!("closed {:?}: it does not take its response", self.origin.peer);
                self.transport.abort();
                State::Closed
            }
            ready @ State::Ready { .. } => ready,
            State::Proxied { .. } => {
                log::debug!("closed {:?}: no whole PROXY header came in time", self.origin.peer);
                State::Closed
            }
            State::Securing { .. } => {
                tls::late(&self.origin.peer, workspace.now);
                State::Closed
            }
            State::Head { .. }
            | State::Discarding { .. }
            | State::Lingering { .. }
            | State::Closed => State::Closed,
        };
    }

    /// Whether its request may take it over, for which it is called on a thread of its own.
    pub(crate) fn is_offered(&self) -> bool {
        matches!(&self.state, State::Ready { request, .. } if request.intent.websocket)
    }

    /// There is no thread for such a request.
    pub(crate) fn decline(&mut self, workspace: &mut Workspace<'_>) {
        if let State::Ready { request, .. } = &self.state {
            let (begun, whole) = (request.begun, request.whole);
            let waited = workspace.now.saturating_duration_since(whole);
            self.state = self.answer_at(workspace, 503, true, begun, waited);
        }
    }

    /// Since when its request waits for a thread that may call the application.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        match &self.state {
            State::Ready { request, .. } => Some(request.whole),
            _ => None,
        }
    }

    /// The request has waited for a thread: is it still worth one? If not, it has been answered or given up.
    pub(crate) fn screen(&mut self, workspace: &mut Workspace<'_>) -> Option<Lost> {
        let (begun, whole) = match &self.state {
            State::Ready { request, .. } => (request.begun, request.whole),
            _ => return None,
        };
        let waited = workspace.now.saturating_duration_since(whole);
        if workspace.config.queue_timeout.is_some_and(|longest| waited >= longest) {
            self.state = self.answer_at(workspace, 503, true, begun, waited);
            return Some(Lost::Refused);
        }
        let is_gone = match self.transport.departure() {
            Departure::None => false,
            // It may have said all it has to say, and wait for the answer.
            Departure::Ended => waited >= PATIENCE,
            Departure::Gone => true,
        };
        if !is_gone {
            return None;
        }
        self.record(workspace, true, 0, 0, begun, waited);
        self.state = State::Closed;
        Some(Lost::Gone)
    }

    /// Goes on as far as it can without waiting and without the application.
    pub(crate) fn advance(&mut self, workspace: &mut Workspace<'_>) -> Turn {
        let mut reads = READS;
        loop {
            // What every request comes by is not moved out and back in.
            let step = match self.state {
                State::Ready { .. } => return Turn::Call,
                State::Head { idle_until, head_until } => {
                    self.read_head(workspace, idle_until, head_until)
                }
                _ => self.step(workspace, &mut reads),
            };
            match step {
                Ok(Step::On(state)) => self.state = state,
                // No response waits longer than its thread is at work.
                Ok(Step::Stop(state, turn))
                    if workspace.gathered && !matches!(turn, Turn::Call) =>
                {
                    self.state = self.flushing(workspace, Next::Resume(Box::new(state)));
                }
                Ok(Step::Stop(state, turn)) => {
                    self.state = state;
                    return turn;
                }
                Err(error) => {
                    self.state = State::Closed;
                    self.forget_gathered(workspace);
                    log::debug!("closed {:?}: {error}", self.origin.peer);
                    return Turn::Close;
                }
            }
        }
    }

    fn step(&mut self, workspace: &mut Workspace<'_>, reads: &mut usize) -> io::Result<Step> {
        match mem::replace(&mut self.state, State::Closed) {
            State::Proxied { versions, until } => self.read_claim(workspace, versions, until),
            State::Securing { until } => self.secure(workspace, until),
            State::Body(collecting) => self.collect(workspace, reads, collecting),
            State::Flushing { next, pace } => self.flush(workspace, next, pace),
            State::Discarding { decoder, left, until } => {
                self.discard(workspace, reads, decoder, left, until)
            }
            State::Lingering { left, until } => self.linger(workspace, left, until),
            State::Closed => Ok(Step::Stop(State::Closed, Turn::Close)),
            state @ (State::Head { .. } | State::Ready { .. }) => Ok(Step::On(state)),
        }
    }

    fn read_head(
        &mut self,
        workspace: &mut Workspace<'_>,
        idle_until: Option<Instant>,
        mut head_until: Option<Instant>,
    ) -> io::Result<Step> {
        loop {
            if !self.input.is_empty() {
                if !self.borrowed {
                    mem::swap(&mut self.head, &mut workspace.spare_head);
                    self.borrowed = true;
                }
                let limits = &workspace.config.head;
                match self.parser.parse(self.input.bytes(), limits, &mut self.head) {
                    Ok(Progress::Complete(length)) => {
                        self.input.consume(length);
                        return Ok(Step::On(self.begin(workspace)));
                    }
                    Ok(Progress::Partial) => {}
                    Err(error) => return Ok(Step::On(self.refuse(workspace, error, false))),
                }
            }
            match self.fill(workspace)? {
                Filled::All(_) | Filled::Some(_) => {}
                Filled::End if self.parser.is_begun() => {
                    log::debug!("{:?} left in the middle of a request's head", self.origin.peer);
                    return Ok(Step::On(State::Closed));
                }
                Filled::End => return Ok(Step::On(State::Closed)),
                Filled::Blocked => {
                    let until = if self.parser.is_begun() {
                        if head_until.is_none() {
                            head_until = after(workspace.now, workspace.config.head_timeout);
                        }
                        if workspace.is_draining() {
                            let grace = workspace.now + DRAIN_HEAD;
                            head_until = Some(head_until.map_or(grace, |until| until.min(grace)));
                        }
                        head_until
                    } else if !workspace.is_draining() {
                        idle_until
                    } else if self.served > 0 {
                        // Whoever was answered just now may be asking again at this moment, and would lose that request. The
                        // answer to it says that the connection ends.
                        let answered = idle_until
                            .and_then(|until| until.checked_sub(workspace.config.keep_alive));
                        let grace = answered.map_or(workspace.now, |at| at + DRAIN_GRACE);
                        if workspace.now >= grace {
                            return Ok(Step::On(State::Closed));
                        }
                        let until = idle_until.map_or(grace, |until| until.min(grace));
                        let state = State::Head { idle_until, head_until };
                        return Ok(Step::Stop(state, Turn::Park(Interest::Read, Some(until))));
                    } else {
                        let grace = workspace.now + DRAIN_GRACE;
                        Some(idle_until.map_or(grace, |until| until.min(grace)))
                    };
                    let state = State::Head { idle_until: until, head_until };
                    return Ok(Step::Stop(state, Turn::Park(Interest::Read, until)));
                }
            }
        }
    }

    /// A head is whole: what does it ask for?
    fn begin(&mut self, workspace: &mut Workspace<'_>) -> State {
        let config = workspace.config;
        let checked = intent(&self.head)
            .and_then(|intent| Ok((intent, Decoder::new(intent.framing, config.body)?)));
        let (mut intent, decoder) = match checked {
            Ok(checked) => checked,
            Err(error) => return self.refuse(workspace, error, true),
        };
        intent.websocket &= config.websockets > 0;
        self.served += 1;
        let limit = config.requests_per_connection;
        let persistent = intent.persistent
            && !workspace.is_closing()
            && (limit == 0 || self.served < limit)
            && !config.keep_alive.is_zero();
        // What was found to be there has waited since, while the thread that found it was busy with others.
        let found = workspace.found;
        let request = Request { intent, persistent, begun: found, whole: found };
        if intent.framing == RequestFraming::Empty {
            return State::Ready { request, body: Body::Collected(Spool::new()) };
        }
        // Applications take a body whose length they are not told for an empty one, so a chunked one is collected even
        // where the peer waits to be told to send it.
        let waits_for_application =
            intent.expects_continue && intent.framing != RequestFraming::Chunked;
        if waits_for_application || config.streaming_uploads {
            let invite = intent.expects_continue;
            let (decoder, decoded) = (Box::new(decoder), (0, 0));
            let body = Body::Streaming { decoder, decoded, invite, done: false, failed: false };
            return State::Ready { request, body };
        }
        if intent.expects_continue && self.input.is_empty() {
            self.regain(workspace);
            if let Err(error) = self.output.send_bytes(&self.transport, write::CONTINUE) {
                log::debug!("closed {:?}: {error}", self.origin.peer);
                return State::Closed;
            }
        }
        let until = after(workspace.now, config.body_timeout);
        State::Body(Box::new(Collecting { request, decoder, spool: Spool::new(), until }))
    }

    fn collect(
        &mut self,
        workspace: &mut Workspace<'_>,
        reads: &mut usize,
        mut collecting: Box<Collecting>,
    ) -> io::Result<Step> {
        loop {
            let Collecting { request, decoder, spool, until } = &mut *collecting;
            while !self.input.is_empty() {
                let step = match decoder.decode(self.input.bytes()) {
                    Ok(step) => step,
                    Err(error) => return Ok(Step::On(self.refuse(workspace, error, true))),
                };
                let data = &self.input.bytes()[step.data.clone()];
                let in_memory = workspace.config.body_in_memory;
                if spool.keep(data, in_memory, step.done, workspace.now).is_err() {
                    return Ok(Step::On(self.answer(workspace, 503, true)));
                }
                self.input.consume(step.consumed);
                if step.done {
                    request.whole = workspace.found;
                    let Collecting { request, spool, .. } = *collecting;
                    let body = Body::Collected(spool);
                    return Ok(Step::On(State::Ready { request, body }));
                }
                if step.consumed == 0 {
                    break;
                }
            }
            if *reads == 0 {
                return Ok(Step::Stop(State::Body(collecting), Turn::Yield));
            }
            *reads -= 1;
            let filled = self.fill(workspace).inspect_err(|_| {
                self.record(workspace, true, 0, 0, request.begun, Duration::ZERO);
            });
            match filled? {
                Filled::All(_) | Filled::Some(_) => {
                    let config = workspace.config;
                    let pace = Pace { since: request.begun, base: 0 };
                    let read = spool.length() + self.input.bytes().len() as u64;
                    *until =
                        pace.deadline(workspace.now, read, config.body_timeout, config.body_rate);
                }
                Filled::End => {
                    log::debug!("{:?} left in the middle of a request's body", self.origin.peer);
                    self.record(workspace, true, 0, 0, request.begun, Duration::ZERO);
                    return Ok(Step::On(State::Closed));
                }
                Filled::Blocked => {
                    let until = *until;
                    let turn = Turn::Park(Interest::Read, until);
                    return Ok(Step::Stop(State::Body(collecting), turn));
                }
            }
        }
    }

    fn flush(&mut self, workspace: &mut Workspace<'_>, next: Next, pace: Pace) -> io::Result<Step> {
        let is_gathered =
            workspace.gathered && matches!(next, Next::Request) && self.output.is_empty();
        // What another request stands behind leaves with its response.
        if !is_gathered || self.input.is_empty() {
            self.regain(workspace);
            // Nothing is left where another thread has sent it already.
            if is_gathered && workspace.company && !self.output.is_empty() {
                return Ok(Step::Stop(State::Flushing { next, pace }, Turn::Hold));
            }
        }
        if !self.output.flush(&self.transport)? {
            let config = workspace.config;
            let sent = self.output.sent_so_far();
            let until = pace.deadline(workspace.now, sent, config.write_timeout, config.write_rate);
            let state = State::Flushing { next, pace };
            return Ok(Step::Stop(state, Turn::Park(Interest::Write, until)));
        }
        Ok(Step::On(match next {
            Next::Request => {
                self.head.clear();
                let idle_until = Some(workspace.now + workspace.config.keep_alive);
                State::Head { idle_until, head_until: None }
            }
            Next::Discard(decoder) => State::Discarding {
                decoder,
                left: workspace.config.drain,
                until: after(workspace.now, workspace.config.body_timeout),
            },
            Next::Resume(state) => *state,
            Next::Linger => self.end(workspace.now),
            Next::Close => {
                // The descriptor may live on in a process that the application has forked, and the peer waits for the end.
                self.transport.end_writing();
                State::Closed
            }
            Next::Abort => {
                self.transport.abort();
                State::Closed
            }
        }))
    }

    /// Sends what the socket takes of a response that was held back, in place of whoever goes on with the connection.
    pub(crate) fn send_held(&mut self) {
        // A fault is found again by who goes on with it.
        let _ = self.output.flush(&self.transport);
    }

    /// Sends what the thread has gathered before the connection leaves its hands with a request.
    pub(crate) fn release(&mut self, workspace: &mut Workspace<'_>) {
        self.regain(workspace);
        // A fault is found again by what is sent next.
        let _ = self.output.flush(&self.transport);
    }

    /// Keeps a part of a response back, to leave in one write with what comes behind it, unless that makes more than `most`.
    fn gather(&self, workspace: &mut Workspace<'_>, framed: &Framed<'_>, most: usize) -> bool {
        let is_gathered = self.output.is_empty()
            && workspace.gathering.add(&self.transport, framed, most, workspace.watched);
        workspace.gathered |= is_gathered;
        is_gathered
    }

    /// Sends a part of a response, and before it what the thread has gathered: in one write, if it is small.
    fn send(&mut self, workspace: &mut Workspace<'_>, framed: &Framed<'_>) -> io::Result<()> {
        if workspace.gathered && framed.total() <= SMALL {
            workspace.gathered = false;
            self.output.put(workspace.gathering.finish(framed)?);
            return Ok(());
        }
        self.regain(workspace);
        self.output.send(&self.transport, framed)
    }

    /// Takes back what the thread has gathered, so that it goes out before anything else.
    fn regain(&mut self, workspace: &mut Workspace<'_>) {
        if mem::take(&mut workspace.gathered) {
            self.output.put(workspace.gathering.take());
        }
    }

    /// The connection is lost, and what was gathered for it.
    fn forget_gathered(&mut self, workspace: &mut Workspace<'_>) {
        self.regain(workspace);
        self.output.clear();
    }

    fn flushing(&self, workspace: &Workspace<'_>, next: Next) -> State {
        let pace = Pace { since: workspace.now, base: self.output.sent_so_far() };
        State::Flushing { next, pace }
    }

    fn fill(&mut self, workspace: &mut Workspace<'_>) -> io::Result<Filled> {
        if self.drained {
            return Ok(Filled::Blocked);
        }
        let filled = self.input.fill(&self.transport, &mut workspace.spare)?;
        // A short read has taken all there was, unless the end stands behind it.
        self.drained = match filled {
            Filled::All(_) => !self.ending && !self.transport.has_end_behind(),
            Filled::Blocked => true,
            Filled::Some(_) | Filled::End => false,
        };
        Ok(filled)
    }

    /// Answers a fault of the peer, after which nothing on this connection is read as a request.
    fn refuse(&mut self, workspace: &mut Workspace<'_>, error: Error, head_read: bool) -> State {
        log::debug!("refused a request of {:?}: {error}", self.origin.peer);
        self.answer(workspace, error.status(), head_read)
    }

    /// Answers in the application's place and ends the connection.
    fn answer(&mut self, workspace: &mut Workspace<'_>, status: u16, head_read: bool) -> State {
        self.answer_at(workspace, status, head_read, workspace.now, Duration::ZERO)
    }

    /// The same for a request that has a history.
    fn answer_at(
        &mut self,
        workspace: &mut Workspace<'_>,
        status: u16,
        head_read: bool,
        begun: Instant,
        queued: Duration,
    ) -> State {
        let head_only = head_read && self.head.method() == b"HEAD";
        let asked = Asked { version: self.head.version(), head_only, persistent: false };
        let mut bytes = Vec::new();
        let fields = defaults(workspace.config, &mut workspace.date);
        let body = write::refusal(&mut bytes, status, asked, fields) as u64;
        self.record(workspace, head_read, status, body, begun, queued);
        self.regain(workspace);
        match self.output.send_bytes(&self.transport, &bytes) {
            Ok(()) => self.flushing(workspace, Next::Linger),
            Err(_) => State::Closed,
        }
    }

    fn record(
        &self,
        workspace: &Workspace<'_>,
        head_read: bool,
        status: u16,
        bytes: u64,
        begun: Instant,
        queued: Duration,
    ) {
        if let Some(observer) = &workspace.config.observer {
            let duration = begun.elapsed();
            let now = SystemTime::now();
            observer.finished(&Record {
                peer: &self.origin.peer,
                head: head_read.then_some(&self.head),
                status,
                bytes,
                started: now.checked_sub(duration).unwrap_or(now),
                duration,
                queued,
            });
        }
    }
}

fn after(now: Instant, timeout: Option<Duration>) -> Option<Instant> {
    timeout.map(|timeout| now + timeout)
}
