//! A request and what becomes of the response to it, with no socket behind: the server's part while an application is checked.
//! Knows no rule: what is given is counted and dropped.

use super::asks::{Ask, Body, Patience};
use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;
use whiskyjack_proto::head::{RequestHead, ResponseHead};
use whiskyjack_server::exchange::{Address, Block, Exchange, Failure, Origin, Sent, Upload};

/// A response without an end must not keep the check from its own: whoever takes so many pieces has seen enough.
const MOST_PIECES: usize = 2_000;

/// One exchange.
pub(super) struct Rehearsal {
    head: RequestHead,
    origin: Origin,
    body: Rest,
    upload: Upload,
    patience: usize,
    pieces: usize,
    status: Option<u16>,
    cache: Option<Box<dyn Any + Send>>,
}

/// What is left of a request's body.
enum Rest {
    Memory(Vec<u8>, usize),
    File(io::Cursor<Vec<u8>>),
    Pieces(VecDeque<Vec<u8>>),
    BrokenOff(VecDeque<Vec<u8>>),
}

impl Rehearsal {
    pub(super) fn of(ask: &Ask) -> Rehearsal {
        let upload = match &ask.body {
            Body::Collected(bytes) | Body::Spooled(bytes) => Upload::Collected(bytes.len() as u64),
            Body::Streaming(length, _) => Upload::Streaming(*length),
            Body::BrokenOff(_) => Upload::Streaming(Some(1_000_000)),
        };
        let body = match ask.body.clone() {
            Body::Collected(bytes) => Rest::Memory(bytes, 0),
            Body::Spooled(bytes) => Rest::File(io::Cursor::new(bytes)),
            Body::Streaming(_, pieces) => Rest::Pieces(pieces.into()),
            Body::BrokenOff(pieces) => Rest::BrokenOff(pieces.into()),
        };
        let end = |port| Address::Inet(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Rehearsal {
            head: ask.head.clone(),
            origin: Origin { peer: end(40_000), local: end(8_000), secure: false, claimed: false },
            body,
            upload,
            patience: match ask.patience {
                Patience::Endless => MOST_PIECES,
                Patience::Pieces(count) => count,
            },
            pieces: 0,
            status: None,
            cache: None,
        }
    }

    /// The same on the connection of another one.
    pub(super) fn after(self, before: Rehearsal) -> Rehearsal {
        Rehearsal { cache: before.cache, ..self }
    }

    /// The status of the response, if one was begun.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    fn take(&mut self) -> Result<(), Failure> {
        if self.pieces >= self.patience {
            return Err(Failure::Disconnected(io::ErrorKind::BrokenPipe.into()));
        }
        self.pieces += 1;
        Ok(())
    }
}

impl Exchange for Rehearsal {
    fn head(&self) -> &RequestHead {
        &self.head
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn upload(&self) -> Upload {
        self.upload
    }

    fn queued(&self) -> Duration {
        Duration::ZERO
    }

    fn cache(&mut self) -> &mut Option<Box<dyn Any + Send>> {
        &mut self.cache
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let pieces = match &mut self.body {
            Rest::Memory(bytes, at) => {
                let count = io::Read::read(&mut &bytes[*at..], into)?;
                *at += count;
                return Ok(count);
            }
            Rest::File(file) => return io::Read::read(file, into),
            Rest::BrokenOff(pieces) if pieces.is_empty() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Rest::Pieces(pieces) | Rest::BrokenOff(pieces) => pieces,
        };
        let Some(piece) = pieces.front_mut() else { return Ok(0) };
        let count = io::Read::read(&mut &piece[..], into)?;
        piece.drain(..count);
        if piece.is_empty() {
            pieces.pop_front();
        }
        Ok(count)
    }

    fn peek(&mut self) -> Option<&[u8]> {
        match &self.body {
            Rest::Memory(bytes, at) => Some(&bytes[*at..]),
            _ => None,
        }
    }

    fn advance(&mut self, count: usize) {
        if let Rest::Memory(bytes, at) = &mut self.body {
            *at = bytes.len().min(*at + count);
        }
    }

    fn interim(&mut self, _: &ResponseHead) -> Result<(), Failure> {
        Ok(())
    }

    fn start(&mut self, head: &ResponseHead, _: Option<u64>) {
        self.status = Some(head.status());
    }

    fn is_started(&self) -> bool {
        self.status.is_some()
    }

    fn is_bodyless(&self) -> bool {
        // The validator has to see a body that there must not be: all of it is taken.
        false
    }

    fn write(&mut self, _: &dyn Block) -> Result<Sent, Failure> {
        self.take()?;
        Ok(Sent::Taken)
    }

    fn write_last(&mut self, _: &dyn Block) -> Result<(), Failure> {
        self.take()
    }

    fn write_file(&mut self, _: OwnedFd, _: u64, _: u64) -> Result<Sent, Failure> {
        self.take()?;
        Ok(Sent::Taken)
    }

    fn wait_writable(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn excess(&self) -> u64 {
        0 // the validator counts
    }

    fn missing(&self) -> u64 {
        0 // the validator counts
    }

    fn is_disconnected(&mut self) -> bool {
        self.pieces >= self.patience
    }
}
