//! A scripted socket: what its peer sends arrives in pieces, and what it takes is little or much, by chance.

use super::chance::Chance;
use crate::overflow::PATIENCE;
use crate::reactor::lock;
use crate::transport::{Departure, Interest};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Both ends of a scripted socket.
#[derive(Clone, Debug)]
pub(crate) struct Wire(pub(super) Arc<Mutex<Script>>);

#[derive(Debug)]
pub(super) struct Script {
    pub(super) chance: Chance,
    /// what the peer has still to send
    pub(super) to_come: VecDeque<u8>,
    /// what has arrived and was not read
    pub(super) arrived: VecDeque<u8>,
    /// how many bytes the peer's side takes before it is full
    pub(super) room: usize,
    /// all that the server sent
    pub(super) sent: Vec<u8>,
    /// in how many writes
    pub(super) writes: usize,
    /// the peer ends its side after its last byte
    pub(super) half_closes: bool,
    /// the peer's end has arrived
    pub(super) ended: bool,
    /// the peer breaks the connection once it has sent all but this many bytes
    pub(super) resets_before: Option<usize>,
    pub(super) reset: bool,
    /// the peer sends and reads nothing any more once it has sent all but this many bytes
    pub(super) stalls_before: Option<usize>,
    pub(super) stalled: bool,
    /// the server has ended its side
    pub(super) server_ended: bool,
    pub(super) server_aborted: bool,
}

impl Script {
    /// Lets some more arrive. False if nothing can.
    pub(super) fn send_some(&mut self) -> bool {
        if self.reset || self.stalled || self.ended {
            return false;
        }
        if self.resets_before.is_some_and(|left| self.to_come.len() <= left) {
            self.reset = true;
            return true;
        }
        if self.stalls_before.is_some_and(|left| self.to_come.len() <= left) {
            self.stalled = true;
            return false;
        }
        if self.to_come.is_empty() {
            // A peer that does not half-close leaves once it was told that nothing more comes.
            self.ended = self.half_closes || self.server_ended;
            return self.ended;
        }
        let all = self.to_come.len();
        let count = match self.chance.below(6) {
            0 => 1,
            1 => 1 + self.chance.below(all.min(3)),
            2 => 1 + self.chance.below(all.min(50)),
            3 => 1 + self.chance.below(all.min(5000)),
            4 => 1 + self.chance.below(all),
            _ => all,
        };
        self.arrived.extend(self.to_come.drain(..count));
        true
    }

    /// Makes some room. False if the peer reads no more.
    pub(super) fn read_some(&mut self) -> bool {
        if self.reset || self.stalled {
            return false;
        }
        self.room += 1 + self.chance.below([1, 100, 100_000][self.chance.clone().below(3)]);
        true
    }
}

impl Wire {
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut script = lock(&self.0);
        if script.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if script.arrived.is_empty() {
            return if script.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        // As a stream socket does: all that is there, as far as it fits.
        let count = script.arrived.len().min(into.len());
        for (to, from) in into.iter_mut().zip(script.arrived.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    pub(crate) fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut script = lock(&self.0);
        assert!(
            !script.server_ended || script.server_aborted,
            "nothing is sent after the server has ended its side"
        );
        if script.reset || script.server_aborted {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert!(total > 0, "no system call for nothing");
        let count = total.min(script.room);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        script.room -= count;
        script.writes += 1;
        let bytes = pieces.iter().flat_map(|piece| piece.iter().copied()).take(count);
        script.sent.extend(bytes);
        Ok(count)
    }

    /// What an application's thread waits for comes at once or never; only a short wait can also be too short.
    pub(crate) fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
        let mut script = lock(&self.0);
        if timeout.is_some_and(|timeout| timeout <= PATIENCE) && script.chance.one_in(2) {
            return Ok(false);
        }
        Ok(match interest {
            Interest::Read => {
                script.send_some() || script.reset || script.ended || !script.arrived.is_empty()
            }
            Interest::Write => script.read_some() || script.reset,
        })
    }

    pub(crate) fn is_ended(&self) -> bool {
        let script = lock(&self.0);
        script.reset || (script.ended && script.arrived.is_empty())
    }

    pub(crate) fn departure(&self) -> Departure {
        match (lock(&self.0).reset, self.is_ended()) {
            (true, _) => Departure::Gone,
            (false, true) => Departure::Ended,
            (false, false) => Departure::None,
        }
    }

    pub(crate) fn end_writing(&self) {
        lock(&self.0).server_ended = true;
    }

    pub(crate) fn abort(&self) {
        lock(&self.0).server_aborted = true;
    }
}
