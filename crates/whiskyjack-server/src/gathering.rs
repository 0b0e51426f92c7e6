//! Responses to pipelined requests, and pieces of one response that come close behind each other, on their way into one write.
//! Should their thread be held up by what comes next, another sends them.

use crate::output::Framed;
use crate::reactor::lock;
use crate::transport::Transport;
use std::io::IoSlice;
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
        let data = &framed.block.bytes()[..framed.length];
        let length = framed.before.len() + data.len() + framed.after.len();
        let mut gathered = lock(&self.gathered);
        // Asked under the lock: who stops watching looks here once more, after that.
        if gathered.bytes.len() + length > most || !watched() {
            return false;
        }
        gathered.bytes.reserve(length);
        gathered.transport.get_or_insert_with(|| Arc::clone(transport));
        gathered.bytes.extend_from_slice(framed.before);
        gathered.bytes.extend_from_slice(data);
        gathered.bytes.extend_from_slice(framed.after);
        true
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
        let mut gathered = lock(&self.gathered);
        let Gathered { mut bytes, sent, .. } = std::mem::take(&mut *gathered);
        bytes.drain(..sent);
        bytes
    }
}

/// Tells the pieces of a response that an application makes right behind each other from those that it takes its time for.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// when the last piece came
    last: Option<Instant>,
    /// when the first of those came that wait
    since: Option<Instant>,
}

/// Who made a piece so soon after another is expected to make the next one as soon.
const BEHIND: Duration = Duration::from_micros(200);

/// Pieces of one response that have waited so long go out, however soon the next one is expected.
const HOLD: Duration = Duration::from_millis(1);

impl Burst {
    /// Whether a piece that comes now, and is not the response's last, may wait for the next one. The first never does.
    pub(crate) fn may_wait(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        let is_close = last.is_some_and(|last| now.saturating_duration_since(last) < BEHIND);
        self.since = is_close.then(|| self.since.unwrap_or(now));
        self.since.take_if(|since| now.saturating_duration_since(*since) >= HOLD);
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(after: &[u64]) -> Vec<bool> {
        let (mut burst, mut now) = (Burst::default(), Instant::now());
        let piece = |micros: &u64| {
            now += Duration::from_micros(*micros);
            burst.may_wait(now)
        };
        after.iter().map(piece).collect()
    }

    #[test]
    fn pieces_wait_that_come_close_behind_another() {
        assert_eq!(waits(&[0, 10, 10, 10]), [false, true, true, true]);
        assert_eq!(waits(&[0, 200, 10, 5000, 10]), [false, false, true, false, true]);
    }

    #[test]
    fn pieces_wait_no_longer_than_the_hold_however_close_they_come() {
        let waits = waits(&[190; 14]);
        let gone: Vec<usize> = (0..14).filter(|&piece| !waits[piece]).collect();
        assert_eq!(gone, [0, 7]);
    }
}
