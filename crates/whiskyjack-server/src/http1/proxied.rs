//! What comes before the first head of a proxied connection: the PROXY header that says whose it is.
//! Knows not who may send one. Nothing is guessed (section 2 of the protocol): what is no header is read as nothing else, and
//! gets no answer.

use super::{Connection, DRAIN_GRACE, State, Step, Turn, Workspace, after};
use crate::exchange::{Address, Origin};
use crate::input::Filled;
use crate::transport::{Interest, Transport};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use whiskyjack_proto::proxy::{Claim, Progress, Versions, parse};

impl Connection {
    /// A connection that was just accepted from a proxy, whose header must be whole by `until`.
    pub(crate) fn proxied(
        transport: Transport,
        origin: Origin,
        versions: Versions,
        until: Option<Instant>,
    ) -> Self {
        let mut connection = Connection::new(transport, origin, None);
        connection.state = State::Proxied { versions, until };
        connection
    }

    pub(super) fn read_claim(
        &mut self,
        workspace: &mut Workspace<'_>,
        versions: Versions,
        until: Option<Instant>,
    ) -> io::Result<Step> {
        loop {
            match parse(self.input.bytes(), versions) {
                Ok(Progress::Complete(claim, length)) => {
                    self.input.consume(length);
                    return Ok(self.believe(workspace, claim));
                }
                Ok(Progress::Partial) => {}
                Err(error) => {
                    log::debug!("closed {:?}: {error}", self.origin.peer);
                    return Ok(Step::On(State::Closed));
                }
            }
            match self.fill(workspace)? {
                Filled::All(_) | Filled::Some(_) => {}
                Filled::End => {
                    // Nothing at all is how proxies see whether somebody listens.
                    if !self.input.is_empty() {
                        log::debug!("{:?} left in the middle of a PROXY header", self.origin.peer);
                    }
                    return Ok(Step::On(State::Closed));
                }
                Filled::Blocked => {
                    let until = if workspace.is_draining() {
                        let grace = workspace.now + DRAIN_GRACE;
                        Some(until.map_or(grace, |until| until.min(grace)))
                    } else {
                        until
                    };
                    let state = State::Proxied { versions, until };
                    return Ok(Step::Stop(state, Turn::Park(Interest::Read, until)));
                }
            }
        }
    }

    /// From here on the connection is the client's, as if it had just come.
    fn believe(&mut self, workspace: &Workspace<'_>, claim: Claim) -> Step {
        let mut counted = None;
        match claim {
            Claim::Own => {}
            Claim::Internet { source, destination } => {
                let (peer, local) = (canonical(source), canonical(destination));
                counted = Some(peer.ip());
                self.origin.peer = Address::Inet(peer);
                self.origin.local = Address::Inet(local);
                self.origin.claimed = true;
            }
            Claim::Unix => {
                self.origin.peer = Address::Unix(None);
                self.origin.claimed = true;
            }
        }
        let idle_until = after(workspace.now, workspace.config.head_timeout);
        let state = match workspace.config.tls {
            Some(_) => State::Securing { until: idle_until },
            None => State::Head { idle_until, head_until: None },
        };
        match counted {
            Some(address) if workspace.config.connections_per_address > 0 => {
                Step::Stop(state, Turn::Count(address))
            }
            Some(_) | None => Step::On(state),
        }
    }
}

/// An IPv4 client of a socket that takes both is one address, however its proxy writes it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::to_canonical(&address.ip()), address.port())
}
