//! A request on an HTTP/1.1 connection and the response to it.

mod ending;

use super::{Body, Cache, Connection, Request, State, Workspace, defaults};
use crate::call::Times;
use crate::exchange::{Application, Block, Exchange, Failure, Origin, Sent, Upload};
use crate::gathering::{Burst, MOST, SMALL};
use crate::input::Filled;
use crate::output::Framed;
use crate::reactor::lock;
use crate::tls::Security;
use crate::transport::Interest;
use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use whiskyjack_proto::body::{CHUNK_PREFIX, CHUNK_SUFFIX, LAST_CHUNK, chunk_prefix};
use whiskyjack_proto::framing::{RequestFraming, ResponseFraming};
use whiskyjack_proto::head::{RequestHead, ResponseHead, Version};
use whiskyjack_proto::write::{self, Asked, Plan};

/// The end of a chunk that is the last with data, and of the body.
const CHUNK_SUFFIX_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";

impl Connection {
    /// Has the application answer the request that is ready.
    ///
    /// # Panics
    /// If none is: the last [`Connection::advance`] must have returned `Turn::Call`.
    pub(crate) fn call(&mut self, application: &dyn Application, workspace: &mut Workspace<'_>) {
        let State::Ready { request, body } = mem::replace(&mut self.state, State::Closed) else {
            unreachable!("called without a request that is ready")
        };
        workspace.pending.clear();
        if workspace.gathered && !(workspace.watched)() {
            self.release(workspace);
        }
        let queued = workspace.now.saturating_duration_since(request.whole);
        let times = Times { begun: request.begun, called: workspace.now, queued };
        workspace.call.begin(
            &self.transport,
            &self.head,
            &self.origin.peer,
            times,
            self.output.is_empty(),
            workspace.config,
        );
        let mut exchange = Http1Exchange {
            connection: self,
            workspace,
            request,
            body,
            response: Response::None,
            burst: Burst::default(),
            queued,
        };
        let called = catch_unwind(AssertUnwindSafe(|| application.call(&mut exchange)));
        let result = called.unwrap_or_else(|_| {
            log::error!("the gateway panicked; its request ends here");
            // Who knows what it left behind: the connection is not trusted with another one.
            exchange.request.persistent = false;
            Err(Failure::Application)
        });
        let state = exchange.finish(result);
        self.state = state;
    }
}

struct Http1Exchange<'a, 'c> {
    connection: &'a mut Connection,
    workspace: &'a mut Workspace<'c>,
    request: Request,
    body: Body,
    response: Response,
    burst: Burst,
    queued: Duration,
}

/// A response as far as it has come.
enum Response {
    /// No head yet.
    None,
    /// The head is made, and maybe sent.
    Begun {
        status: u16,
        plan: Plan,
        /// body bytes sent
        bytes: u64,
        excess: u64,
        sent: bool,
        /// what ends the body has been sent
        ended: bool,
    },
    /// There is none: the application has the connection.
    HandedOver,
    /// The peer or the transport failed.
    Broken { status: u16, bytes: u64 },
}

