//! The bytes under a connection: a TCP or Unix socket, or TLS over one. Knows no HTTP.

use crate::tls::{Security, Session, Tls};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::connect_unspec;
use socket2::{SockRef, Socket};
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

/// A connected, non-blocking byte stream.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(Socket),
    Unix(Socket),
    Tls(Box<Session>),
    /// What a simulation plays.
    #[cfg(test)]
    Scripted(crate::simulation::Wire),
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
}

/// How far a peer has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// not at all
    None,
    /// It sends nothing more; whether it still reads cannot be seen.
    Ended,
    /// The connection is broken.
    Gone,
}

#[cfg(target_os = "linux")]
pub(crate) const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
// Elsewhere socket2 sets SO_NOSIGPIPE when it accepts.
#[cfg(not(target_os = "linux"))]
pub(crate) const NO_SIGNAL: i32 = 0;

impl Transport {
    pub(crate) fn socket(&self) -> &Socket {
        match self {
            Transport::Tcp(socket) | Transport::Unix(socket) => socket,
            Transport::Tls(session) => session.socket(),
            #[cfg(test)]
            Transport::Scripted(_) => panic!("a script has no socket"),
        }
    }

    /// The socket itself, where nothing stands between it and the bytes.
    pub(crate) fn plain(&self) -> Option<&Socket> {
        match self {
            Transport::Tcp(socket) | Transport::Unix(socket) => Some(socket),
            _ => None,
        }
    }

