//! A worker's sign of life: it says again and again that the interpreter runs Python, for as long as the server has something to do.
//! Knows the server only by what that says of itself.
//!
//! ```text
//!            nothing is under way         nor was for a while
//!   Active ───────────────────────▶ Calm ────────────────────▶ Resting
//!     ▲                              │                            │
//!     └──────────────────────────────┴────────────────────────────┘
//!                        something is under way again
//! ```
//!
//! While it rests nobody looks whether the interpreter is held, and nobody is woken to say or to hear that it is not.

use super::channel::{Report, send_if_room};
use crate::board::Slot;
use pyo3::prelude::*;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What beats.
#[derive(Debug)]
pub struct Heart {
    slot: Slot,
    channel: Arc<UnixStream>,
    /// Guards what is on the slot as well: a beat must not come behind the word that there is none.
    pulse: Mutex<Pulse>,
    stirred: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulse {
    Active,
    /// since then
    Calm(Instant),
    Resting,
}

/// The longest pause between two beats.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the server is calm until the heart rests. Each rest costs a few wake-ups, here and in the supervisor.
const SETTLED: Duration = Duration::from_secs(2);

impl Heart {
    /// One that beats as soon as it lives.
    pub fn new(slot: Slot, channel: Arc<UnixStream>) -> Heart {
        Heart { slot, channel, pulse: Mutex::new(Pulse::Active), stirred: Condvar::new() }
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is under way.
    pub fn rests(&self) {
        let mut pulse = self.pulse();
        if *pulse == Pulse::Active {
            *pulse = Pulse::Calm(Instant::now());
        }
    }

    /// Something is under way again.
    pub fn stirs(&self) {
        let mut pulse = self.pulse();
        if std::mem::replace(&mut *pulse, Pulse::Active) == Pulse::Resting {
            // From here on an interpreter may be missed.
            self.slot.beat(Instant::now());
            self.stirred.notify_one();
        }
    }

    /// Its thread's life: as long as the interpreter's. With a timeout, within which the interpreter has to answer.
    pub fn live(&self, timeout: Option<Duration>) {
        let pause = timeout.map_or(PAUSE, |timeout| PAUSE.min(timeout / 4));
        // A call that keeps the interpreter keeps this too.
        while timeout.is_none() || Python::try_attach(|_| ()).is_some() {
            if self.beat(Instant::now()) {
                let pulse = self.pulse();
                drop(self.stirred.wait_timeout(pulse, pause));
            } else {
                self.rest();
            }
        }
    }

    /// Says that the interpreter has answered, or else that nobody will ask it.
    fn beat(&self, now: Instant) -> bool {
        let mut pulse = self.pulse();
        if let Pulse::Calm(since) = *pulse
            && now.saturating_duration_since(since) >= SETTLED
        {
            *pulse = Pulse::Resting;
            self.slot.rest();
            return false;
        }
        self.slot.beat(now);
        true
    }

    /// Waits for the server to stir. The supervisor has to know of both, to wait no longer and no less than it must.
    fn rest(&self) {
        self.tell(&Report::Rests);
        let is_resting = |pulse: &mut Pulse| *pulse == Pulse::Resting;
        drop(self.stirred.wait_while(self.pulse(), is_resting));
        self.tell(&Report::Stirs);
    }

    fn tell(&self, report: &Report) {
        // One that is gone looks after nobody, and one that has not read hundreds of these will look by itself.
        let _ = send_if_room(&self.channel, report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::supervisor::channel::Channel;

    fn heart() -> (Heart, Channel<Report>) {
        let (ours, theirs) = Channel::pair().expect("a pair");
        let slot = Board::new(1).expect("memory").slot(0);
        slot.clear();
        (Heart::new(slot, Arc::new(theirs)), ours)
    }

    #[test]
    fn a_heart_rests_once_the_server_has_been_calm_for_a_while() {
        let (heart, _) = heart();
        let later = Instant::now() + 2 * SETTLED;
        assert!(heart.beat(later), "the server is active");
        assert_eq!(heart.slot.last_beat(), Some(later));
        heart.rests();
        assert!(heart.beat(Instant::now()), "not calm for long");
        heart.stirs();
        heart.rests();
        assert!(heart.beat(Instant::now()), "calm, but not since the last time");
        assert!(!heart.beat(later));
        assert_eq!(heart.slot.last_beat(), None);
    }

    #[test]
    fn the_age_of_a_beat_counts_from_the_moment_the_server_stirs() {
        let (heart, _) = heart();
        heart.rests();
        assert!(!heart.beat(Instant::now() + 2 * SETTLED));
        let before = Instant::now();
        heart.stirs();
        assert!(heart.slot.last_beat() >= Some(before));
        let beat = heart.slot.last_beat();
        heart.stirs();
        assert_eq!(heart.slot.last_beat(), beat, "only Python's answer is another beat");
    }

    #[test]
    fn the_supervisor_is_told_of_a_rest_and_of_its_end() {
        let (heart, mut told) = heart();
        heart.rests();
        assert!(!heart.beat(Instant::now() + 2 * SETTLED));
        heart.stirs();
        heart.rest();
        assert_eq!(told.take(), [Report::Rests, Report::Stirs]);
    }
}
