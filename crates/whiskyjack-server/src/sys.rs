//! System calls that no library of ours wraps: what a thread is doing, seen from another. One of the rooms where `unsafe` may stand.

use std::time::Duration;

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
