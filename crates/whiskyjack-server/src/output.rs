//! Bytes of responses that the socket has not taken yet: by reference where they came by reference, files by sendfile.

use crate::exchange::{Block, Kept};
use crate::overflow::{Overflow, Taking};
use crate::transport::Transport;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// What waits to be sent on one connection, in order.
#[derive(Default)]
pub(crate) struct Output {
    queue: VecDeque<Piece>,
    /// bytes in memory; files do not count
    held: usize,
    /// bytes that the socket took after it had been full
    flushed: u64,
    /// where spilled pieces lie, while there are any
    overflow: Option<Box<Overflow>>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("pieces", &self.queue.len())
            .field("held", &self.held)
            .finish()
    }
}

enum Piece {
    Memory {
        bytes: Bytes,
        start: usize,
        end: usize,
    },
    File {
        file: OwnedFd,
        offset: u64,
        left: u64,
    },
    /// in the overflow
    Spilled {
        offset: u64,
        left: u64,
    },
}

/// Bytes of a piece.
enum Bytes {
    /// the server's own
    Own(Vec<u8>),
    /// the application's
    Lent(Box<dyn Kept>),
}

impl Bytes {
    fn slice(&self, start: usize, end: usize) -> &[u8] {
        match self {
            Bytes::Own(bytes) => &bytes[start..end],
            Bytes::Lent(bytes) => &bytes.bytes()[start..end],
        }
    }
}

/// A run of body bytes with the framing around it.
pub(crate) struct Framed<'a> {
    pub(crate) before: &'a [u8],
    pub(crate) block: &'a dyn Block,
    /// how many of the block's bytes go out
    pub(crate) length: usize,
    pub(crate) after: &'a [u8],
}

impl Framed<'_> {
    /// How many bytes that makes.
    pub(crate) fn total(&self) -> usize {
        self.before.len() + self.length + self.after.len()
    }
}

/// More slices than this in one call gain nothing.
const SLICES: usize = 16;

