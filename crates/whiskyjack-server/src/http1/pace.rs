//! Until when a peer has to move bytes. Knows no clock and no connection: counts and instants are arguments.

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
    fn without_a_rate_only_a_stall_counts_and_without_a_timeout_nothing() {
        let since = Instant::now();
        let pace = Pace { since, base: 0 };
        let now = since + seconds(1000);
        assert_eq!(pace.deadline(now, 1, TIMEOUT, 0), Some(now + seconds(10)));
        assert_eq!(pace.deadline(now, 1, None, 240), None);
    }
}
