//! Watches the files that an application is made of, and tells which have changed. Knows not what a change leads to.

pub mod imported;
pub mod patterns;
pub mod python;
mod stir;
mod survey;

pub use self::survey::Stamp;

use self::imported::Imported;
use self::patterns::{Excluded, Included};
use self::stir::Stir;
use self::survey::Survey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is watched, and how.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// whether the system tells of changes; where not, the files are looked at again and again
    pub events: bool,
    /// files and directories beside what is imported
    pub included: Vec<Included>,
    /// what is let be
    pub excluded: Excluded,
}

/// A file, and which of its versions was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// the file
    pub path: PathBuf,
    /// its version
    pub stamp: Stamp,
}

/// Looks after the files of one process.
#[derive(Debug)]
pub struct Watcher {
    plan: Plan,
    stir: Stir,
    known: BTreeMap<PathBuf, Stamp>,
    /// what the known files are called where no link leads to them, which is how the system tells of them
    targets: HashSet<PathBuf>,
    imported: Imported,
    /// when the last look began
    looked: SystemTime,
}

/// The clock of a file system goes in steps, and may be behind the one of the program by one of them.
const STEP: Duration = Duration::from_millis(10);

impl Watcher {
    /// Looks at everything for the first time. What is changed from here on is told.
    pub fn new(plan: Plan, imported: Imported) -> Watcher {
        let stir = if plan.events { Stir::by_events() } else { Stir::by_time() };
        let mut watcher = Watcher {
            plan,
            stir,
            known: BTreeMap::new(),
            targets: HashSet::new(),
            imported: Imported::default(),
            looked: SystemTime::now(),
        };
        // All that is there now counts as seen.
        watcher.look(imported, true);
        watcher
    }

    /// What tells of changes: `inotify`, `FSEvents` or `stat`.
    pub fn name(&self) -> &'static str {
        self.stir.name()
    }

    /// Waits until something may have changed, no longer than so long; says whether it may. A signal ends it early.
    pub fn wait(&mut self, patience: Duration) -> bool {
        let (known, targets, plan) = (&self.known, &self.targets, &self.plan);
        self.stir.wait(patience, |path| {
            known.contains_key(path)
                || targets.contains(path)
                || is_source(path)
                || plan.included.iter().any(|included| included.matches(path))
                || path.is_dir()
        })
    }

    /// What has changed since the last look. Where nothing may have, only modules that were imported since are taken in.
    pub fn look(&mut self, imported: Imported, may_have_changed: bool) -> Vec<Change> {
        if !may_have_changed && imported == self.imported {
            return Vec::new();
        }
        self.imported = imported;
        let began = SystemTime::now();
        let mut survey = Survey::take(&self.plan, &self.imported);
        if self.stir.watch(&survey.directories) {
            // What was saved before somebody told of it would be told by nobody.
            survey = Survey::take(&self.plan, &self.imported);
        }
        let mut changes = Vec::new();
        for (path, stamp) in survey.files {
            let is_changed = match self.known.get(&path) {
                Some(before) => *before != stamp,
                None => {
                    self.targets.extend(path.canonicalize());
                    stamp.is_from(self.looked - STEP)
                }
            };
            if is_changed {
                changes.push(Change { path: path.clone(), stamp });
            }
            // A file that is away stays known: editors put another in its place.
            self.known.insert(path, stamp);
        }
        self.looked = began;
        changes
    }
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "py" || extension == "zip")
}

#[cfg(test)]
mod tests;