impl Output {
    /// Bytes held in memory.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Has bytes wait, behind what does already.
    pub(crate) fn put(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.held += bytes.len();
            let end = bytes.len();
            // Mostly it is alone, and what is reserved stays with the connection while it is idle.
            self.queue.reserve_exact(1);
            self.queue.push_back(Piece::Memory { bytes: Bytes::Own(bytes), start: 0, end });
        }
    }

    /// How many bytes the socket has taken of what had to wait, since the connection began.
    pub(crate) fn sent_so_far(&self) -> u64 {
        self.flushed
    }

    /// Sends what the socket takes now and keeps the rest.
    pub(crate) fn send(&mut self, transport: &Transport, framed: &Framed<'_>) -> io::Result<()> {
        if !self.queue.is_empty() {
            self.keep(framed, 0);
            return self.flush(transport).map(drop);
        }
        let data = &framed.block.bytes()[..framed.length];
        let total = framed.total();
        if total == 0 {
            return Ok(());
        }
        let mut slices = [IoSlice::new(&[]); 3];
        let mut count = 0;
        for part in [framed.before, data, framed.after] {
            if !part.is_empty() {
                slices[count] = IoSlice::new(part);
                count += 1;
            }
        }
        match transport.write(&slices[..count]) {
            Ok(sent) if sent == total => Ok(()),
            // A short write means that the socket is full: trying again now would only say so.
            Ok(sent) => {
                self.keep(framed, sent);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.keep(framed, 0);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Sends bytes that belong to the server itself.
    pub(crate) fn send_bytes(&mut self, transport: &Transport, bytes: &[u8]) -> io::Result<()> {
        self.send(transport, &Framed { before: bytes, block: &(&[][..]), length: 0, after: &[] })
    }

    /// Sends a part of a file behind what waits already.
    pub(crate) fn send_file(
        &mut self,
        transport: &Transport,
        file: OwnedFd,
        mut offset: u64,
        mut left: u64,
    ) -> io::Result<()> {
        while self.queue.is_empty() && left > 0 {
            match transport.send_file(file.as_fd(), offset, left) {
                Ok(0) => return Err(shrunk()),
                Ok(sent) => {
                    offset += sent as u64;
                    left -= sent as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if left > 0 {
            self.queue.push_back(Piece::File { file, offset, left });
        }
        Ok(())
    }

    /// Keeps all of a framed run but its first `sent` bytes.
    fn keep(&mut self, framed: &Framed<'_>, mut sent: usize) {
        let mut rest = |length: usize| {
            let skip = sent.min(length);
            sent -= skip;
            skip
        };
        let before = rest(framed.before.len());
        self.push(
            &mut || Bytes::Own(framed.before[before..].to_vec()),
            0,
            framed.before.len() - before,
        );
        let start = rest(framed.length);
        self.push(&mut || Bytes::Lent(framed.block.keep()), start, framed.length);
        let after = rest(framed.after.len());
        self.push(
            &mut || Bytes::Own(framed.after[after..].to_vec()),
            0,
            framed.after.len() - after,
        );
    }

    fn push(&mut self, bytes: &mut dyn FnMut() -> Bytes, start: usize, end: usize) {
        if start < end {
            self.held += end - start;
            self.queue.push_back(Piece::Memory { bytes: bytes(), start, end });
        }
    }

    /// Sends what the socket takes; `true` once nothing waits any more.
    pub(crate) fn flush(&mut self, transport: &Transport) -> io::Result<bool> {
        loop {
            let sent = match self.queue.front() {
                None => return transport.flush(),
                Some(Piece::File { file, offset, left }) => {
                    transport.send_file(file.as_fd(), *offset, *left)
                }
                Some(Piece::Spilled { offset, left }) => match &self.overflow {
                    Some(overflow) => transport.send_file(overflow.file(), *offset, *left),
                    None => Ok(0),
                },
                Some(Piece::Memory { .. }) => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let mut count = 0;
                    for piece in self.queue.iter().take(SLICES) {
                        let Piece::Memory { bytes, start, end } = piece else { break };
                        slices[count] = IoSlice::new(bytes.slice(*start, *end));
                        count += 1;
                    }
                    transport.write(&slices[..count])
                }
            };
            match sent {
                Ok(0) => return Err(shrunk()),
                Ok(sent) => self.sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn sent(&mut self, mut sent: usize) {
        self.flushed += sent as u64;
        while sent > 0 {
            let whole = match self.queue.front_mut() {
                None => return,
                Some(Piece::Spilled { offset, left }) => {
                    *offset += sent as u64;
                    *left -= sent as u64;
                    if self.overflow.as_mut().is_some_and(|overflow| overflow.sent(sent as u64)) {
                        self.overflow = None;
                    }
                    sent = 0;
                    *left == 0
                }
                Some(Piece::File { offset, left, .. }) => {
                    *offset += sent as u64;
                    *left -= sent as u64;
                    sent = 0;
                    *left == 0
                }
                Some(Piece::Memory { start, end, .. }) => {
                    let count = sent.min(*end - *start);
                    *start += count;
                    sent -= count;
                    self.held -= count;
                    start == end
                }
            };
            if whole {
                self.queue.pop_front();
            }
        }
    }

    /// Moves what waits in memory to a file, so that memory is free for more. `false`: all such files together would have more than
    /// `limit` bytes. Errors: no file can be made or written; everything stays where it is then.
    pub(crate) fn spill(&mut self, limit: u64) -> io::Result<bool> {
        let is_memory = |piece: &Piece| matches!(piece, Piece::Memory { .. });
        let first = self.queue.iter().rposition(|piece| !is_memory(piece)).map_or(0, |at| at + 1);
        if limit == 0 || first == self.queue.len() {
            return Ok(false);
        }
        let overflow = match &mut self.overflow {
            Some(overflow) => overflow,
            none => none.insert(Box::new(Overflow::new()?)),
        };
        let pieces = self.queue.range(first..).map(|piece| match piece {
            Piece::Memory { bytes, start, end } => bytes.slice(*start, *end),
            Piece::File { .. } | Piece::Spilled { .. } => &[],
        });
        let count: usize = pieces.clone().map(<[u8]>::len).sum();
        let added = overflow.add(pieces, limit);
        let Ok(Some(at)) = added else {
            if !self.queue.iter().any(|piece| matches!(piece, Piece::Spilled { .. })) {
                self.overflow = None;
            }
            return added.map(|_| false);
        };
        self.queue.truncate(first);
        self.held -= count;
        match self.queue.back_mut() {
            Some(Piece::Spilled { left, .. }) => *left += count as u64,
            _ => self.queue.push_back(Piece::Spilled { offset: at, left: count as u64 }),
        }
        Ok(true)
    }

    /// How the peer takes what was spilled; `None` where nothing is.
    pub(crate) fn taking(&mut self, now: Instant) -> Option<Taking> {
        let sent = self.flushed;
        self.overflow.as_mut().map(|overflow| overflow.taking(now, sent))
    }

    /// Forgets all that waits.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.overflow = None;
        self.held = 0;
    }
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was being sent")
}
