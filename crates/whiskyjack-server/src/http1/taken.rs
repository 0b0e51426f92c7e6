//! A connection on its way to an application that takes it over, and back. Knows not when it may be had.

use super::{Connection, State};
use crate::handover::Handover;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

impl Connection {
    /// A descriptor for the application, with what has come behind its request.
    pub(super) fn give_socket(&mut self) -> io::Result<OwnedFd> {
        let early = self.input.bytes().to_vec();
        self.input.consume(early.len());
        let (socket, handover) = Handover::begin(&self.transport, early)?;
        self.handover = Some(handover);
        Ok(socket)
    }

    /// The application is done with it. No other request is read from it.
    pub(super) fn take_back(&mut self) -> State {
        if let Some(handover) = &self.handover {
            handover.end();
        }
        // What the socket said meanwhile was for the application.
        self.drained = false;
        self.end(Instant::now())
    }
}
