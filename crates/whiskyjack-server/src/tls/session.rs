//! One connection's encryption over its socket. Never waits; knows no HTTP and no reactor.
//!
//! The socket's own rules go on outside: bytes that were decrypted are always read to their end, so that whoever is told that nothing
//! is there may wait for the socket to have more. What was given to write is encrypted at once, at most [`RECORDS`] bytes ahead of
//! what the socket takes: [`Session::flush`] says whether it has taken all.

use super::{Security, Tls, cipher, protocol};
use crate::reactor::lock;
use crate::transport::{Interest, NO_SIGNAL, retry};
use rustls::ServerConnection;
use socket2::Socket;
use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::sync::{Mutex, MutexGuard};

/// One end of a connection over TLS.
#[derive(Debug)]
pub(crate) struct Session {
    socket: Socket,
    pub(crate) is_tcp: bool,
    /// Guards the encryption. Held for a few records, never while waiting.
    stage: Mutex<Stage>,
}

#[derive(Debug)]
enum Stage {
    /// nothing of the handshake has come: bytes pass as they are
    Plain,
    Coded(Box<Coding>),
}

#[derive(Debug)]
struct Coding {
    tls: ServerConnection,
    /// read from the socket, and not yet decrypted: there was no room for it
    arrived: Vec<u8>,
    /// the peer sends nothing more
    ended: bool,
    /// nothing is sent any more
    closed: bool,
}

/// Bytes that are encrypted ahead of what the socket takes.
const RECORDS: usize = 64 * 1024;

/// What one read of the socket brings: one of TLS's records, and a little of the next.
const BLOCK: usize = 17 * 1024;

/// The socket as rustls writes to it.
struct Wire<'a>(&'a Socket);

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retry(|| self.0.send_with_flags(bytes, NO_SIGNAL))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        retry(|| self.0.send_vectored_with_flags(pieces, NO_SIGNAL))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Session {
    /// A connection before its handshake.
    pub(crate) fn plain(socket: Socket, is_tcp: bool) -> Session {
        Session { socket, is_tcp, stage: Mutex::new(Stage::Plain) }
    }

    /// Begins the handshake, with `arrived` of it, which was read from the socket already.
    /// Errors: the library cannot begin one, for want of memory or of chance.
    pub(crate) fn begin(&self, tls: &Tls, arrived: Vec<u8>) -> Result<(), rustls::Error> {
        let mut tls = tls.connection()?;
        tls.set_buffer_limit(Some(RECORDS));
        let coding = Coding { tls, arrived, ended: false, closed: false };
        *self.stage() = Stage::Coded(Box::new(coding));
        Ok(())
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        lock(&self.stage)
    }

    /// Whether the handshake has begun.
    pub(crate) fn is_begun(&self) -> bool {
        matches!(*self.stage(), Stage::Coded(_))
    }

    /// Goes on with the handshake as far as the peer has come; `None` once it is made. Errors: the peer left, or no agreement was found.
    pub(crate) fn handshake(&self) -> io::Result<Option<Interest>> {
        match &mut *self.stage() {
            Stage::Plain => Ok(Some(Interest::Read)),
            Stage::Coded(coding) => coding.handshake(&self.socket),
        }
    }

    /// Reads all that is there, as far as it fits; 0 is the end.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match &mut *self.stage() {
            Stage::Plain => receive(&self.socket, into),
            Stage::Coded(coding) => coding.read(&self.socket, into),
        }
    }

    /// Whether the end stands behind what was read.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(&*self.stage(), Stage::Coded(coding) if coding.ended)
    }

    /// Takes as much as there is room for, and sends of it what the socket takes.
    pub(crate) fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut *self.stage() {
            Stage::Plain => Wire(&self.socket).write_vectored(pieces),
            Stage::Coded(coding) => coding.write(&self.socket, pieces),
        }
    }

    /// Sends what was encrypted; `true` once the socket has all of it.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        match &mut *self.stage() {
            Stage::Plain => Ok(true),
            Stage::Coded(coding) => coding.flush(&self.socket),
        }
    }

    /// Says that nothing more will be sent (RFC 8446 6.1).
    pub(crate) fn end(&self) {
        if let Stage::Coded(coding) = &mut *self.stage() {
            coding.end(&self.socket);
        }
    }

    /// Ends it without a word, so that no peer can take what it got for all there was.
    pub(crate) fn abandon(&self) {
        if let Stage::Coded(coding) = &mut *self.stage() {
            coding.closed = true;
        }
    }

    /// How it is secured. `None` before its handshake is made.
    pub(crate) fn security(&self) -> Option<Security> {
        let stage = self.stage();
        let Stage::Coded(coding) = &*stage else { return None };
        let tls = &coding.tls;
        let client = tls.peer_certificates().and_then(|chain| chain.first());
        Some(Security {
            protocol: protocol(tls.protocol_version()?),
            cipher: cipher(tls.negotiated_cipher_suite()?.suite()),
            client: client.map(|certificate| certificate.to_vec()),
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Stage::Coded(coding) = &mut *lock(&self.stage)
            && !coding.tls.is_handshaking()
        {
            coding.end(&self.socket);
        }
    }
}

fn receive(socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
    retry(|| {
        let mut socket = socket;
        socket.read(into)
    })
}

impl Coding {
    fn handshake(&mut self, socket: &Socket) -> io::Result<Option<Interest>> {
        loop {
            if !self.flush(socket)? {
                return Ok(Some(Interest::Write));
            }
            if !self.tls.is_handshaking() {
                return Ok(None);
            }
            if self.arrived.is_empty() && !self.receive(socket)? {
                return Ok(Some(Interest::Read));
            }
            if self.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decrypt(socket)?;
        }
    }

    fn read(&mut self, socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        loop {
            match self.tls.reader().read(&mut into[count..]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(count);
                }
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The framing of HTTP tells whether something is missing, so that a peer may leave without a word.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended = true;
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
            if count == into.len() {
                return Ok(count);
            }
            if self.arrived.is_empty() && !self.receive(socket)? {
                return if count > 0 { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) };
            }
            match self.decrypt(socket) {
                // What came before the fault is good; the fault is told at the next read.
                Err(_) if count > 0 => return Ok(count),
                result => result?,
            }
        }
    }

    fn write(&mut self, socket: &Socket, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !self.flush(socket)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.tls.writer().write_vectored(pieces)?;
        self.flush(socket)?;
        Ok(taken)
    }

    fn end(&mut self, socket: &Socket) {
        if !mem::replace(&mut self.closed, true) {
            self.tls.send_close_notify();
            // Fails only where the peer is gone already.
            let _ = self.flush(socket);
        }
    }

    /// Takes what the socket has. False: nothing is there.
    fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        if self.ended {
            return Ok(true);
        }
        let mut block = [0; BLOCK];
        match receive(socket, &mut block) {
            Ok(0) => self.ended = true,
            Ok(count) => self.arrived.extend_from_slice(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Decrypts some of what has arrived, and answers what it asks of us.
    fn decrypt(&mut self, socket: &Socket) -> io::Result<()> {
        let mut rest = &self.arrived[..];
        let before = rest.len();
        // An empty one is the end to rustls too.
        self.tls.read_tls(&mut rest)?;
        let taken = before - rest.len();
        match taken == before {
            true => self.arrived = Vec::new(),
            false => drop(self.arrived.drain(..taken)),
        }
        let processed = self.tls.process_new_packets();
        let flushed = self.flush(socket);
        match processed {
            Ok(_) => flushed.map(drop),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Wire(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
