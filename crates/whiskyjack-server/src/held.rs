//! Whole responses that a thread holds back while it makes those of other connections, so that their clients are woken together.
//! Should the thread be held up by what comes next, another sends them. Knows not who, and no application.

use crate::reactor::lock;
use crate::slots::Taken;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The connections whose responses one thread holds back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Held for a few lines and writes that do not wait.
    batch: Mutex<Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    taken: Vec<Taken>,
    /// when the first of them has waited long enough
    until: Option<Instant>,
}

/// How long a response may be held back: as long as its request has waited for its turn, and within these. Where requests come
/// one by one, that is the shorter; where there is always a queue, fewer wake-ups make it move faster.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(3);

/// While calls take longer, what a wake-up costs does not matter, and what a client waits does.
pub(crate) const QUICK: Duration = Duration::from_micros(250);

/// What became of a connection whose response was to wait.
#[derive(Debug)]
pub(crate) enum Fate {
    Held,
    /// it is held, and has company that should wait no longer
    Due,
    /// nobody would send it in this thread's place
    Refused(Taken),
}

impl Held {
    /// Holds a connection back, if `watched` says that somebody will send its response should this thread not.
    pub(crate) fn add(&self, taken: Taken, now: Instant, watched: impl FnOnce() -> bool) -> Fate {
        let mut batch = lock(&self.batch);
        // Asked under the lock: who stops watching looks here once more, after that.
        if !watched() {
            return Fate::Refused(taken);
        }
        let waited = now.saturating_duration_since(taken.found);
        let until = *batch.until.get_or_insert(now + waited.clamp(SHORTEST, LONGEST));
        batch.taken.push(taken);
        match now >= until {
            true => Fate::Due,
            false => Fate::Held,
        }
    }

    /// Whether nothing is held back.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.batch).taken.is_empty()
    }

    /// Sends what has waited too long, in place of the thread that holds it back.
    pub(crate) fn send_due(&self, now: Instant) {
        let mut batch = lock(&self.batch);
        if batch.until.take_if(|until| now >= *until).is_some() {
            batch.send();
        }
    }

    /// Sends everything; the connections are the caller's to go on with.
    pub(crate) fn take(&self) -> Vec<Taken> {
        let mut batch = lock(&self.batch);
        batch.send();
        batch.until = None;
        std::mem::take(&mut batch.taken)
    }
}

impl Batch {
    fn send(&mut self) {
        for taken in &mut self.taken {
            taken.connection.send_held();
        }
    }
}