impl Http1Exchange<'_, '_> {
    /// Sends a piece, framed as the plan says.
    fn put(&mut self, piece: &dyn Block, last: bool) -> Result<(), Failure> {
        if let Response::HandedOver = self.response {
            return Ok(());
        }
        let Response::Begun { plan, bytes, excess, sent, ended, status } = &mut self.response
        else {
            return Err(Failure::Disconnected(io::ErrorKind::NotConnected.into()));
        };
        if (!*sent || last)
            && let Err(error) = self.workspace.call.claim(*status, last)
        {
            self.workspace.pending.clear();
            self.response = Response::Broken { status: 0, bytes: 0 };
            return Err(Failure::Disconnected(error));
        }
        let whole = piece.bytes().len();
        let mut pending = mem::take(&mut self.workspace.pending);
        let (mut size, mut digits) = ([0; CHUNK_PREFIX], 0);
        let mut after: &[u8] = &[];
        let length = match plan.framing {
            ResponseFraming::None => 0,
            ResponseFraming::Length(total) => {
                let left = usize::try_from(total - *bytes).unwrap_or(usize::MAX);
                *excess += whole.saturating_sub(left) as u64;
                whole.min(left)
            }
            ResponseFraming::Close => whole,
            ResponseFraming::Chunked => {
                if whole > 0 {
                    digits = chunk_prefix(whole as u64, &mut size);
                }
                after = match (whole > 0, last) {
                    (true, true) => CHUNK_SUFFIX_AND_LAST,
                    (true, false) => CHUNK_SUFFIX,
                    (false, true) => LAST_CHUNK,
                    (false, false) => &[],
                };
                whole
            }
        };
        let mut before = &size[..digits];
        if !pending.is_empty() {
            pending.extend_from_slice(before);
            before = &pending;
        }
        let framed = Framed { before, block: piece, length, after };
        // Many applications say that a piece is the last one only after it, but its length says so before.
        let is_whole = last
            || matches!(plan.framing, ResponseFraming::Length(total) if *bytes + length as u64 == total);
        let may_wait = (!is_whole || self.burst.is_single()) && {
            let now = Instant::now();
            if self.burst.is_single() {
                self.workspace.succession.tell(self.burst.follow(now, self.workspace.gathering));
            }
            self.burst.may_wait(now, self.workspace.succession.is_expected())
        };
        let most = match is_whole {
            // The response to the request that stands behind this one can take it along.
            true if !self.connection.input.is_empty() => MOST,
            // What was gathered has been copied already.
            true if self.workspace.company && self.workspace.gathered => MOST,
            true if self.workspace.company => SMALL,
            false if may_wait => MOST,
            true | false => 0,
        };
        let result = match most > 0 && self.connection.gather(self.workspace, &framed, most) {
            true => Ok(()),
            false => self.connection.send(self.workspace, &framed),
        };
        pending.clear();
        self.workspace.pending = pending;
        *bytes += length as u64;
        *sent = true;
        *ended |= last;
        self.workspace.call.moved(*bytes);
        if last && !self.connection.output.is_empty() {
            self.workspace.call.hold();
        }
        let (status, bytes) = (*status, *bytes);
        result.map_err(|error| {
            self.response = Response::Broken { status, bytes };
            Failure::Disconnected(error)
        })
    }

    /// Something else than a piece comes behind the first one.
    fn follow(&mut self) {
        if self.burst.is_single() {
            let followed = self.burst.follow(Instant::now(), self.workspace.gathering);
            self.workspace.succession.tell(followed);
        }
    }

    fn sent(&self) -> Sent {
        if self.connection.output.held() > self.workspace.config.high_water {
            Sent::Full
        } else {
            Sent::Taken
        }
    }

    /// Sends `100 Continue` where the peer waits for it (RFC 9110 10.1.1).
    fn invite(&mut self) -> io::Result<()> {
        if let Body::Streaming { invite, .. } = &mut self.body
            && mem::take(invite)
            && self.connection.input.is_empty()
        {
            self.ahead(write::CONTINUE)?;
            self.flush_all_ahead()?;
        }
        Ok(())
    }

