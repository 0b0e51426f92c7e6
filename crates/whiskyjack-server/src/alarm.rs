//! What the monitor sleeps on: an alarm that others put off for as long as all is well, without waking who sleeps. Knows not what it
//! watches over.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One thread sleeps on it, any may ring it or put it off.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// what the times below count from, in nanoseconds
    born: Instant,
    /// from when on it is worth putting off; never, while it must go off in time
    from: AtomicU64,
    /// until when it may be
    until: AtomicU64,
    /// how long it is put off for
    pause: AtomicU64,
    /// somebody would have put it off once more, had it not been that it must go off in time
    is_well: AtomicBool,
    rung: AtomicBool,
    bell: bell::Bell,
}

const NEVER: u64 = u64::MAX;

impl Alarm {
    pub(crate) fn new() -> Alarm {
        Alarm {
            born: Instant::now(),
            from: AtomicU64::new(NEVER),
            until: AtomicU64::new(0),
            pause: AtomicU64::new(0),
            is_well: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            bell: bell::Bell::default(),
        }
    }

    /// Sleeps until it is rung, or so long. Seldom it returns for nothing.
    pub(crate) fn sleep(&self, pause: Option<Duration>) {
        self.bell.set(pause);
        if !self.rung.swap(false, Ordering::SeqCst) {
            self.bell.wait(pause);
            // Whoever rang before this line is answered by what the caller does next.
            self.rung.swap(false, Ordering::SeqCst);
        }
    }

    /// Sleeps until nobody has put it off for as long as `pause`, or it is rung; at the longest `most` and another pause. Says whether it
    /// is by `most` alone that it does not sleep on: all was well to the last.
    pub(crate) fn sleep_on(&self, pause: Duration, most: Duration) -> bool {
        let now = Instant::now();
        self.is_well.store(false, Ordering::Relaxed);
        self.pause.store(nanoseconds(pause), Ordering::Relaxed);
        self.until.store(self.at(now + most), Ordering::Relaxed);
        self.from.store(self.at(now + pause / 2), Ordering::Release);
        self.sleep(Some(pause));
        self.from.store(NEVER, Ordering::SeqCst);
        self.is_well.load(Ordering::Relaxed)
    }

    /// All is well at `now`. Costs a load, and a system call once in half a pause.
    #[inline]
    pub(crate) fn put_off(&self, now: Instant) {
        let (now, from) = (self.at(now), self.from.load(Ordering::Acquire));
        if now < from {
            return;
        }
        if now < self.until.load(Ordering::Relaxed) {
            let pause = self.pause.load(Ordering::Relaxed);
            let next = now + pause / 2;
            // Whoever has woken since, or was faster, has changed it.
            if self.from.compare_exchange(from, next, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                self.bell.put_off(Duration::from_nanos(pause));
            }
        } else {
            self.is_well.store(true, Ordering::Relaxed);
        }
    }

    /// Wakes who sleeps, or will.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    fn at(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.born))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER - 1)
}

/// A timer of the kernel's, which can be set while a thread waits for it.
#[cfg(target_os = "linux")]
mod bell {
    use super::parked::Parked;
    use rustix::fd::OwnedFd;
    use rustix::io;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::time::Duration;

    #[derive(Debug)]
    pub(super) enum Bell {
        Timer(OwnedFd),
        /// no timer could be had
        Parked(Parked),
    }

