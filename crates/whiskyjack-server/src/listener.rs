//! A bound socket that connections come from. Knows not how it was bound: the program's `sockets` room does that.

use crate::exchange::{Address, Origin};
use crate::transport::Transport;
use socket2::{Domain, SockAddr, Socket};
use std::io;

/// A listening socket, TCP or Unix.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: Socket,
    pub(crate) local: Address,
}

impl Listener {
    /// Takes a socket that is bound and listens already, and makes it non-blocking.
    /// Errors: it is not a socket, or neither an IP nor a Unix one.
    pub fn new(socket: Socket) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        let local = address(&socket.local_addr()?)?;
        if matches!(local, Address::Inet(_)) {
            // Connections inherit it on Linux; a response's last small write must not wait for an acknowledgement.
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Listener { socket, local })
    }

    /// Where it listens, with the port that was really taken.
    pub fn local(&self) -> &Address {
        &self.local
    }

    /// Takes one connection off the queue. Errors: `WouldBlock` where there is none.
    pub(crate) fn accept(&self) -> io::Result<(Transport, Origin)> {
        let (socket, peer) = self.socket.accept()?;
        socket.set_nonblocking(true)?;
        match &self.local {
            Address::Unix(_) => {
                let (peer, local) = (Address::Unix(None), self.local.clone());
                let origin = Origin { peer, local, secure: false, claimed: false };
                Ok((Transport::Unix(socket), origin))
            }
            Address::Inet(bound) => {
                let peer = address(&peer)?;
                // A wildcard listener's connections each have an address of their own.
                let local = if bound.ip().is_unspecified() {
                    address(&socket.local_addr()?)?
                } else {
                    self.local.clone()
                };
                #[cfg(not(target_os = "linux"))]
                socket.set_tcp_nodelay(true)?;
                let origin = Origin { peer, local, secure: false, claimed: false };
                Ok((Transport::Tcp(socket), origin))
            }
        }
    }
}

fn address(address: &SockAddr) -> io::Result<Address> {
    if let Some(inet) = address.as_socket() {
        return Ok(Address::Inet(inet));
    }
    if address.domain() == Domain::UNIX {
        return Ok(Address::Unix(address.as_pathname().map(Into::into)));
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "not an IPv4, IPv6 or Unix socket"))
}
