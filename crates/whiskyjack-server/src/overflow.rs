//! What a slow reader has not taken of a response, beyond what memory may hold: in an unnamed temporary file, so that the
//! application can go on. Knows no socket and no order of pieces: those are the output's.

use crate::episode::Episode;
use crate::reactor::lock;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One connection's file. It begins with the first byte that had to wait and is gone once all of them have been sent.
#[derive(Debug)]
pub(crate) struct Overflow {
    file: File,
    /// bytes written, all of which count until the file is gone
    length: u64,
    /// of them, not sent yet
    waiting: u64,
    taking: Option<Taking>,
}

/// How a peer takes what waits. Counts are of all bytes that it has taken on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taking {
    /// when it was looked at first, and the count then
    pub(crate) begun: (Instant, u64),
    /// when its count was last seen to have grown, and to what
    pub(crate) moved: (Instant, u64),
}

/// Bytes in such files now, for the whole process: they share one disk.
static USED: AtomicU64 = AtomicU64::new(0);

/// Whether such files can be written, for the whole process.
static TROUBLE: Mutex<Episode> = Mutex::new(Episode::new());

/// Pieces are gathered up to this: a chunk's framing would else be a system call.
const GATHERED: usize = 64 * 1024;

impl Overflow {
    /// An empty file. Errors: there is no place for one.
    pub(crate) fn new() -> io::Result<Overflow> {
        Ok(Overflow { file: tempfile::tempfile()?, length: 0, waiting: 0, taking: None })
    }

    /// Adds bytes and says at which offset they begin; `None` where all such files together would have more than `limit` bytes.
    /// Errors: the disk is full; nothing has been added then.
    pub(crate) fn add<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]> + Clone,
        limit: u64,
    ) -> io::Result<Option<u64>> {
        let count: u64 = pieces.clone().map(|piece| piece.len() as u64).sum();
        let taken = USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(count).filter(|sum| *sum <= limit)
        });
        if taken.is_err() {
            return Ok(None);
        }
        if let Err(error) = self.write(pieces) {
            USED.fetch_sub(count, Ordering::Relaxed);
            return Err(error);
        }
        let offset = self.length;
        self.length += count;
        self.waiting += count;
        Ok(Some(offset))
    }

    fn write<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        // A write that failed may have left a part behind the end.
        self.file.seek(SeekFrom::Start(self.length))?;
        let mut writer = BufWriter::with_capacity(GATHERED, &self.file);
        for piece in pieces {
            writer.write_all(piece)?;
        }
        match writer.into_inner() {
            Ok(_) => Ok(()),
            Err(error) => {
                let (error, writer) = error.into_parts();
                // What is left in it would be written once more when it is dropped.
                drop(writer.into_parts());
                Err(error)
            }
        }
    }

    /// The peer has taken so many of the bytes. `true`: it has them all.
    pub(crate) fn sent(&mut self, count: u64) -> bool {
        self.waiting -= count;
        self.waiting == 0
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// How the peer, which has taken `sent` bytes by now, takes them.
    pub(crate) fn taking(&mut self, now: Instant, sent: u64) -> Taking {
        let taking = self.taking.get_or_insert(Taking { begun: (now, sent), moved: (now, sent) });
        if taking.moved.1 != sent {
            taking.moved = (now, sent);
        }
        *taking
    }
}

impl Drop for Overflow {
    fn drop(&mut self) {
        USED.fetch_sub(self.length, Ordering::Relaxed);
    }
}

/// How long a reader may take for what is in memory before it counts as slow. A quick one is spared the disk.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// Says that responses can't be kept in files, or that they can again, once each.
pub(crate) fn tell(now: Instant, result: &io::Result<bool>) {
    match result {
        Err(error) => {
            if lock(&TROUBLE).failed(now) {
                log::error!(
                    "cannot keep a response for a slow client in a temporary file in {} (TMPDIR names another place): {error}; \
                     its application waits for the client for now",
                    std::env::temp_dir().display()
                );
            }
        }
        Ok(false) => {}
        Ok(true) => {
            let over = lock(&TROUBLE).succeeded(now);
            if let Some(over) = over {
                log::warn!(
                    "responses to slow clients are kept in temporary files again: {} had to wait in {:.1?}",
                    over.failures,
                    over.lasted
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_was_added_lies_in_order_and_counts_until_the_file_is_gone() {
        let mut overflow = Overflow::new().expect("a temporary file");
        let pieces = [&b"first"[..], b"", b" and second"];
        assert_eq!(overflow.add(pieces.iter().copied(), u64::MAX).expect("disk"), Some(0));
        let more = vec![b'x'; 100_000];
        assert_eq!(overflow.add([&more[..]].into_iter(), u64::MAX).expect("disk"), Some(16));
        let mut read = vec![0; 100_016];
        overflow.file.read_exact_at(&mut read, 0).expect("all of it");
        assert_eq!(&read[..16], b"first and second");
        assert!(read[16..] == more[..]);
        assert!(USED.load(Ordering::Relaxed) >= 100_016);
        assert!(!overflow.sent(100_000));
        assert!(overflow.sent(16));
    }

    #[test]
    fn over_the_limit_nothing_is_added() {
        let mut overflow = Overflow::new().expect("a temporary file");
        assert_eq!(overflow.add([&b"much"[..]].into_iter(), 3).expect("no disk"), None);
        assert_eq!((overflow.length, overflow.waiting), (0, 0));
    }

    #[test]
    fn a_peer_is_idle_from_where_its_last_byte_was_seen() {
        let mut overflow = Overflow::new().expect("a temporary file");
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut moved = |after: u32, sent| overflow.taking(start + second * after, sent).moved.0;
        assert_eq!(moved(0, 10), start);
        assert_eq!(moved(1, 10), start);
        assert_eq!(moved(2, 11), start + second * 2);
        assert_eq!(moved(3, 11), start + second * 2);
        assert_eq!(overflow.taking(start + second * 4, 12).begun, (start, 10));
    }
}
