//! When to look at a parked connection again although nothing came. Knows no clock: the instants are arguments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Instants and what falls due at them. An entry is never taken back: whoever gets it asks its owner whether it still holds,
/// so that a deadline which only moves later (keep-alive, mostly) costs nothing.
#[derive(Debug)]
pub(crate) struct Deadlines<T: Ord> {
    heap: BinaryHeap<Reverse<(Instant, T)>>,
}

impl<T: Ord> Default for Deadlines<T> {
    fn default() -> Self {
        Deadlines { heap: BinaryHeap::new() }
    }
}

impl<T: Ord> Deadlines<T> {
    pub(crate) fn push(&mut self, at: Instant, what: T) {
        self.heap.push(Reverse((at, what)));
    }

    /// The next entry that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, what))| what)
    }

    /// The entry that falls due next.
    pub(crate) fn first(&self) -> Option<(Instant, &T)> {
        self.heap.peek().map(|Reverse((at, what))| (*at, what))
    }

    /// Entries, those that hold no more included.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Forgets the entries that hold no more.
    pub(crate) fn retain(&mut self, mut holds: impl FnMut(Instant, &T) -> bool) {
        self.heap.retain(|Reverse((at, what))| holds(*at, what));
    }

    /// When the next entry falls due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn entries_fall_due_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.push(start + Duration::from_secs(2), 2);
        deadlines.push(start + Duration::from_secs(1), 1);
        assert_eq!(deadlines.pop(start), None);
        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(1)));
        let later = start + Duration::from_secs(3);
        assert_eq!(
            (deadlines.pop(later), deadlines.pop(later), deadlines.pop(later)),
            (Some(1), Some(2), None)
        );
    }
}
