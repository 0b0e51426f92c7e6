//! Responses to pipelined requests, and pieces of one response that come close behind each other, on their way into one write.
//! Should their thread be held up by what comes next, another sends them.

use crate::output::Framed;
use crate::reactor::lock;
use crate::succession::Followed;
use crate::transport::Transport;
use std::io::{self, IoSlice};
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What one thread has gathered, for the one connection that it has in hand.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// Held for a few lines and a write that does not wait.
    gathered: Mutex<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    /// its memory mostly stays with the thread
    bytes: Vec<u8>,
    /// how many of them the socket has
    sent: usize,
    /// the connection's transport, so that its descriptor lives while somebody else writes to it
    transport: Option<Arc<Transport>>,
}

/// More is not gathered: a write of so many bytes costs more than its system call.
pub(crate) const MOST: usize = 16 * 1024;

/// More is not held back for other connections: copying it, and coming back to it later, costs more than what is saved.
pub(crate) const SMALL: usize = 4 * 1024;

/// What was gathered is handed on by a copy up to this, so that its memory stays and what is handed on takes no more than it needs.
const COPIED: usize = 4 * 1024;

impl Gathering {
    /// Takes a piece of a response, if there is no more than `most` with it, and `watched` says that somebody will send it should
    /// this thread not.
    pub(crate) fn add(
        &self,
        transport: &Arc<Transport>,
        framed: &Framed<'_>,
        most: usize,
        watched: impl FnOnce() -> bool,
    ) -> bool {
        let mut gathered = lock(&self.gathered);
        // Asked under the lock: who stops watching looks here once more, after that.
        if gathered.bytes.len() + framed.total() > most || !watched() {
            return false;
        }
        gathered.transport.get_or_insert_with(|| Arc::clone(transport));
        gathered.append(framed);
        true
    }

    /// Sends what was gathered in one write, and this behind it. What the socket has not taken is the caller's to keep.
    pub(crate) fn finish(&self, framed: &Framed<'_>) -> io::Result<Vec<u8>> {
        let mut gathered = lock(&self.gathered);
        gathered.append(framed);
        let result = match &gathered.transport {
            Some(transport) if gathered.sent < gathered.bytes.len() => {
                transport.write(&[IoSlice::new(&gathered.bytes[gathered.sent..])])
            }
            _ => Ok(0),
        };
        match result {
            Ok(count) => gathered.sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                gathered.clear();
                return Err(error);
            }
        }
        Ok(gathered.take())
    }

    /// Whether some of it was sent in place of the thread that gathered it.
    fn was_sent(&self) -> bool {
        lock(&self.gathered).sent > 0
    }

    /// Sends what the socket takes, in place of the thread that gathered it. True if nothing is left.
    pub(crate) fn send(&self) -> bool {
        let mut gathered = lock(&self.gathered);
        let Gathered { bytes, sent, transport } = &mut *gathered;
        if let Some(transport) = transport
            && *sent < bytes.len()
            // A fault is found by the thread whose connection it is.
            && let Ok(count) = transport.write(&[IoSlice::new(&bytes[*sent..])])
        {
            *sent += count;
        }
        *sent == bytes.len()
    }

    /// What is left to send, for the thread that gathered it.
    pub(crate) fn take(&self) -> Vec<u8> {
        lock(&self.gathered).take()
    }
}

impl Gathered {
    fn append(&mut self, framed: &Framed<'_>) {
        self.bytes.reserve(framed.total());
        self.bytes.extend_from_slice(framed.before);
        self.bytes.extend_from_slice(&framed.block.bytes()[..framed.length]);
        self.bytes.extend_from_slice(framed.after);
    }

    fn take(&mut self) -> Vec<u8> {
        let rest = match self.sent {
            // So much is not copied again, and there is likely to be as much the next time.
            0 if self.bytes.len() > COPIED => {
                mem::replace(&mut self.bytes, Vec::with_capacity(MOST + SMALL))
            }
            sent => self.bytes[sent..].to_vec(),
        };
        self.clear();
        rest
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.transport = None;
    }
}

/// Tells the pieces of a response that an application makes right behind each other from those that it takes its time for.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// until when a piece would be close behind the last one
    close_until: Option<Instant>,
    /// when those that wait have waited long enough, if any do
    hold_until: Option<Instant>,
    /// there has been one piece, and nothing behind it
    single: bool,
}