    impl Default for Bell {
        fn default() -> Bell {
            match timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC) {
                Ok(timer) => Bell::Timer(timer),
                Err(_) => Bell::Parked(Parked::default()),
            }
        }
    }

    impl Bell {
        pub(super) fn set(&self, pause: Option<Duration>) {
            match self {
                Bell::Timer(timer) => set(timer, pause),
                Bell::Parked(parked) => parked.settle(),
            }
        }

        pub(super) fn wait(&self, pause: Option<Duration>) {
            match self {
                // A signal is as good a reason to look as any.
                Bell::Timer(timer) => drop(io::read(timer, &mut [0; 8])),
                Bell::Parked(parked) => parked.wait(pause),
            }
        }

        pub(super) fn put_off(&self, pause: Duration) {
            match self {
                Bell::Timer(timer) => set(timer, Some(pause)),
                Bell::Parked(_) => {}
            }
        }

        pub(super) fn ring(&self) {
            match self {
                Bell::Timer(timer) => set(timer, Some(Duration::ZERO)),
                Bell::Parked(parked) => parked.wake(),
            }
        }
    }

    /// Lets it go off after so long, or never.
    fn set(timer: &OwnedFd, pause: Option<Duration>) {
        const OFF: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Nothing at all would stop it.
        let pause = pause.map(|pause| pause.max(Duration::from_nanos(1)));
        let it_value = pause.and_then(|pause| Timespec::try_from(pause).ok()).unwrap_or(OFF);
        let times = Itimerspec { it_interval: OFF, it_value };
        // Fails for what is no timer or no time, and this is both.
        let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &times);
    }
}

/// Elsewhere it can be rung, but not put off.
#[cfg(not(target_os = "linux"))]
mod bell {
    use super::parked::Parked;
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(super) struct Bell(Parked);

    impl Bell {
        pub(super) fn set(&self, _pause: Option<Duration>) {
            self.0.settle();
        }

        pub(super) fn wait(&self, pause: Option<Duration>) {
            self.0.wait(pause);
        }

        pub(super) fn put_off(&self, _pause: Duration) {}

        pub(super) fn ring(&self) {
            self.0.wake();
        }
    }
}

/// A thread that is parked.
mod parked {
    use std::sync::OnceLock;
    use std::thread::{self, Thread};
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(super) struct Parked(OnceLock<Thread>);

    impl Parked {
        /// The calling thread is who sleeps.
        pub(super) fn settle(&self) {
            self.0.get_or_init(thread::current);
        }

        pub(super) fn wait(&self, pause: Option<Duration>) {
            match pause {
                Some(pause) => thread::park_timeout(pause),
                None => thread::park(),
            }
        }

        pub(super) fn wake(&self) {
            if let Some(thread) = self.0.get() {
                thread.unpark();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn it_goes_off_in_time_and_not_before() {
        let alarm = Alarm::new();
        let began = Instant::now();
        let pause = Duration::from_millis(5);
        // Whoever sleeps may wake for nothing.
        while began.elapsed() < pause {
            alarm.sleep(Some(pause));
        }
        alarm.sleep(Some(Duration::ZERO));
        assert!(!alarm.sleep_on(pause, Duration::ZERO), "nobody has said that all is well");
    }

    #[test]
    fn it_is_rung_before_and_while_somebody_sleeps() {
        let alarm = Alarm::new();
        alarm.ring();
        alarm.sleep(None);
        alarm.ring();
        alarm.sleep_on(HOUR, HOUR);
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| (0..100).for_each(|_| alarm.sleep(None)));
            while !sleeper.is_finished() {
                alarm.ring();
            }
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_put_off_for_as_long_as_all_is_well_and_then_no_more() {
        let alarm = Alarm::new();
        let (pause, most) = (Duration::from_millis(20), Duration::from_millis(200));
        // A machine that keeps this thread waiting for half a pause lets it go off.
        let is_put_off = || {
            let began = Instant::now();
            thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    let is_well = alarm.sleep_on(pause, most);
                    is_well && began.elapsed() >= most
                });
                while !sleeper.is_finished() {
                    alarm.put_off(Instant::now());
                    thread::yield_now();
                }
                sleeper.join().expect("no panic")
            })
        };
        assert!((0..100).any(|_| is_put_off()), "never put off");
    }

    #[test]
    fn it_is_not_put_off_while_it_must_go_off_in_time() {
        let alarm = Alarm::new();
        alarm.put_off(Instant::now() + HOUR);
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| alarm.sleep(Some(Duration::from_millis(20))));
            while !sleeper.is_finished() {
                alarm.put_off(Instant::now());
            }
        });
    }
}
