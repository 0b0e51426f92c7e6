//! Requests that waited for a thread and never got one: counted, and told of now and then.

use crate::reactor::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How a request was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It waited too long, and was answered with 503.
    Refused,
    /// Its peer has left meanwhile.
    Gone,
}

/// How many were.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    refused: AtomicU64,
    gone: AtomicU64,
    /// what was told of, and when
    told: Mutex<Option<Told>>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: Instant,
    refused: u64,
    gone: u64,
}

/// What is lost meanwhile makes one line.
const PAUSE: Duration = Duration::from_secs(10);

impl Losses {
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    /// Counts one, and gives the line for the log if there is to be one.
    pub(crate) fn count(&self, lost: Lost, now: Instant) -> Option<String> {
        match lost {
            Lost::Refused => &self.refused,
            Lost::Gone => &self.gone,
        }
        .fetch_add(1, Ordering::Relaxed);
        let mut told = lock(&self.told);
        match *told {
            Some(told) if now.saturating_duration_since(told.at) < PAUSE => None,
            _ => self.line(&mut told, now),
        }
    }

    /// The line for what was not told of yet.
    pub(crate) fn rest(&self, now: Instant) -> Option<String> {
        self.line(&mut lock(&self.told), now)
    }

    fn line(&self, told: &mut Option<Told>, now: Instant) -> Option<String> {
        let (refused, gone) = (self.refused(), self.gone());
        let before = told.map_or((0, 0), |told| (told.refused, told.gone));
        let parts = [
            (refused - before.0, "answered with 503 after the queue timeout"),
            (gone - before.1, "dropped because the client had gone"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        if parts.is_empty() {
            return None;
        }
        *told = Some(Told { at: now, refused, gone });
        Some(format!("requests that waited for a thread: {}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_of_at_once_and_the_next_together() {
        let losses = Losses::default();
        let start = Instant::now();
        let line = losses.count(Lost::Refused, start).expect("a line");
        assert!(line.ends_with(": 1 answered with 503 after the queue timeout"), "{line}");
        assert_eq!(losses.count(Lost::Refused, start + PAUSE / 2), None);
        assert_eq!(losses.count(Lost::Gone, start + PAUSE / 2), None);
        let line = losses.count(Lost::Refused, start + PAUSE).expect("a line");
        assert!(
            line.ends_with(
                ": 2 answered with 503 after the queue timeout, 1 dropped because the client had gone"
            ),
            "{line}"
        );
        assert_eq!(losses.rest(start + PAUSE), None);
        assert_eq!((losses.refused(), losses.gone()), (3, 1));
    }
}
