//! Bytes that were read and not yet used. A thread lends a large buffer for its turn; a parked connection keeps only
//! what is left in it.

use crate::transport::Transport;
use std::io;

/// The size of the buffers that threads lend.
pub(crate) const BUFFER: usize = 64 * 1024;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// so many bytes, and the buffer had room for more: the socket is drained
    All(usize),
    /// so many bytes, and there may be more
    Some(usize),
    /// the peer ended its side
    End,
    /// nothing is there
    Blocked,
}

/// The unread bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Reads once, behind what is there. The buffer grows when it is full of unused bytes; what bounds it are the
    /// limits of whoever parses them.
    pub(crate) fn fill(&mut self, transport: &Transport, spare: &mut Spare) -> io::Result<Filled> {
        self.make_room(spare);
        let room = self.bytes.len() - self.end;
        match transport.read(&mut self.bytes[self.end..]) {
            Ok(0) => Ok(Filled::End),
            Ok(count) => {
                self.end += count;
                Ok(if count < room { Filled::All(count) } else { Filled::Some(count) })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Blocked),
            Err(error) => Err(error),
        }
    }

    fn make_room(&mut self, spare: &mut Spare) {
        if self.bytes.len() < BUFFER {
            let mut larger = spare.take();
            larger[..self.end - self.start].copy_from_slice(&self.bytes[self.start..self.end]);
            self.end -= self.start;
            self.start = 0;
            self.bytes = larger;
        } else if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
    }

    /// Gives the lent buffer back and keeps what is left in one of its own size.
    pub(crate) fn settle(&mut self, spare: &mut Spare) {
        if self.bytes.len() >= BUFFER {
            let rest = self.bytes().to_vec();
            spare.give(std::mem::take(&mut self.bytes));
            self.start = 0;
            self.end = rest.len();
            self.bytes = rest;
        }
    }
}

/// The buffers of one thread that no connection uses now.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Vec<Vec<u8>>,
}

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| vec![0; BUFFER])
    }

    fn give(&mut self, buffer: Vec<u8>) {
        if buffer.len() == BUFFER && self.buffers.len() < 4 {
            self.buffers.push(buffer);
        }
    }
}
