//! A bound socket that connections come from. Knows not how it was bound: the program's `sockets` room does that.

use crate::exchange::Address;
use socket2::Socket;
use std::io;

/// A listening socket, TCP or Unix.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    pub(crate) local: Address,
}

impl Listener {
    /// Takes a socket that is bound and listens already, and makes it non-blocking.
    pub fn new(socket: Socket) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        let local = todo!();
        Ok(Listener { socket, local })
    }

    /// Where it listens, with the port that was really taken.
    pub fn local(&self) -> &Address {
        &self.local
    }
}
