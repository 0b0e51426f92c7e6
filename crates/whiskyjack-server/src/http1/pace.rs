//! Until when a peer has to move bytes. Knows no clock and no connection: counts and instants are arguments.

use crate::overflow::Taking;
use std::time::{Duration, Instant};

/// Since when bytes should move, and how many had moved before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) since: Instant,
    pub(super) base: u64,
}

impl Pace {
    /// When a peer that moves nothing more is too slow: it stalls for `timeout`, or falls below `rate` bytes a second,
    /// counted once `timeout` has passed. `moved` is the count of all bytes so far.
    pub(super) fn deadline(
        self,
        now: Instant,
        moved: u64,
        timeout: Option<Duration>,
        rate: u64,
    ) -> Option<Instant> {
        let timeout = timeout?;
        let stalled = now + timeout;
        if rate == 0 {
            return Some(stalled);
        }
        let earned = Duration::from_secs((moved - self.base) / rate);
        Some(self.since.checked_add(timeout + earned).map_or(stalled, |slow| slow.min(stalled)))
    }

    /// Whether a peer that is looked at only now and then has been too slow, by the same rules.
    pub(super) fn is_broken(
        taking: Taking,
        now: Instant,
        moved: u64,
        timeout: Option<Duration>,
        rate: u64,
    ) -> bool {
        let Some(stalled) = timeout.and_then(|timeout| taking.moved.0.checked_add(timeout)) else {
            return false;
        };
        let (since, base) = taking.begun;
        let slow = Pace { since, base }.deadline(now, moved, timeout, rate);
        now > stalled || slow.is_some_and(|slow| now > slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(10));

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_peer_that_moves_enough_has_the_whole_timeout_again() {
        let since = Instant::now();
        let pace = Pace { since, base: 100 };
        let now = since + seconds(50);
        assert_eq!(pace.deadline(now, 100 + 240 * 60, TIMEOUT, 240), Some(now + seconds(10)));
    }

    #[test]
    fn a_peer_that_drips_earns_a_second_for_each_second_of_the_rate() {
        let since = Instant::now();
        let pace = Pace { since, base: 100 };
        let now = since + seconds(11);
        assert_eq!(pace.deadline(now, 100 + 240 * 3, TIMEOUT, 240), Some(since + seconds(13)));
    }

    #[test]
    fn a_peer_that_is_looked_at_now_and_then_breaks_the_same_rules() {
        let since = Instant::now();
        let broken = |moved: (u64, u64), now: u64, rate| {
            let taking = Taking { begun: (since, 0), moved: (since + seconds(moved.0), moved.1) };
            Pace::is_broken(taking, since + seconds(now), moved.1, TIMEOUT, rate)
        };
        assert!(!broken((0, 0), 10, 0));
        assert!(broken((0, 0), 11, 0));
        assert!(!broken((100, 1), 105, 0));
        assert!(broken((100, 1), 105, 240));
        assert!(!broken((100, 240 * 100), 105, 240));
    }

    #[test]
    fn without_a_rate_only_a_stall_counts_and_without_a_timeout_nothing() {
        let since = Instant::now();
        let pace = Pace { since, base: 0 };
        let now = since + seconds(1000);
        assert_eq!(pace.deadline(now, 1, TIMEOUT, 0), Some(now + seconds(10)));
        assert_eq!(pace.deadline(now, 1, None, 240), None);
    }
}