/// Who made a piece so soon after another is expected to make the next one as soon.
const BEHIND: Duration = Duration::from_micros(200);

/// Pieces of one response that have waited so long go out, however soon the next one is expected.
const HOLD: Duration = Duration::from_millis(1);

impl Burst {
    /// Whether the next thing will be the first one behind the first piece.
    pub(crate) fn is_single(&self) -> bool {
        self.single
    }

    /// Something comes now behind the first piece, which `gathering` may hold.
    pub(crate) fn follow(&mut self, now: Instant, gathering: &Gathering) -> Followed {
        self.single = false;
        match self.close_until {
            Some(until) if now < until => Followed::AtOnce,
            _ if gathering.was_sent() => Followed::Stalled,
            _ => Followed::Later,
        }
    }

    /// Whether a piece that comes now, and is not the response's last, may wait for the next one. The first does if that is
    /// `expected` at once.
    pub(crate) fn may_wait(&mut self, now: Instant, expected: bool) -> bool {
        let is_close = match self.close_until.replace(now + BEHIND) {
            Some(until) => now < until,
            None => {
                self.single = true;
                expected
            }
        };
        self.hold_until = is_close.then(|| self.hold_until.unwrap_or_else(|| now + HOLD));
        self.hold_until.take_if(|until| now >= *until);
        self.hold_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::io::Read;

    /// A gathering that has this piece, and the peer's end of its connection.
    fn gathering(piece: &[u8]) -> (Gathering, Socket) {
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("a pair");
        let gathering = Gathering::default();
        let framed = Framed { before: b"<", block: &piece, length: piece.len(), after: b">" };
        assert!(gathering.add(&Arc::new(Transport::Unix(ours)), &framed, MOST, || true));
        (gathering, theirs)
    }

    #[test]
    fn what_was_sent_by_another_thread_is_not_handed_on_again() {
        for length in [10, COPIED, MOST - 2] {
            let piece = vec![b'x'; length];
            let whole = [b"<", &piece[..], b">"].concat();
            let (kept, _peer) = gathering(&piece);
            assert_eq!(kept.take(), whole);
            assert_eq!(kept.take(), b"");
            let (sent, mut peer) = gathering(&piece);
            assert!(sent.send());
            assert_eq!(sent.take(), b"");
            let mut read = vec![0; whole.len()];
            peer.read_exact(&mut read).expect("it was sent");
            assert_eq!(read, whole);
        }
    }

    fn waits(expected: bool, after: &[u64]) -> Vec<bool> {
        let (mut burst, mut now) = (Burst::default(), Instant::now());
        let piece = |micros: &u64| {
            now += Duration::from_micros(*micros);
            burst.may_wait(now, expected)
        };
        after.iter().map(piece).collect()
    }

    #[test]
    fn pieces_wait_that_come_close_behind_another() {
        assert_eq!(waits(false, &[0, 10, 10, 10]), [false, true, true, true]);
        assert_eq!(waits(false, &[0, 200, 10, 5000, 10]), [false, false, true, false, true]);
    }

    #[test]
    fn the_first_piece_waits_if_the_next_is_expected() {
        assert_eq!(waits(true, &[0, 10, 10]), [true, true, true]);
        assert_eq!(waits(true, &[0, 200, 10]), [true, false, true]);
    }

    #[test]
    fn what_comes_behind_the_first_piece_is_close_to_it_or_not() {
        let now = Instant::now();
        let gathering = Gathering::default();
        for (micros, followed) in [(199, Followed::AtOnce), (200, Followed::Later)] {
            let mut burst = Burst::default();
            assert!(!burst.is_single());
            burst.may_wait(now, false);
            assert!(burst.is_single());
            assert_eq!(burst.follow(now + Duration::from_micros(micros), &gathering), followed);
            assert!(!burst.is_single());
        }
    }

    #[test]
    fn pieces_wait_no_longer_than_the_hold_however_close_they_come() {
        for (expected, gone) in [(false, vec![0, 7]), (true, vec![6, 13])] {
            let waits = waits(expected, &[190; 14]);
            let went: Vec<usize> = (0..14).filter(|&piece| !waits[piece]).collect();
            assert_eq!(went, gone);
        }
    }
}
