//! Whether what follows the first piece of a response will come right behind it, so that both can leave in one write.
//! Knows no clock and no connection: it is told how responses went.

use std::sync::atomic::{AtomicU32, Ordering};

/// What recent responses did. Threads change it without a lock: a count that gets lost matters to nobody.
#[derive(Debug)]
pub(crate) struct Succession {
    /// how many more responses in a row must go on at once before a first piece may wait
    doubts: AtomicU32,
}

/// How a response went on after its first piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    AtOnce,
    Later,
    /// Later, and another thread had to send the first piece, which waited.
    Stalled,
}

/// What one response that took its time asks of those behind it, and what a server asks that has just begun.
const DOUBTS: u32 = 64;
/// The same for one whose first piece came to its client late: no more than one in so many does.
const DISTRUST: u32 = 10_000;

impl Default for Succession {
    fn default() -> Self {
        Succession { doubts: AtomicU32::new(DOUBTS) }
    }
}

impl Succession {
    /// Whether the next piece, or the response's end, is expected right behind a first piece.
    pub(crate) fn is_expected(&self) -> bool {
        self.doubts.load(Ordering::Relaxed) == 0
    }

    /// A response has gone on.
    pub(crate) fn tell(&self, followed: Followed) {
        let doubts = self.doubts.load(Ordering::Relaxed);
        let changed = match followed {
            Followed::AtOnce => doubts.saturating_sub(1),
            Followed::Later => doubts.max(DOUBTS),
            Followed::Stalled => DISTRUST,
        };
        if changed != doubts {
            self.doubts.store(changed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many responses in a row go on at once until the next one is expected to.
    fn until_expected(succession: &Succession) -> usize {
        let mut told = 0;
        while !succession.is_expected() {
            succession.tell(Followed::AtOnce);
            told += 1;
        }
        told
    }

    #[test]
    fn nothing_is_expected_of_a_server_that_has_just_begun() {
        assert_eq!(until_expected(&Succession::default()), 64);
    }

    #[test]
    fn responses_that_take_their_time_now_and_then_are_not_expected_to_go_on_at_once() {
        let succession = Succession::default();
        for _ in 0..100 {
            (0..63).for_each(|_| succession.tell(Followed::AtOnce));
            succession.tell(Followed::Later);
            assert!(!succession.is_expected());
        }
        assert_eq!(until_expected(&succession), 64);
    }

    #[test]
    fn a_first_piece_that_came_late_is_the_only_one_for_long() {
        let succession = Succession::default();
        until_expected(&succession);
        succession.tell(Followed::Stalled);
        succession.tell(Followed::Later);
        assert_eq!(until_expected(&succession), 10_000);
    }
}
