//! System calls that no library of ours wraps: a thread's CPU clock. One of the rooms where `unsafe` may stand.

use std::time::Duration;

/// The CPU clock of one thread, readable from every other thread of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock {
    #[cfg(target_os = "linux")]
    id: libc::clockid_t,
}

impl CpuClock {
    /// The calling thread's clock, where the system has one.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_this_thread() -> Option<CpuClock> {
        let mut id: libc::clockid_t = 0;
        // SAFETY: pthread_self() is a live thread for as long as it runs this line, and `id` is a valid place to write to.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut id) };
        (failed == 0).then_some(CpuClock { id })
    }

    /// No such clock here: the monitor goes by a call's age alone.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of_this_thread() -> Option<CpuClock> {
        None
    }

    /// The CPU time the thread has used; `None` once the thread has ended.
    #[cfg(target_os = "linux")]
    pub(crate) fn time(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a clock id is a number that the kernel checks itself, and `time` is a valid place to write to.
        let failed = unsafe { libc::clock_gettime(self.id, &mut time) };
        (failed == 0)
            .then(|| Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
    }

    /// No such clock here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn time(self) -> Option<Duration> {
        None
    }
}
