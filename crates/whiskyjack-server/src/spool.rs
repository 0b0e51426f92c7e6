//! A request's body, collected before the application is called: in memory, then in an unnamed temporary file.

use crate::episode::Episode;
use crate::reactor::lock;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::time::Instant;

/// The collected bytes and how far they have been read.
#[derive(Debug)]
pub(crate) struct Spool {
    place: Place,
    length: u64,
    position: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    /// `unwritten` gathers small pieces, each of which would be a system call
    File {
        file: File,
        unwritten: Vec<u8>,
    },
}

/// Pieces of a file are gathered up to this: what chunks of one byte would else cost is a system call each.
const GATHERED: usize = 16 * 1024;

impl Spool {
    /// An empty spool with room for the bytes that are known to come, as far as memory may hold them.
    pub(crate) fn new() -> Spool {
        Spool { place: Place::Memory(Vec::new()), length: 0, position: 0 }
    }

    /// Adds bytes, the body's last ones if `last` says so; over `in_memory` bytes all of them move to a file.
    /// Says it once where that can't be done, and once where it can again.
    pub(crate) fn keep(
        &mut self,
        bytes: &[u8],
        in_memory: usize,
        last: bool,
        now: Instant,
    ) -> io::Result<()> {
        let kept = self.push(bytes, in_memory);
        let kept = if last { kept.and_then(|()| self.finish()) } else { kept };
        match &kept {
            Err(error) => tell_failed(now, error),
            Ok(()) if last && self.peek().is_none() => tell_kept(now),
            Ok(()) => {}
        }
        kept
    }

    /// Adds bytes; over `in_memory` bytes all of them move to a file.
    /// Errors: the file can't be made or the disk is full.
    fn push(&mut self, bytes: &[u8], in_memory: usize) -> io::Result<()> {
        if let Place::Memory(held) = &mut self.place {
            if held.len() + bytes.len() <= in_memory {
                held.extend_from_slice(bytes);
                self.length += bytes.len() as u64;
                return Ok(());
            }
            let mut file = tempfile::tempfile()?;
            file.write_all(held)?;
            self.place = Place::File { file, unwritten: Vec::new() };
        }
        if let Place::File { file, unwritten } = &mut self.place {
            if unwritten.len() + bytes.len() > GATHERED {
                file.write_all(unwritten)?;
                unwritten.clear();
            }
            if bytes.len() > GATHERED {
                file.write_all(bytes)?;
            } else {
                unwritten.extend_from_slice(bytes);
            }
            self.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// The body is whole. Nothing may be read before. Errors: the disk is full.
    fn finish(&mut self) -> io::Result<()> {
        if let Place::File { file, unwritten } = &mut self.place {
            file.write_all(unwritten)?;
            *unwritten = Vec::new();
        }
        Ok(())
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads on; 0 is the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &self.place {
            Place::Memory(bytes) => {
                let rest = &bytes[position(self.position)..];
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                count
            }
            Place::File { file, .. } => loop {
                match file.read_at(into, self.position) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            },
        };
        self.position += count as u64;
        Ok(count)
    }

    /// The rest, where it lies in memory.
    pub(crate) fn peek(&self) -> Option<&[u8]> {
        match &self.place {
            Place::Memory(bytes) => Some(&bytes[position(self.position)..]),
            Place::File { .. } => None,
        }
    }

    /// Moves past bytes that were peeked at.
    pub(crate) fn advance(&mut self, count: usize) {
        self.position = (self.position + count as u64).min(self.length);
    }
}

/// Whether bodies can be kept in files, for the whole process: they share one directory.
static TROUBLE: Mutex<Episode> = Mutex::new(Episode::new());

/// Says that bodies can't be kept in files, once.
fn tell_failed(now: Instant, error: &io::Error) {
    if lock(&TROUBLE).failed(now) {
        log::error!(
            "cannot keep a request's body in a temporary file in {} (TMPDIR names another place): {error}; \
             such requests are answered with 503 for now",
            std::env::temp_dir().display()
        );
    }
}

/// Says that they can again, once.
fn tell_kept(now: Instant) {
    let over = lock(&TROUBLE).succeeded(now);
    if let Some(over) = over {
        log::warn!(
            "requests' bodies are kept in temporary files again: {} were refused in {:.1?}",
            over.failures,
            over.lasted
        );
    }
}

fn position(position: u64) -> usize {
    usize::try_from(position).expect("bytes in memory are counted by usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_reads_the_same_from_memory_and_from_a_file() {
        let body: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        for (in_memory, pieces) in [usize::MAX, 70_000, 0]
            .into_iter()
            .flat_map(|in_memory| [(in_memory, 777), (in_memory, 1), (in_memory, 40_000)])
        {
            let mut spool = Spool::new();
            for piece in body.chunks(pieces) {
                spool.push(piece, in_memory).expect("a temporary file can be written");
            }
            spool.finish().expect("a temporary file can be written");
            assert_eq!(spool.length(), body.len() as u64);
            assert_eq!(spool.peek().is_some(), in_memory == usize::MAX);
            let mut read = Vec::new();
            let mut block = [0; 4096];
            while let count @ 1.. = spool.read(&mut block).expect("it can be read again") {
                read.extend_from_slice(&block[..count]);
            }
            assert_eq!(read, body);
        }
    }
}
