//! What the supervisor does by the clock, and when it has to. While all workers rest, and nothing is watched that the operator asked for, it has not.

use super::{Ending, Supervisor};
use crate::board::Standing;
use std::time::{Duration, Instant};

/// How often memory, signs of life and files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often the memory of workers is looked at that have nothing to do.
const RARE_LOOK: Duration = Duration::from_secs(15);

impl Supervisor<'_> {
    /// When to look, though nothing may have happened.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let settings = &self.settings;
        let soon = self.looked + LOOK;
        let is_active = self.processes.values().any(super::Process::is_active);
        if is_active || !settings.touch_reload.is_empty() {
            return Some(soon);
        }
        let rarely = settings.max_worker_rss.bytes() > 0;
        let rarely = rarely.then_some(self.looked + RARE_LOOK);
        let lifetime = settings.max_worker_lifetime.0;
        let old = self.processes.values().filter_map(|process| Some(process.born + lifetime?));
        // One that is too old already is on its way out.
        old.min().map(|at| at.max(soon)).into_iter().chain(rarely).min()
    }

    /// Looks, if it is time.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        match self.ending {
            Ending::Announced(at) if now >= at => {
                log::info!("finishing what is under way; Ctrl-C stops at once");
                self.end(Ending::Graceful(None));
            }
            Ending::Graceful(Some(at)) if now >= at => self.cut(),
            _ => {}
        }
        if self.next_look().is_none_or(|at| now < at) {
            return;
        }
        self.looked = now;
        let mut leaving = Vec::new();
        for process in self.processes.values_mut() {
            process.examine();
            if process.slot.standing() == Standing::Serving {
                if let Some(why) = process.outgrown(&self.settings, now) {
                    leaving.push((process.number, why));
                }
                if let Some(timeout) = self.settings.stall_timeout.0
                    && let Some(beat) = process.slot.last_beat()
                    && now.saturating_duration_since(beat) > timeout
                {
                    process.stalled = true;
                    // It takes no more connections.
                    process.slot.stand(Standing::Booting);
                    let why = format!("its interpreter has run no Python for {timeout:?}");
                    leaving.push((process.number, why));
                }
            }
        }
        for (number, why) in leaving {
            self.replace(number, why);
        }
        if self.is_touched() {
            self.reload();
        }
    }
}
