//! What comes before the first head of a connection over TLS: its handshake, made as far as the client has come, by whoever has the
//! connection in hand. Knows not what is agreed on.

use super::{Connection, DRAIN_GRACE, Next, State, Step, Turn, Workspace, defaults};
use crate::exchange::Origin;
use crate::input::Filled;
use crate::tls;
use crate::transport::{Interest, Transport};
use std::io;
use std::time::{Duration, Instant};
use whiskyjack_proto::head::Version;
use whiskyjack_proto::write::{self, Asked};

/// RFC 8446 5.1: the first byte of a handshake.
const HANDSHAKE: u8 = 22;

const PLAIN: &str = "400 Bad Request: this port speaks HTTPS, and the request came in plain HTTP; \
                     ask with https:// in place of http://\n";

impl Connection {
    /// A connection that was just accepted; its handshake and its first head must be whole by `until`.
    pub(crate) fn securing(transport: Transport, origin: Origin, until: Option<Instant>) -> Self {
        let mut connection = Connection::new(transport, origin, None);
        connection.state = State::Securing { until };
        connection
    }

    pub(super) fn secure(
        &mut self,
        workspace: &mut Workspace<'_>,
        until: Option<Instant>,
    ) -> io::Result<Step> {
        if !self.transport.is_tls() {
            if self.input.is_empty() {
                match self.fill(workspace)? {
                    Filled::All(_) | Filled::Some(_) => {}
                    // How load balancers see whether somebody listens.
                    Filled::End => return Ok(Step::On(State::Closed)),
                    Filled::Blocked => return Ok(park(workspace, Interest::Read, until)),
                }
            }
            match self.input.bytes()[0] {
                HANDSHAKE => {}
                b'A'..=b'Z' => return Ok(Step::On(self.refuse_plain(workspace))),
                _ => {
                    log::debug!("closed {:?}: what it sends is no TLS", self.origin.peer);
                    return Ok(Step::On(State::Closed));
                }
            }
            if let Err(error) = self.begin_tls(workspace) {
                log::error!("cannot begin a TLS handshake: {error}");
                return Ok(Step::On(State::Closed));
            }
        }
        match self.transport.handshake() {
            Ok(Some(interest)) => Ok(park(workspace, interest, until)),
            Ok(None) => {
                // A request may have come behind it, and no event tells of that.
                self.drained = false;
                Ok(Step::On(State::Head { idle_until: until, head_until: None }))
            }
            Err(error) => {
                tls::failed(&self.origin.peer, &error, workspace.now);
                Ok(Step::On(State::Closed))
            }
        }
    }

    fn begin_tls(&mut self, workspace: &Workspace<'_>) -> Result<(), rustls::Error> {
        let arrived = self.input.bytes().to_vec();
        self.input.consume(arrived.len());
        if let Some(tls) = &workspace.config.tls {
            self.origin.secure = self.transport.begin_tls(tls, arrived)?;
        }
        Ok(())
    }

    /// The client has taken the port for one of plain HTTP.
    fn refuse_plain(&mut self, workspace: &mut Workspace<'_>) -> State {
        let asked = Asked { version: Version::Http10, head_only: false, persistent: false };
        let mut bytes = Vec::new();
        let fields = defaults(workspace.config, &mut workspace.date);
        let body = write::refusal_saying(&mut bytes, 400, asked, fields, PLAIN) as u64;
        self.record(workspace, false, 400, body, workspace.now, Duration::ZERO);
        match self.output.send_bytes(&self.transport, &bytes) {
            Ok(()) => self.flushing(workspace, Next::Linger),
            Err(_) => State::Closed,
        }
    }
}

fn park(workspace: &Workspace<'_>, interest: Interest, until: Option<Instant>) -> Step {
    let until = match workspace.is_draining() {
        true => {
            let grace = workspace.now + DRAIN_GRACE;
            Some(until.map_or(grace, |until| until.min(grace)))
        }
        false => until,
    };
    Step::Stop(State::Securing { until }, Turn::Park(interest, until))
}
