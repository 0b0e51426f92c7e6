//! Watches the leader, and has it replaced when the application holds it up; has `overdue` look at all calls now and then.
//! Sleeps while no call is under way.

use crate::alarm::Alarm;
use crate::member::Inside;
use crate::overdue::Overdue;
use crate::pool::Pool;
use crate::sys::Watched;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Monitor {
    alarm: Alarm,
    asleep: AtomicBool,
    /// a call was found to have waited, once it was over
    is_alert: AtomicBool,
}

/// How often it looks while calls are taken to wait: few keep the lead then, and whoever comes back from one takes it.
const STEADY: Duration = Duration::from_millis(2);
/// Otherwise it looks once the leader has not come back from a call for so long. To look takes the processor away from the application,
/// and with what that drives out of its caches some 80 µs of CPU time. This long while calls have lately waited for something,
const ALERT: Duration = Duration::from_micros(300);
/// this long while they have lately been long,
const BRISK: Duration = Duration::from_millis(2);
/// and this long where nothing of the kind was found.
const CALM: Duration = Duration::from_millis(6);
/// When it looks again at a call that may hold the leader up.
const AGAIN: Duration = Duration::from_millis(1);
/// How long it remembers such a call.
const ALERT_FOR: Duration = Duration::from_secs(1);
/// Ticks without any call before it sleeps.
const IDLE_TICKS: u32 = 10;
/// A call that has used the CPU for CPython's switch interval is long: others get their turn.
const LONG: Duration = Duration::from_millis(5);
/// A thread that has waited so long to get back into the interpreter leaves the polling to the thread that needs none.
const LONG_ENTRY: Duration = Duration::from_millis(20);

impl Monitor {
    pub(crate) fn new() -> Monitor {
        Monitor {
            alarm: Alarm::new(),
            asleep: AtomicBool::new(false),
            is_alert: AtomicBool::new(false),
        }
    }

    /// Tells it that a call begins. Costs a load unless it sleeps.
    pub(crate) fn rouse(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.asleep.store(false, Ordering::SeqCst);
            self.alarm.ring();
        }
    }

    /// Tells it that the leader has come back from a call, at `now`.
    #[inline]
    pub(crate) fn is_well(&self, now: Instant) {
        self.alarm.put_off(now);
    }

    /// Tells it that the leader has come back from a call in which it waited: such as it should be looked after soon.
    pub(crate) fn be_alert(&self) {
        self.is_alert.store(true, Ordering::Relaxed);
    }

    /// Whether it watches nobody now.
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.alarm.ring();
    }

    /// The monitor thread's life.
    pub(crate) fn watch(&self, pool: &Pool) {
        let mut idle_ticks = 0;
        let (mut waited, mut long): (Option<Instant>, Option<Instant>) = (None, None);
        let mut seen: Option<Seen> = None;
        // Whether it has just come upon a call that the leader may be held up by.
        let mut is_suspect = false;
        let mut overdue = Overdue::new(&pool.config);
        while !pool.is_over() {
            if self.is_alert.swap(false, Ordering::Relaxed) {
                waited = Some(Instant::now());
            }
            let is_recent = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < ALERT_FOR);
            let pause = match (is_recent(waited), is_recent(long)) {
                (true, _) => ALERT,
                (false, true) => BRISK,
                (false, false) => CALM,
            };
            let mut is_well = false;
            if pool.expects_waits() {
                self.alarm.sleep(Some(STEADY));
            } else if is_suspect {
                self.alarm.sleep(Some(pause.min(AGAIN)));
            } else if pool.is_anybody_apart() {
                // Begun while calls were taken to wait: what is gathered there waits for the look, however well the leader is.
                self.alarm.sleep(Some(pause));
            } else {
                is_well = self.alarm.sleep_on(pause, overdue.every());
            }
            overdue.look(pool);
            let leader = pool.leader();
            pool.members[leader].held.send_due(Instant::now());
            pool.send_of_those_apart();
            if is_well {
                // It was for the others alone that it woke.
                (seen, is_suspect, idle_ticks) = (None, false, 0);
                continue;
            }
            let inside = pool.members[leader].inside();
            if inside == Inside::Server {
                (seen, is_suspect) = (None, false);
                idle_ticks += 1;
                if idle_ticks >= IDLE_TICKS {
                    self.asleep.store(true, Ordering::SeqCst);
                    // Who has gathered something didn't see the line above, who hasn't will not.
                    pool.send_of_those_apart();
                    // A leader that began a call before the line above didn't see it: look again.
                    if pool.members[pool.leader()].inside() == Inside::Server {
                        while self.asleep.load(Ordering::SeqCst) && !pool.is_over() {
                            if pool.is_inside() {
                                // The leader waits for sockets, others are inside the application or on their way in.
                                self.alarm.sleep(Some(overdue.every()));
                                overdue.look(pool);
                            } else {
                                pool.stuck.store(0, Ordering::Relaxed);
                                pool.config.board.iter().for_each(|board| board.rests());
                                self.alarm.sleep(None);
                                pool.config.board.iter().for_each(|board| board.stirs());
                            }
                        }
                    }
                    self.asleep.store(false, Ordering::SeqCst);
                    idle_ticks = 0;
                }
                continue;
            }
            idle_ticks = 0;
            let watched = pool.members[leader].watched.get().copied();
            let cpu = watched.and_then(Watched::cpu_time);
            let Some(before) = seen.filter(|seen| seen.leader == leader && seen.inside == inside)
            else {
                seen = Some(Seen { leader, inside, cpu, since: Instant::now() });
                is_suspect = !is_suspect;
                continue;
            };
            is_suspect = true;
            let age = before.since.elapsed();
            let is_held_up = match inside {
                // A clock that stands still is also that of a thread which another process keeps from its processor. Where calls
                // are taken to wait, that is not worth finding out.
                Inside::Call(_) => {
                    let stands_still = cpu.is_some() && cpu == before.cpu;
                    let is_kept = || watched.is_some_and(Watched::is_runnable);
                    age >= LONG || stands_still && (pool.expects_waits() || !is_kept())
                }
                Inside::Entry(_) | Inside::Server => age >= LONG_ENTRY,
            };
            if is_held_up {
                pool.send_gathered(leader);
                let standby = matches!(inside, Inside::Entry(_));
                if pool.promote(leader, inside, standby) {
                    if !standby && age < LONG {
                        waited = Some(Instant::now());
                        pool.waited();
                    } else {
                        long = Some(Instant::now());
                    }
                }
            }
            seen = Some(Seen { cpu, ..before });
        }
    }
}

/// The leader as it was at an earlier tick.
#[derive(Clone, Copy, Debug)]
struct Seen {
    leader: usize,
    inside: Inside,
    cpu: Option<Duration>,
    since: Instant,
}
