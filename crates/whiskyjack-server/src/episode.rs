//! A fault of the machine that lasts, such as a full disk: told once when it begins and once when it is over, however many
//! requests meet it meanwhile; and what others can make happen as often as they like. Knows no clock and no log: instants are
//! arguments, and it only says what to tell.

use std::time::{Duration, Instant};

/// After an end that was told, faults are only counted for so long: where things work now and then, each turn would be told.
const QUIET: Duration = Duration::from_secs(10);

/// One kind of fault, which is under way or not.
#[derive(Debug)]
pub(crate) struct Episode {
    /// since when, and how often
    current: Option<(Instant, u64)>,
    quiet_until: Option<Instant>,
    /// faults of the quiet time, which the next told episode counts
    untold: u64,
}

/// An episode that is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) failures: u64,
    pub(crate) lasted: Duration,
}

impl Episode {
    pub(crate) const fn new() -> Episode {
        Episode { current: None, quiet_until: None, untold: 0 }
    }

    /// Something failed. `true`: it is to be told.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        if let Some((_, failures)) = &mut self.current {
            *failures += 1;
            return false;
        }
        if self.quiet_until.is_some_and(|until| until > now) {
            self.untold += 1;
            return false;
        }
        self.current = Some((now, 1 + std::mem::take(&mut self.untold)));
        true
    }

    /// It works. `Some`: an episode that was told ends here, which is to be told.
    pub(crate) fn succeeded(&mut self, now: Instant) -> Option<Over> {
        let (since, failures) = self.current.take()?;
        self.quiet_until = Some(now + QUIET);
        Some(Over { failures, lasted: now.saturating_duration_since(since) })
    }
}

/// What comes from outside at any rate: one of them is told, and after that the next one only once some time has passed.
#[derive(Debug)]
pub(crate) struct Recurring {
    quiet_until: Option<Instant>,
    untold: u64,
}

impl Recurring {
    pub(crate) const fn new() -> Recurring {
        Recurring { quiet_until: None, untold: 0 }
    }

    /// It happened again. `Some`: this one is to be told, and how many were not.
    pub(crate) fn happened(&mut self, now: Instant) -> Option<u64> {
        if self.quiet_until.is_some_and(|until| until > now) {
            self.untold += 1;
            return None;
        }
        self.quiet_until = Some(now + QUIET);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn an_episode_is_told_at_its_beginning_and_its_end_and_counts_what_is_between() {
        let start = Instant::now();
        let mut episode = Episode::new();
        assert_eq!(episode.succeeded(start), None);
        assert!(episode.failed(start));
        for second in 1..100 {
            assert!(!episode.failed(start + seconds(second)));
        }
        let over = Over { failures: 100, lasted: seconds(120) };
        assert_eq!(episode.succeeded(start + seconds(120)), Some(over));
        assert_eq!(episode.succeeded(start + seconds(121)), None);
    }

    #[test]
    fn a_fault_that_comes_and_goes_is_told_now_and_then() {
        let start = Instant::now();
        let mut episode = Episode::new();
        assert!(episode.failed(start));
        assert!(episode.succeeded(start).is_some());
        for second in 0..10 {
            assert!(!episode.failed(start + seconds(second)));
            assert_eq!(episode.succeeded(start + seconds(second)), None);
        }
        assert!(episode.failed(start + seconds(10)));
        let over = Over { failures: 11, lasted: seconds(1) };
        assert_eq!(episode.succeeded(start + seconds(11)), Some(over));
    }

    #[test]
    fn what_recurs_is_told_at_times_with_the_count_of_the_others() {
        let start = Instant::now();
        let mut strangers = Recurring::new();
        assert_eq!(strangers.happened(start), Some(0));
        for second in 0..10 {
            assert_eq!(strangers.happened(start + seconds(second)), None);
        }
        assert_eq!(strangers.happened(start + seconds(10)), Some(10));
        assert_eq!(strangers.happened(start + seconds(100)), Some(0));
    }
}
