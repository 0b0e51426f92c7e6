//! System calls that no library of ours wraps: what a thread is doing, seen from another. One of the rooms where `unsafe` may stand.

use std::time::Duration;
#[cfg(target_os = "linux")]
use std::time::Instant;

/// A thread that others may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    #[cfg(target_os = "linux")]
    clock: Option<libc::clockid_t>,
    #[cfg(target_os = "linux")]
    id: rustix::thread::Pid,
}

#[cfg(target_os = "linux")]
impl Watched {
    pub(crate) fn this_thread() -> Watched {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: pthread_self() is a live thread for as long as it runs this line, and `clock` is a valid place to write to.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        Watched { clock: (failed == 0).then_some(clock), id: rustix::thread::gettid() }
    }

    /// The CPU time the thread has used; `None` where that can't be told, and once the thread has ended.
    pub(crate) fn cpu_time(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a clock id is a number that the kernel checks itself, and `time` is a valid place to write to.
        let failed = unsafe { libc::clock_gettime(self.clock?, &mut time) };
        (failed == 0)
            .then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
    }

    /// What the kernel tells of it, for a log: `is waiting in the kernel (hrtimer_nanosleep)`.
    pub(crate) fn describe(self) -> Option<String> {
        let task = format!("/proc/self/task/{}", self.id.as_raw_nonzero());
        let stat = std::fs::read_to_string(format!("{task}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        let what = match state {
            'R' => "is running".to_owned(),
            'S' | 'D' => {
                // "0" where the kernel does not say.
                let place = std::fs::read_to_string(format!("{task}/wchan")).unwrap_or_default();
                match place.trim() {
                    "" | "0" => "is waiting in the kernel".to_owned(),
                    place => format!("is waiting in the kernel ({place})"),
                }
            }
            other => format!("is in state {other}"),
        };
        let used = self.cpu_time().map_or_else(String::new, |time| {
            format!(" and has used {:.1} s of processor time since it began", time.as_secs_f64())
        });
        Some(what + &used)
    }

    /// Whether the thread would run if there were a processor for it. Costs some microseconds.
    pub(crate) fn is_runnable(self) -> bool {
        let path = format!("/proc/self/task/{}/stat", self.id.as_raw_nonzero());
        // The state stands behind the name, which is in parentheses and may have some of its own (proc(5)).
        std::fs::read_to_string(path)
            .ok()
            .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('R')))
            .unwrap_or(false)
    }
}

/// Elsewhere nothing can be seen: the monitor goes by a call's age alone.
#[cfg(not(target_os = "linux"))]
impl Watched {
    pub(crate) fn this_thread() -> Watched {
        Watched {}
    }

    pub(crate) fn cpu_time(self) -> Option<Duration> {
        None
    }

    pub(crate) fn describe(self) -> Option<String> {
        None
    }

    pub(crate) fn is_runnable(self) -> bool {
        false
    }
}

/// How the calling thread has spent its time up to a moment.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    at: Instant,
    cpu: Duration,
    /// how often it has gone to sleep
    sleeps: i64,
}

#[cfg(target_os = "linux")]
impl Spent {
    /// Costs a system call.
    pub(crate) fn by_now() -> Option<Spent> {
        let at = Instant::now();
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: `usage` is a valid place to write to.
        let failed = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
        if failed != 0 {
            return None;
        }
        // SAFETY: the call has not failed, and then it has filled all of it.
        let usage = unsafe { usage.assume_init() };
        let time = |time: libc::timeval| {
            Duration::from_secs(time.tv_sec.unsigned_abs())
                + Duration::from_micros(time.tv_usec.unsigned_abs())
        };
        let cpu = time(usage.ru_utime) + time(usage.ru_stime);
        Some(Spent { at, cpu, sleeps: usage.ru_nvcsw })
    }

    /// How long it has slept since then. A thread that others kept from its processor has not.
    pub(crate) fn slept(self) -> Duration {
        match Spent::by_now() {
            Some(now) if now.sleeps > self.sleeps => {
                let used = now.cpu.saturating_sub(self.cpu);
                now.at.saturating_duration_since(self.at).saturating_sub(used)
            }
            _ => Duration::ZERO,
        }
    }
}

/// Elsewhere a thread can't tell.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent;

#[cfg(not(target_os = "linux"))]
impl Spent {
    pub(crate) fn by_now() -> Option<Spent> {
        None
    }

    pub(crate) fn slept(self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_looks_at_itself_is_runnable_and_uses_the_processor() {
        let me = Watched::this_thread();
        assert!(me.is_runnable());
        assert!(me.cpu_time() > Some(Duration::ZERO));
    }

    #[test]
    fn a_thread_knows_how_long_it_has_slept_and_that_work_is_no_sleep() {
        const NAP: Duration = Duration::from_millis(5);
        let before = Spent::by_now().expect("the kernel tells");
        std::thread::park_timeout(NAP);
        while before.at.elapsed() < NAP {
            std::thread::park_timeout(NAP);
        }
        let slept = before.slept();
        assert!(slept > NAP / 2 && slept <= before.at.elapsed(), "{slept:?}");
        let mut rounds = 0_u64;
        let is_work_alone = |_| {
            let before = Spent::by_now().expect("the kernel tells");
            while before.at.elapsed() < NAP / 5 {
                rounds = std::hint::black_box(rounds + 1);
            }
            before.slept() == Duration::ZERO
        };
        // A page that has to be fetched is a sleep as well.
        assert!((0..100).any(is_work_alone));
    }

    #[test]
    fn a_thread_that_waits_is_not_runnable() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(Watched::this_thread()).expect("the test waits for it");
            ended.recv()
        });
        let watched = told.recv().expect("the thread tells");
        while watched.is_runnable() {
            std::thread::yield_now();
        }
        drop(end);
        assert!(thread.join().expect("no panic").is_err());
    }
}
