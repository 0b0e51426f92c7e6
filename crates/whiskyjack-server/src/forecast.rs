//! Whether the next call of the application will wait for something. Knows no thread and no clock: it is told how calls went.

use std::sync::atomic::{AtomicU32, Ordering};

/// What recent calls did. Threads change it without a lock: a count that gets lost matters to nobody.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    /// how surely calls wait
    score: AtomicU32,
    calls: AtomicU32,
    /// for so many calls more it is worth asking whether they wait
    curious: AtomicU32,
    /// calls that could have been asked
    askable: AtomicU32,
}

/// What a call that was found waiting adds, and one that never gave the lead away takes: one in five makes the score grow.
const WAITED: u32 = 4;
const WENT_THROUGH: u32 = 1;
/// From here on calls are taken to wait.
const SURE: u32 = 8;
const MOST: u32 = 16;
/// While calls are taken to wait, one in so many is tried without.
const TRIAL: u32 = 16;
/// For so many calls after a long one it is worth asking.
const CURIOUS: u32 = 64;
/// While none has been found waiting, one in so many is asked: that takes two system calls.
const SAMPLE: u32 = 16;

impl Forecast {
    /// Whether the lead should be given away before the next call begins, rather than when the monitor finds out that it waits.
    pub(crate) fn is_wait(&self) -> bool {
        self.is_sure() && !self.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(TRIAL)
    }

    /// Whether calls are taken to wait, those that are tried without among them.
    pub(crate) fn is_sure(&self) -> bool {
        self.score.load(Ordering::Relaxed) >= SURE
    }

    /// A call took long enough for it to matter whether it waited.
    pub(crate) fn was_long(&self) {
        self.curious.store(CURIOUS, Ordering::Relaxed);
    }

    /// Whether the next call, if it keeps the lead, should be asked whether it waits. The monitor finds only those that wait for longer
    /// than it lets the leader stay away.
    #[inline]
    pub(crate) fn asks(&self) -> bool {
        let left = self.curious.load(Ordering::Relaxed);
        if left == 0 {
            return false;
        }
        self.curious.store(left - 1, Ordering::Relaxed);
        let number = self.askable.load(Ordering::Relaxed);
        self.askable.store(number.wrapping_add(1), Ordering::Relaxed);
        number.is_multiple_of(SAMPLE) || self.score.load(Ordering::Relaxed) > 0
    }

    /// A call that had kept the lead was found waiting.
    pub(crate) fn waited(&self) {
        let score = self.score.load(Ordering::Relaxed);
        self.score.store((score + WAITED).min(MOST), Ordering::Relaxed);
    }

    /// A call ended, and its thread had the lead all the time.
    pub(crate) fn went_through(&self) {
        let score = self.score.load(Ordering::Relaxed);
        if score > 0 {
            self.score.store(score.saturating_sub(WENT_THROUGH), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(forecast: &Forecast) -> bool {
        // One of two in a row is no trial.
        forecast.is_wait() | forecast.is_wait()
    }

    #[test]
    fn calls_that_seldom_wait_are_not_taken_to() {
        let forecast = Forecast::default();
        for _ in 0..100 {
            forecast.waited();
            (0..19).for_each(|_| forecast.went_through());
            assert!(!waits(&forecast));
        }
    }

    #[test]
    fn calls_that_always_wait_are_taken_to_and_now_and_then_tried_without() {
        let forecast = Forecast::default();
        forecast.waited();
        assert!(!waits(&forecast));
        forecast.waited();
        let trials = (0..160).filter(|_| !forecast.is_wait()).count();
        assert_eq!(trials, 10);
    }

    #[test]
    fn short_calls_are_not_asked_long_ones_now_and_then_and_all_once_one_has_waited() {
        let asked = |forecast: &Forecast| {
            let ask = |_: &u32| {
                forecast.was_long();
                forecast.asks()
            };
            (0..160).filter(ask).count()
        };
        let forecast = Forecast::default();
        assert!(!(0..160).any(|_| forecast.asks()));
        assert_eq!(asked(&forecast), 10);
        forecast.waited();
        assert_eq!(asked(&forecast), 160);
        forecast.was_long();
        assert!((0..CURIOUS).all(|_| forecast.asks()));
        assert!(!forecast.asks());
    }

    #[test]
    fn calls_that_cease_to_wait_are_noticed() {
        let forecast = Forecast::default();
        (0..100).for_each(|_| forecast.waited());
        for _ in 0..100 {
            forecast.went_through();
        }
        assert!(!waits(&forecast));
    }
}
