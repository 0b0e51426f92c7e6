//! Changed files, as workers tell of them and as they are found, and the reload that follows. Each version of a file is news once, whoever tells of it.

use super::Supervisor;
use super::channel::Order;
use crate::board::Standing;
use crate::reloader::{Change, Stamp};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Changes {
    told: BTreeMap<PathBuf, Stamp>,
    /// a reload is due as soon as the one under way, or the start, has come to its end
    waits: bool,
    /// reloads in a row that were begun before the last one was done
    interrupting: u32,
}

/// What is loaded is out of date when a file changes again, so another begins. But an application that writes a file of its own whenever it is
/// imported would never come to serve.
const INTERRUPTIONS: u32 = 3;

impl Changes {
    /// The changes that nobody has told of before.
    fn sift(&mut self, changes: Vec<Change>) -> Vec<PathBuf> {
        let news = changes.into_iter().filter(|change| {
            self.told.insert(change.path.clone(), change.stamp) != Some(change.stamp)
        });
        news.map(|change| change.path).collect()
    }
}

impl Supervisor<'_> {
    /// Has workers with the new code take over.
    pub(super) fn changed(&mut self, changes: Vec<Change>) {
        let news = self.changes.sift(changes);
        let Some(first) = news.first() else { return };
        let others = match news.len() - 1 {
            0 => String::new(),
            1 => " and another file".to_owned(),
            others => format!(" and {others} other files"),
        };
        log::info!("detected a change in {}{others}", first.display());
        self.changes.interrupting = match self.fleet.is_reloading() {
            true => self.changes.interrupting + 1,
            false => 0,
        };
        if self.fleet.is_starting() || self.changes.interrupting > INTERRUPTIONS {
            self.changes.waits = true;
        } else {
            self.reload();
        }
        if self.fleet.is_reloading() {
            self.hold();
        }
    }

    /// Who has code that is out of date takes no more connections: they wait for the new code, as their developer does.
    fn hold(&self) {
        for process in self.processes.values() {
            if process.slot.standing() == Standing::Serving {
                process.slot.stand(Standing::Booting);
            }
        }
    }

    /// The new code does not serve, so the old goes on.
    pub(super) fn release(&self) {
        for process in self.processes.values() {
            if process.ready && !process.asked && !process.stalled {
                process.slot.stand(Standing::Serving);
            }
        }
        self.order(Order::LookAround);
    }

    /// Whether one of the files of touch-reload has changed since the last look.
    pub(super) fn is_touched(&mut self) -> bool {
        let mut is_touched = false;
        for path in &self.settings.touch_reload {
            let modified = fs::metadata(path).and_then(|found| found.modified()).ok();
            let before = self.touched.insert(path.clone(), modified);
            // A file that is away for a moment is being replaced.
            is_touched |= modified.is_some() && before.is_some_and(|before| before != modified);
        }
        is_touched
    }

    /// A start or a reload is done: what has changed in the meantime is loaded now.
    pub(super) fn catch_up(&mut self) {
        if std::mem::take(&mut self.changes.waits) {
            self.reload();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_version_of_a_file_is_news_once() {
        let change = |length: u64| {
            let stamp = serde_json::json!({ "modified": [1, 2], "length": length, "file": 7 });
            let told = serde_json::json!({ "path": "/app.py", "stamp": stamp });
            serde_json::from_value::<Change>(told).expect("a change")
        };
        let mut changes = Changes::default();
        assert_eq!(changes.sift(vec![change(1)]), [Path::new("/app.py")]);
        assert!(changes.sift(vec![change(1)]).is_empty());
        assert_eq!(changes.sift(vec![change(2)]).len(), 1);
    }
}
