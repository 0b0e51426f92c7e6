//! Looks over all calls, now and then, for those that take too long, and ends their requests in the application's place.
//! Runs on the monitor's thread: never waits, writes no log and asks the application nothing. `witness` does.

use crate::call::Progress;
use crate::config::Config;
use crate::http1::defaults;
use crate::member::{Inside, Member};
use crate::pool::Pool;
use crate::witness::{Late, What};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use whiskyjack_proto::date::DateCache;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_proto::write::{self, Asked};

/// What is remembered of the calls from one look to the next.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// one for each application thread
    watches: Vec<Option<Watch>>,
    /// one for each guest that is here, by its number
    guests: HashMap<u64, Option<Watch>>,
    every: Duration,
    next: Instant,
    date: DateCache,
    /// another process was asked for
    is_relief_asked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    number: u64,
    moves: u64,
    /// when bytes have last moved, as far as we know
    since: Instant,
    is_slow_told: bool,
}

impl Watch {
    fn new(progress: Progress) -> Watch {
        Watch {
            number: progress.number,
            moves: progress.moves,
            since: progress.called,
            is_slow_told: false,
        }
    }

    /// Whether the application has moved nothing for as long as it may. What it waits for its peer is not its time.
    fn is_due(&mut self, progress: Progress, now: Instant) -> bool {
        if self.moves != progress.moves || progress.waits {
            self.moves = progress.moves;
            self.since = now;
        }
        progress.limit.is_some_and(|limit| now.saturating_duration_since(self.since) >= limit)
    }
}

/// The coarsest and the finest look. One look at eight calls costs about a microsecond.
const COARSE: Duration = Duration::from_millis(100);
const FINE: Duration = Duration::from_millis(5);

impl Overdue {
    pub(crate) fn new(config: &Config) -> Overdue {
        let shortest = [config.timeout, config.slow_log].into_iter().flatten().min();
        Overdue {
            watches: vec![None; config.threads.max(1)],
            guests: HashMap::new(),
            every: shortest.map_or(COARSE, |shortest| (shortest / 20).clamp(FINE, COARSE)),
            next: Instant::now(),
            date: DateCache::default(),
            is_relief_asked: false,
        }
    }

    /// How long the monitor may sleep while calls are under way.
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    /// Looks, if it is time.
    pub(crate) fn look(&mut self, pool: &Pool) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + self.every;
        let mut stuck = 0;
        for member in 0..self.watches.len() {
            let mut watch = self.watches[member].take();
            stuck += usize::from(self.look_at(pool, &pool.members[member], &mut watch, now));
            self.watches[member] = watch;
        }
        let mut before = std::mem::take(&mut self.guests);
        for guest in pool.guests.here() {
            let mut watch = before.remove(&guest.number).flatten();
            self.look_at(pool, &guest, &mut watch, now);
            self.guests.insert(guest.number, watch);
        }
        pool.stuck.store(stuck, Ordering::Relaxed);
        let enough = pool.config.stuck_threads;
        if enough > 0 && stuck >= enough && !self.is_relief_asked {
            self.is_relief_asked = true;
            pool.witness.relief(stuck, self.watches.len());
        }
    }

    /// Looks at one thread's call; whether it is past its deadline.
    fn look_at(
        &mut self,
        pool: &Pool,
        thread: &Arc<Member>,
        watch: &mut Option<Watch>,
        now: Instant,
    ) -> bool {
        if !matches!(thread.inside(), Inside::Call(_)) {
            return false;
        }
        let Some(progress) = thread.call.progress() else { return false };
        let watch = match watch {
            Some(watch) if watch.number == progress.number => watch,
            _ => watch.insert(Watch::new(progress)),
        };
        if progress.expired {
            return true;
        }
        let is_due = watch.is_due(progress, now);
        let ran = now.saturating_duration_since(progress.called);
        if pool.config.slow_log.is_some_and(|slow| ran >= slow) && !watch.is_slow_told {
            watch.is_slow_told = true;
            if let Some(asked) = thread.call.asked(progress.number) {
                pool.witness.late(Late::new(
                    Arc::clone(thread),
                    progress.number,
                    asked,
                    ran,
                    What::Slow,
                ));
            }
        }
        is_due && self.expire(pool, thread, progress, ran)
    }

    fn expire(
        &mut self,
        pool: &Pool,
        thread: &Arc<Member>,
        progress: Progress,
        ran: Duration,
    ) -> bool {
        let date = &mut self.date;
        let page = |head: &RequestHead| {
            let mut page = Vec::with_capacity(256);
            let asked = Asked::of(head, false);
            let body = write::refusal(&mut page, 504, asked, defaults(&pool.config, date));
            (page, body as u64)
        };
        let Some((expiry, asked)) = thread.call.expire(progress, page) else {
            return false;
        };
        pool.expired.fetch_add(1, Ordering::Relaxed);
        let what = What::Expired(expiry);
        pool.witness.late(Late::new(Arc::clone(thread), progress.number, asked, ran, what));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn progress(called: Instant) -> Progress {
        Progress { number: 1, called, limit: Some(LIMIT), moves: 0, waits: false, expired: false }
    }

    #[test]
    fn a_call_is_due_once_its_time_is_over() {
        let called = Instant::now();
        let progress = progress(called);
        let mut watch = Watch::new(progress);
        assert!(!watch.is_due(progress, called + LIMIT - Duration::from_millis(1)));
        assert!(watch.is_due(progress, called + LIMIT));
        assert!(!watch.is_due(Progress { limit: None, ..progress }, called + 100 * LIMIT));
    }

    #[test]
    fn each_piece_and_each_wait_for_the_peer_restarts_the_clock() {
        let called = Instant::now();
        let mut progress = progress(called);
        let mut watch = Watch::new(progress);
        progress.moves = 1;
        assert!(!watch.is_due(progress, called + LIMIT));
        progress.waits = true;
        assert!(!watch.is_due(progress, called + 3 * LIMIT));
        progress.waits = false;
        assert!(!watch.is_due(progress, called + 4 * LIMIT - Duration::from_millis(1)));
        assert!(watch.is_due(progress, called + 4 * LIMIT));
    }
}