    /// Ends both directions, whoever else has a descriptor of it.
    pub(crate) fn shut_down(&self) {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.abort();
        }
        // Fails only where the peer is gone already.
        let _ = self.socket().shutdown(Shutdown::Both);
    }

    /// The same, with TLS over it once [`Transport::begin_tls`] is called.
    pub(crate) fn securable(self) -> Transport {
        match self {
            Transport::Tcp(socket) => Transport::Tls(Box::new(Session::plain(socket, true))),
            Transport::Unix(socket) => Transport::Tls(Box::new(Session::plain(socket, false))),
            other => other,
        }
    }

    /// From here on all bytes go through TLS, beginning with those that were read already. False where it is not securable.
    pub(crate) fn begin_tls(&self, tls: &Tls, arrived: Vec<u8>) -> Result<bool, rustls::Error> {
        match self {
            Transport::Tls(session) => session.begin(tls, arrived).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Whether TLS was begun.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Transport::Tls(session) if session.is_begun())
    }

    /// Goes on with the handshake of TLS; `None` once it is made.
    pub(crate) fn handshake(&self) -> io::Result<Option<Interest>> {
        match self {
            Transport::Tls(session) => session.handshake(),
            _ => Ok(None),
        }
    }

    /// How it is secured, where it is.
    pub(crate) fn security(&self) -> Option<Security> {
        match self {
            Transport::Tls(session) => session.security(),
            _ => None,
        }
    }

    /// Whether the end is known to stand behind what was read.
    pub(crate) fn has_end_behind(&self) -> bool {
        matches!(self, Transport::Tls(session) if session.is_ended())
    }

    /// Sends what was taken and has not gone to the socket; `true` once nothing is left.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        match self {
            Transport::Tls(session) => session.flush(),
            _ => Ok(true),
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket().as_raw_fd()
    }

    /// Reads what is there; 0 is the end.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.read(into);
        }
        if let Transport::Tls(session) = self {
            return session.read(into);
        }
        retry(|| {
            let mut socket = self.socket();
            socket.read(into)
        })
    }

    /// Writes what the socket takes, in one system call.
    pub(crate) fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.write(pieces);
        }
        if let Transport::Tls(session) = self {
            return session.write(pieces);
        }
        retry(|| match pieces {
            [one] => self.socket().send_with_flags(one, NO_SIGNAL),
            many => self.socket().send_vectored_with_flags(many, NO_SIGNAL),
        })
    }

    /// Sends a part of a file; 0 is the file's end.
    #[cfg(target_os = "linux")]
    pub(crate) fn send_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> io::Result<usize> {
        #[cfg(test)]
        if let Transport::Scripted(_) = self {
            return self.send_through_memory(file, offset, length);
        }
        if let Transport::Tls(_) = self {
            return self.send_through_memory(file, offset, length);
        }
        // The kernel moves at most 0x7ffff000 bytes a call.
        let count = usize::try_from(length).unwrap_or(usize::MAX).min(0x7fff_f000);
        retry(|| {
            let mut offset = offset;
            Ok(rustix::fs::sendfile(self.socket(), file, Some(&mut offset), count)?)
        })
    }

    /// Sends a part of a file; 0 is the file's end. The system's own way differs from Linux's.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn send_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> io::Result<usize> {
        self.send_through_memory(file, offset, length)
    }

    fn send_through_memory(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> io::Result<usize> {
        let mut block = [0; 64 * 1024];
        let count = usize::try_from(length).unwrap_or(usize::MAX).min(block.len());
        let read = rustix::io::pread(file, &mut block[..count], offset)?;
        if read == 0 {
            return Ok(0);
        }
        self.write(&[IoSlice::new(&block[..read])])
    }

    /// Waits until the socket is ready or the time is up (`false`).
    pub(crate) fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.wait(interest, timeout);
        }
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let flags = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            match poll(&mut [PollFd::new(self.socket(), flags)], left.as_ref()) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(ready) => return Ok(ready > 0),
            }
        }
    }

    /// Whether the peer has ended its side or broken the connection. Never waits.
    pub(crate) fn is_ended(&self) -> bool {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.is_ended();
        }
        if let Transport::Tls(session) = self {
            // What is to be decrypted hides the socket's own end from a look at the next byte.
            return session.is_ended() || is_hung_up(session.socket());
        }
        match SockRef::from(self.socket()).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }

    /// Whether the peer has left, as far as the system knows. Never waits.
    pub(crate) fn departure(&self) -> Departure {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.departure();
        }
        const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(self.socket(), PollFlags::IN)];
        let broken = PollFlags::ERR | PollFlags::HUP;
        if poll(&mut fds, Some(&NOW)).is_ok() && fds[0].revents().intersects(broken) {
            Departure::Gone
        } else if self.is_ended() {
            Departure::Ended
        } else {
            Departure::None
        }
    }

    /// Says that nothing more will be sent, and leaves the other direction open.
    pub(crate) fn end_writing(&self) {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.end_writing();
        }
        if let Transport::Tls(session) = self {
            session.end();
        }
        // Fails only where the peer is gone already.
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Makes the close that follows an abortive one (RST), which no peer can take for a complete response.
    pub(crate) fn abort(&self) {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.abort();
        }
        if let Some(socket) = self.tcp() {
            // Fails only where the peer is gone already.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        if let Transport::Tls(session) = self {
            session.abandon();
        }
    }

    fn tcp(&self) -> Option<&Socket> {
        match self {
            Transport::Tcp(socket) => Some(socket),
            Transport::Tls(session) => session.is_tcp.then(|| session.socket()),
            _ => None,
        }
    }
}

impl Transport {
    /// Ends both directions at once, without giving the descriptor up: nobody reads or writes on it any more. The peer gets a
    /// reset where there is such a thing, so that it can't take what it got for a whole response.
    pub(crate) fn break_off(&self) {
        #[cfg(test)]
        if let Transport::Scripted(wire) = self {
            return wire.abort();
        }
        if let Transport::Tls(session) = self {
            session.abandon();
        }
        // Dissolving the association is what makes TCP send a reset while the descriptor stays.
        let is_reset = self.tcp().is_some_and(|socket| connect_unspec(socket).is_ok());
        if !is_reset {
            // Fails only where the peer is gone already.
            let _ = self.socket().shutdown(Shutdown::Both);
        }
    }
}

/// Whether the peer has ended its side, however much of what it has sent is still to be read.
#[cfg(target_os = "linux")]
fn is_hung_up(socket: &Socket) -> bool {
    const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut fds = [PollFd::new(socket, ends)];
    poll(&mut fds, Some(&NOW)).is_ok() && fds[0].revents().intersects(ends)
}

/// Whether the peer has ended its side. Other systems show it only once all was read.
#[cfg(not(target_os = "linux"))]
fn is_hung_up(socket: &Socket) -> bool {
    matches!(SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]), Ok(0))
}

pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
