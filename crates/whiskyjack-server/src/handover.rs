//! A connection in the hands of its application: the descriptor that it gets, and what moves bytes to it where they cannot go by
//! themselves. Knows no HTTP: what was asked for, and whether it may be had, is decided before.

use crate::transport::{Transport, retry};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Socket, Type};
use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::Builder;
use std::time::Duration;

/// What is left to us of a connection that its application has.
#[derive(Debug)]
pub(crate) struct Handover {
    transport: Arc<Transport>,
    bridge: Option<Bridge>,
}

/// A thread that moves bytes between a connection and one end of a pair of sockets, of which the application has the other.
#[derive(Debug)]
struct Bridge {
    end: Socket,
    /// ends when the thread does
    over: Receiver<()>,
}

/// How long what the application has written last may take to be sent.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// What the bridge reads at a time.
const BLOCK: usize = 16 * 1024;

impl Handover {
    /// A blocking socket for the application. `early` is what has come already: no descriptor gives that back, and none decrypts, so that a
    /// bridge stands between where it is not empty, and over TLS.
    pub(crate) fn begin(
        transport: &Arc<Transport>,
        early: Vec<u8>,
    ) -> io::Result<(OwnedFd, Handover)> {
        let transport = Arc::clone(transport);
        if early.is_empty()
            && let Some(socket) = transport.plain()
        {
            let own = socket.try_clone()?;
            // Both descriptors have this in common, and only the application uses it from here on.
            own.set_nonblocking(false)?;
            return Ok((own.into(), Handover { transport, bridge: None }));
        }
        let (theirs, end) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        end.set_nonblocking(true)?;
        let (living, over) = channel();
        let mut pump = Pump::new(Arc::clone(&transport), end.try_clone()?, early);
        Builder::new().name("bridge".into()).stack_size(128 << 10).spawn(move || {
            if let Err(error) = pump.run() {
                log::debug!("a connection that the application has taken over broke: {error}");
            }
            // Whatever ended it, the application's next read has an end.
            let _ = pump.end.shutdown(Shutdown::Both);
            drop(living);
        })?;
        Ok((theirs.into(), Handover { transport, bridge: Some(Bridge { end, over }) }))
    }

    /// The application is done: what it has written goes out, and the connection is ours again.
    pub(crate) fn end(&self) {
        match &self.bridge {
            None => {
                if let Some(socket) = self.transport.plain()
                    && let Err(error) = socket.set_nonblocking(true)
                {
                    log::error!("cannot take a connection back from the application: {error}");
                    self.transport.shut_down();
                }
            }
            Some(bridge) => {
                // What is in the pair already is still read.
                let _ = bridge.end.shutdown(Shutdown::Both);
                // An error is the end of the thread.
                if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
                    bridge.over.recv_timeout(LAST_BYTES)
                {
                    self.transport.shut_down();
                }
            }
        }
    }
}

impl Drop for Handover {
    /// The application may have kept its descriptor, and a thread that reads from it.
    fn drop(&mut self) {
        self.transport.shut_down();
    }
}

/// The bridge's thread at work.
struct Pump {
    transport: Arc<Transport>,
    end: Socket,
    /// from the peer, not yet taken by the application
    inwards: Vec<u8>,
    /// from the application, not yet taken by the transport
    outwards: Vec<u8>,
    /// the peer sends nothing more
    peer_ended: bool,
    /// nor does the application
    application_ended: bool,
}

impl Pump {
    fn new(transport: Arc<Transport>, end: Socket, early: Vec<u8>) -> Pump {
        Pump {
            transport,
            end,
            inwards: early,
            outwards: Vec::new(),
            peer_ended: false,
            application_ended: false,
        }
    }

    /// Moves bytes until the application has ended and all that it wrote is sent.
    fn run(&mut self) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        let mut is_told = false;
        loop {
            let inwards = self.move_inwards(&mut block)?;
            let outwards = self.move_outwards(&mut block)?;
            let is_sent = self.outwards.is_empty() && self.transport.flush()?;
            if self.application_ended && is_sent {
                return Ok(());
            }
            if self.peer_ended && self.inwards.is_empty() && !is_told {
                is_told = true;
                // It may still have something to say.
                let _ = self.end.shutdown(Shutdown::Write);
            }
            if !inwards && !outwards {
                self.wait(is_sent)?;
            }
        }
    }

    /// Whether bytes have moved.
    fn move_inwards(&mut self, block: &mut [u8]) -> io::Result<bool> {
        let mut moved = false;
        if self.inwards.is_empty() && !self.peer_ended {
            match self.transport.read(block) {
                Ok(0) => self.peer_ended = true,
                Ok(count) => self.inwards.extend_from_slice(&block[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            moved = true;
        }
        if !self.inwards.is_empty() && !self.application_ended {
            let end = Transport::Unix(self.end.try_clone()?);
            match end.write(&[IoSlice::new(&self.inwards)]) {
                Ok(count) => {
                    self.inwards.drain(..count);
                    moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It has closed its end, and reads nothing more.
                Err(_) => {
                    self.inwards.clear();
                    self.peer_ended = true;
                    moved = true;
                }
            }
        }
        Ok(moved)
    }

    fn move_outwards(&mut self, block: &mut [u8]) -> io::Result<bool> {
        let mut moved = false;
        if self.outwards.is_empty() && !self.application_ended {
            let read = retry(|| {
                let mut end = &self.end;
                end.read(block)
            });
            match read {
                Ok(0) => self.application_ended = true,
                Ok(count) => self.outwards.extend_from_slice(&block[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                // It left without reading all that was there.
                Err(_) => self.application_ended = true,
            }
            moved = true;
        }
        if !self.outwards.is_empty() {
            match self.transport.write(&[IoSlice::new(&self.outwards)]) {
                Ok(count) => {
                    self.outwards.drain(..count);
                    moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    /// Waits until one of the two can go on.
    fn wait(&self, is_sent: bool) -> io::Result<()> {
        let mut peer = PollFlags::empty();
        peer.set(PollFlags::IN, self.inwards.is_empty() && !self.peer_ended);
        peer.set(PollFlags::OUT, !is_sent);
        let mut application = PollFlags::empty();
        application.set(PollFlags::IN, self.outwards.is_empty() && !self.application_ended);
        application.set(PollFlags::OUT, !self.inwards.is_empty());
        let socket = self.transport.socket();
        let mut fds = [PollFd::new(socket, peer), PollFd::new(&self.end, application)];
        // Nothing is asked of one that has ended: its hang-up would be told again and again.
        let fds = match (peer.is_empty(), application.is_empty()) {
            (true, false) => &mut fds[1..],
            (false, true) => &mut fds[..1],
            (false, false) => &mut fds[..],
            (true, true) => return Err(io::ErrorKind::NotConnected.into()),
        };
        retry(|| Ok(poll(fds, None)?)).map(drop)
    }
}
