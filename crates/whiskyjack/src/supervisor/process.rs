//! One worker's process, as the supervisor sees it. Knows how to signal and to examine it, not when.

use super::certificate::{Cause, Certificate};
use super::channel::{Channel, Report};
use crate::board::{Slot, Standing};
use crate::settings::Settings;
use rustix::process::{Pid, Signal, WaitStatus, kill_process, test_kill_process};
use std::fs;
use std::time::{Duration, Instant};

/// A worker's process.
#[derive(Debug)]
pub struct Process {
    /// its number
    pub number: usize,
    /// its process
    pub pid: i32,
    /// the loader that forked it, where the supervisor did not
    pub loader: Option<i32>,
    /// where it tells
    pub channel: Channel<Report>,
    /// what it is doing
    pub slot: Slot,
    /// when it was forked
    pub born: Instant,
    /// bytes of memory resident, when it was looked at last
    pub rss: Option<u64>,
    /// it has served
    pub ready: bool,
    /// why it could not serve, where it could say so
    pub failure: Option<String>,
    /// its end was asked for
    pub asked: bool,
    /// its interpreter runs nothing
    pub stalled: bool,
    /// when it is killed if it is there still
    kill_at: Option<Instant>,
    /// what the kernel had killed for want of memory when it was forked
    memory_kills: Option<u64>,
}

/// How long a process that was told to end at once may take.
pub const LAST_WORDS: Duration = Duration::from_secs(2);

impl Process {
    /// A process that was just forked.
    pub fn new(
        number: usize,
        pid: i32,
        channel: Channel<Report>,
        slot: Slot,
        memory_kills: Option<u64>,
    ) -> Process {
        Process {
            number,
            pid,
            loader: None,
            channel,
            slot,
            born: Instant::now(),
            rss: None,
            ready: false,
            failure: None,
            asked: false,
            stalled: false,
            kill_at: None,
            memory_kills,
        }
    }

    /// The same, where it was a loader that forked it.
    pub fn forked_by(self, loader: i32) -> Process {
        Process { loader: Some(loader), ..self }
    }

    /// Sends it a signal. One that is gone and not yet reaped takes it without harm.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
            log::debug!("cannot signal worker {} (pid {}): {error}", self.number, self.pid);
        }
    }

    /// Whether there is such a process, if only one that nobody has waited for yet.
    pub fn is_there(&self) -> bool {
        let asked = Pid::from_raw(self.pid).map(test_kill_process);
        asked != Some(Err(rustix::io::Errno::SRCH))
    }

    /// Lets it finish what it has. One whose interpreter runs nothing could not.
    pub fn drain(&mut self, now: Instant) {
        if self.stalled {
            // Where the application has enabled faulthandler, this shows the stacks.
            return self.end(Signal::ABORT, now);
        }
        self.asked = true;
        self.slot.stand(Standing::Draining);
        self.signal(Signal::TERM);
    }

    /// Ends it by this signal, and by SIGKILL if that does not.
    pub fn end(&mut self, signal: Signal, now: Instant) {
        self.asked = true;
        self.signal(signal);
        self.kill_at.get_or_insert(now + LAST_WORDS);
    }

    /// Kills it if its time has come; says when to look again.
    pub fn kill_if_due(&mut self, now: Instant) -> Option<Instant> {
        let at = self.kill_at?;
        if now < at {
            return Some(at);
        }
        self.signal(Signal::KILL);
        // Once is enough, but a process may be in a call of the kernel that nothing ends.
        self.kill_at = Some(now + LAST_WORDS);
        self.kill_at
    }

    /// Whether it does anything that a look could show, or may have ended unheard: who is not its parent has nothing but the end of its channel.
    pub fn is_active(&self) -> bool {
        self.slot.last_beat().is_some() || self.channel.is_ended()
    }

    /// Looks at its memory.
    pub fn examine(&mut self) {
        // One that has ended, and that nobody has waited for yet, has none.
        self.rss = resident(self.pid).filter(|rss| *rss > 0).or(self.rss);
    }

    /// Why another should stand in its place, if it has grown too large or too old.
    pub fn outgrown(&self, settings: &Settings, now: Instant) -> Option<String> {
        let (most, rss) = (settings.max_worker_rss.bytes(), self.rss.unwrap_or(0));
        if most > 0 && rss > most {
            return Some(format!("it has {} MiB of memory, over max-worker-rss", rss >> 20));
        }
        let age = now.saturating_duration_since(self.born);
        let lifetime = settings.max_worker_lifetime.0.filter(|lifetime| age > *lifetime)?;
        Some(format!("it is older than {lifetime:?}"))
    }

    /// What is known of its death. `memory_kills` is what the kernel counts now.
    pub fn certify(&self, cause: Cause, memory_kills: Option<u64>, now: Instant) -> Certificate {
        let killed = matches!(cause, Cause::Signal(9)) && !self.asked;
        let out_of_memory = match (self.memory_kills, memory_kills) {
            _ if !killed => Some(false),
            (Some(before), Some(after)) => Some(after > before),
            _ => None,
        };
        Certificate {
            worker: self.number,
            pid: self.pid,
            cause,
            out_of_memory,
            age: now.saturating_duration_since(self.born),
            requests: self.slot.requests(),
            rss: self.rss,
            in_flight: self.slot.in_flight(now),
        }
    }
}

/// How a process ended.
pub fn cause(status: WaitStatus) -> Cause {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Cause::Exit(code),
        (None, Some(signal)) => Cause::Signal(signal),
        (None, None) => Cause::Unknown,
    }
}

/// Bytes of memory that a process has resident; `None` where nobody tells.
fn resident(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some_memory() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        assert!(resident(pid) > Some(1 << 20));
        assert_eq!(resident(0), None);
    }
}
