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
/// In a long queue the longest is a tenth of what its request has waited, and this.
const UTMOST: Duration = Duration::from_millis(10);

/// While calls are as quick as this, to wake each client by itself is a good part of the work.
const QUICK: Duration = Duration::from_micros(250);
/// Where they take longer, it matters for clients that wait for many of them, and up to here.
const BRIEF: Duration = Duration::from_millis(2);
const MANY: u32 = 16;

/// Whether a response should be held back: where calls take so long, and its request has waited so long for its turn. Otherwise what a
/// wake-up costs does not matter, and what a client waits does.
pub(crate) fn is_worth_holding(call: Duration, waited: Duration) -> bool {
    call < QUICK || call < BRIEF && waited >= call * MANY
}

/// How long a response may be held back whose request has waited so long for its turn.
fn longest(waited: Duration) -> Duration {
    waited.clamp(SHORTEST, LONGEST).max((waited / 10).min(UTMOST))
}

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
        let until = *batch.until.get_or_insert(now + longest(waited));
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

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_response_is_held_no_longer_than_its_request_has_waited_or_the_shortest() {
        let mut before = Duration::ZERO;
        for waited in (0..500).map(|waited| waited * MILLISECOND) {
            let longest = longest(waited);
            assert!(
                longest >= before && longest <= waited.max(SHORTEST),
                "{waited:?}: {longest:?}"
            );
            assert!(longest <= LONGEST || longest <= waited / 10, "{waited:?}: {longest:?}");
            before = longest;
        }
        assert_eq!(before, UTMOST);
    }

    #[test]
    fn the_longer_a_call_the_longer_must_a_request_have_waited() {
        assert!(is_worth_holding(MILLISECOND / 10, Duration::ZERO));
        assert!(is_worth_holding(MILLISECOND, 64 * MILLISECOND));
        assert!(!is_worth_holding(MILLISECOND, 4 * MILLISECOND));
        assert!(!is_worth_holding(5 * MILLISECOND, Duration::from_secs(1)));
    }
}