    /// Waits until the peer has taken all that was sent ahead of the response.
    fn flush_all_ahead(&mut self) -> io::Result<()> {
        while !self.flush_ahead()? {
            let timeout = self.workspace.config.write_timeout;
            let transport = &self.connection.transport;
            if !self.workspace.call.wait(|| transport.wait(Interest::Write, timeout))? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Sends bytes ahead of the response.
    fn ahead(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.workspace.call.ahead(|| {
            self.connection.regain(self.workspace);
            let Connection { output, transport, .. } = &mut *self.connection;
            output.send_bytes(transport, bytes)?;
            Ok(output.is_empty())
        })
    }

    /// Sends what waits of them; `true` once nothing does.
    fn flush_ahead(&mut self) -> io::Result<bool> {
        let Connection { output, transport, .. } = &mut *self.connection;
        self.workspace.call.ahead(|| output.flush(transport))?;
        Ok(output.is_empty())
    }

    fn read_streaming(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if matches!(self.response, Response::None) {
            self.invite()?;
        }
        let Body::Streaming { decoder, decoded, done, failed, .. } = &mut self.body else {
            return Ok(0);
        };
        if *failed {
            let text = "the request's body could not be read to its end";
            return Err(io::Error::other(text));
        }
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if decoded.0 > 0 {
                let count = decoded.0.min(into.len());
                into[..count].copy_from_slice(&self.connection.input.bytes()[..count]);
                self.connection.input.consume(count);
                decoded.0 -= count;
                if decoded.0 == 0 {
                    self.connection.input.consume(mem::take(&mut decoded.1));
                }
                return Ok(count);
            }
            if *done {
                return Ok(0);
            }
            if !self.connection.input.is_empty() {
                let step = decoder.decode(self.connection.input.bytes()).map_err(|error| {
                    let kind = match error.status() {
                        413 => io::ErrorKind::FileTooLarge,
                        _ => io::ErrorKind::InvalidData,
                    };
                    io::Error::new(kind, error)
                })?;
                *done = step.done;
                if step.data.is_empty() {
                    self.connection.input.consume(step.consumed);
                } else {
                    self.connection.input.consume(step.data.start);
                    *decoded = (step.data.len(), step.consumed - step.data.end);
                }
                if step.done || step.consumed > 0 {
                    continue;
                }
            }
            match self.connection.fill(self.workspace)? {
                Filled::All(_) | Filled::Some(_) => {}
                Filled::End => {
                    let text = "the client left before its request's body was complete";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                Filled::Blocked => {
                    if let Response::Begun { .. } = self.response {
                        // The peer may want to see it before it sends more.
                        self.connection.release(self.workspace);
                    }
                    let timeout = self.workspace.config.body_timeout;
                    let transport = &self.connection.transport;
                    if !self.workspace.call.wait(|| transport.wait(Interest::Read, timeout))? {
                        let text = "the client stopped sending its request's body";
                        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                    }
                    self.connection.drained = false;
                }
            }
        }
    }
}

/// Says which fields of the application's don't go out, once for each name.
fn warn_of_dropped(head: &ResponseHead) {
    /// guards the names that were told
    static TOLD: Mutex<BTreeSet<Vec<u8>>> = Mutex::new(BTreeSet::new());
    for (name, _) in head.fields().filter(|(name, value)| write::is_left_out(name, value)) {
        if lock(&TOLD).insert(name.to_ascii_lowercase()) {
            log::warn!(
                "left the application's field {} out of a response: it belongs to the connection, which is the server's",
                name.escape_ascii()
            );
        }
    }
}

impl Exchange for Http1Exchange<'_, '_> {
    fn head(&self) -> &RequestHead {
        &self.connection.head
    }

    fn origin(&self) -> &Origin {
        &self.connection.origin
    }

    fn security(&self) -> Option<Security> {
        self.connection.transport.security()
    }

    fn upload(&self) -> Upload {
        match &self.body {
            Body::Collected(spool) => Upload::Collected(spool.length()),
            Body::Streaming { .. } => Upload::Streaming(match self.request.intent.framing {
                RequestFraming::Empty => Some(0),
                RequestFraming::Length(length) => Some(length),
                RequestFraming::Chunked => None,
            }),
        }
    }

    fn queued(&self) -> Duration {
        self.queued
    }

    fn cache(&mut self) -> &mut Option<Box<dyn Any + Send>> {
        &mut self.connection.cache.get_or_insert(Cache(None)).0
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Body::Collected(spool) = &mut self.body {
            return spool.read(into);
        }
        let result = self.read_streaming(into);
        self.workspace.call.moved_in();
        if let (Err(_), Body::Streaming { failed, .. }) = (&result, &mut self.body) {
            *failed = true;
        }
        result
    }

    fn peek(&mut self) -> Option<&[u8]> {
        match &self.body {
            Body::Collected(spool) => spool.peek(),
            Body::Streaming { .. } => None,
        }
    }

    fn advance(&mut self, count: usize) {
        if let Body::Collected(spool) = &mut self.body {
            spool.advance(count);
        }
    }

    fn interim(&mut self, head: &ResponseHead) -> Result<(), Failure> {
        // RFC 9110 15.2: a 1.0 peer knows no interim responses; after the final one they make no sense.
        let is_late = self.is_started() || self.is_socket_taken();
        if self.connection.head.version() == Version::Http10 || is_late {
            return Ok(());
        }
        let mut bytes = Vec::new();
        write::interim_head(&mut bytes, head);
        self.ahead(&bytes).map_err(Failure::Disconnected)?;
        match self.sent() {
            Sent::Taken => Ok(()),
            Sent::Full => self.flush_all_ahead().map_err(Failure::Disconnected),
        }
    }

    fn start(&mut self, head: &ResponseHead, length: Option<u64>) {
        if self.is_socket_taken() {
            return;
        }
        assert!(!self.is_started(), "a response begins once");
        let asked = Asked::of(&self.connection.head, self.is_persistent());
        let fields = defaults(self.workspace.config, &mut self.workspace.date);
        let plan = write::response_head(&mut self.workspace.pending, asked, head, length, fields);
        if plan.dropped {
            warn_of_dropped(head);
        }
        self.response = Response::Begun {
            status: head.status(),
            plan,
            bytes: 0,
            excess: 0,
            sent: false,
            ended: false,
        };
    }

    fn is_started(&self) -> bool {
        !matches!(self.response, Response::None | Response::HandedOver)
    }

    fn is_bodyless(&self) -> bool {
        match &self.response {
            Response::Begun { plan, .. } => plan.framing == ResponseFraming::None,
            Response::None | Response::HandedOver | Response::Broken { .. } => {
                self.connection.head.method() == b"HEAD"
            }
        }
    }

    fn write(&mut self, piece: &dyn Block) -> Result<Sent, Failure> {
        self.put(piece, false)?;
        Ok(self.sent())
    }

    fn write_last(&mut self, piece: &dyn Block) -> Result<(), Failure> {
        self.put(piece, true)
    }

    fn write_file(&mut self, file: OwnedFd, offset: u64, length: u64) -> Result<Sent, Failure> {
        if self.is_socket_taken() {
            return Ok(Sent::Taken);
        }
        let Response::Begun { plan, bytes, excess, status, .. } = &mut self.response else {
            return Err(Failure::Disconnected(io::ErrorKind::NotConnected.into()));
        };
        if let Err(error) = self.workspace.call.claim(*status, false) {
            self.workspace.pending.clear();
            self.response = Response::Broken { status: 0, bytes: 0 };
            return Err(Failure::Disconnected(error));
        }
        let mut after: &[u8] = &[];
        let length = match plan.framing {
            ResponseFraming::None => 0,
            ResponseFraming::Length(total) => {
                let left = total - *bytes;
                *excess += length.saturating_sub(left);
                length.min(left)
            }
            ResponseFraming::Close => length,
            ResponseFraming::Chunked if length == 0 => 0,
            ResponseFraming::Chunked => {
                let mut size = [0; CHUNK_PREFIX];
                let digits = chunk_prefix(length, &mut size);
                self.workspace.pending.extend_from_slice(&size[..digits]);
                after = CHUNK_SUFFIX;
                length
            }
        };
        self.connection.regain(self.workspace);
        let Connection { output, transport, .. } = &mut *self.connection;
        let result = output
            .send_bytes(transport, &self.workspace.pending)
            .and_then(|()| output.send_file(transport, file, offset, length))
            .and_then(
                |()| if after.is_empty() { Ok(()) } else { output.send_bytes(transport, after) },
            );
        self.workspace.pending.clear();
        if let Response::Begun { bytes, sent, .. } = &mut self.response {
            *bytes += length;
            *sent = true;
            self.workspace.call.moved(*bytes);
        }
        if let Err(error) = result {
            if let Response::Begun { status, bytes, .. } = self.response {
                self.response = Response::Broken { status, bytes };
            }
            return Err(Failure::Disconnected(error));
        }
        Ok(self.sent())
    }

    fn wait_writable(&mut self) -> Result<(), Failure> {
        let result = self.connection.wait_for_room(self.workspace);
        // Connection readiness seen meanwhile is the reactor's to tell again.
        self.workspace.now = Instant::now();
        result.map_err(Failure::Disconnected)
    }

    fn excess(&self) -> u64 {
        match &self.response {
            Response::Begun { excess, .. } => *excess,
            Response::None | Response::HandedOver | Response::Broken { .. } => 0,
        }
    }

    fn missing(&self) -> u64 {
        match &self.response {
            Response::Begun {
                plan: Plan { framing: ResponseFraming::Length(total), .. },
                bytes,
                ..
            } => total - bytes,
            Response::None
            | Response::HandedOver
            | Response::Begun { .. }
            | Response::Broken { .. } => 0,
        }
    }

    fn offers_socket(&self) -> bool {
        self.request.intent.websocket
    }

    fn take_socket(&mut self) -> io::Result<OwnedFd> {
        let is_free = self.offers_socket() && matches!(self.response, Response::None);
        if !is_free {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // Answers to requests before this one.
        self.connection.regain(self.workspace);
        self.flush_all_ahead()?;
        self.workspace.call.hand_over()?;
        self.response = Response::HandedOver;
        self.connection.give_socket()
    }

    fn is_socket_taken(&self) -> bool {
        matches!(self.response, Response::HandedOver)
    }

    fn is_disconnected(&mut self) -> bool {
        self.connection.ending
            || self.workspace.call.is_expired()
            || self.connection.transport.is_ended()
    }
}
