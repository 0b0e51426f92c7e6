//! What a peer sends that nobody reads: the rest of a body that the application left, and all that comes after the last response.

use super::{Connection, Next, State, Step, Turn, Workspace};
use crate::input::Filled;
use crate::transport::Interest;
use std::io;
use std::time::{Duration, Instant};
use whiskyjack_proto::body::Decoder;

/// How long and how much a refused peer may go on sending before its connection is cut.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

impl Connection {
    /// Says that this was all, and waits until the peer knows (RFC 9112 9.6).
    pub(super) fn end(&self, now: Instant) -> State {
        self.transport.end_writing();
        State::Lingering { left: LINGER_BYTES, until: now + LINGER }
    }

    pub(super) fn discard(
        &mut self,
        workspace: &mut Workspace<'_>,
        reads: &mut usize,
        mut decoder: Box<Decoder>,
        mut left: u64,
        until: Option<Instant>,
    ) -> io::Result<Step> {
        loop {
            while !self.input.is_empty() {
                let Ok(step) = decoder.decode(self.input.bytes()) else {
                    // Its response has been sent: there is nothing to answer this fault with.
                    return Ok(Step::On(self.flushing(workspace, Next::Linger)));
                };
                self.input.consume(step.consumed);
                if step.done {
                    return Ok(Step::On(self.flushing(workspace, Next::Request)));
                }
                let Some(rest) = left.checked_sub(step.consumed as u64) else {
                    return Ok(Step::On(self.flushing(workspace, Next::Linger)));
                };
                left = rest;
                if step.consumed == 0 {
                    break;
                }
            }
            if *reads == 0 {
                return Ok(Step::Stop(State::Discarding { decoder, left, until }, Turn::Yield));
            }
            *reads -= 1;
            match self.fill(workspace)? {
                Filled::All(_) | Filled::Some(_) => {}
                Filled::End => return Ok(Step::On(State::Closed)),
                Filled::Blocked => {
                    let state = State::Discarding { decoder, left, until };
                    return Ok(Step::Stop(state, Turn::Park(Interest::Read, until)));
                }
            }
        }
    }

    pub(super) fn linger(
        &mut self,
        workspace: &mut Workspace<'_>,
        mut left: usize,
        until: Instant,
    ) -> io::Result<Step> {
        loop {
            self.input.consume(self.input.bytes().len());
            match self.fill(workspace)? {
                Filled::All(count) | Filled::Some(count) => match left.checked_sub(count) {
                    Some(rest) => left = rest,
                    None => return Ok(Step::On(State::Closed)),
                },
                Filled::End => return Ok(Step::On(State::Closed)),
                Filled::Blocked => {
                    let state = State::Lingering { left, until };
                    return Ok(Step::Stop(state, Turn::Park(Interest::Read, Some(until))));
                }
            }
        }
    }
}
