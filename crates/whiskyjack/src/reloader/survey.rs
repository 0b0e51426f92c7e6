//! Which files there are now, and in which versions. Knows no time and nothing of what was before.

use super::Plan;
use super::imported::Imported;
use super::patterns::{Included, Names};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    modified: (i64, i64),
    length: u64,
    file: u64,
    /// when it came to be what and where it is, by seconds and nanoseconds of the epoch
    #[serde(skip)]
    changed: Changed,
}

/// Permissions change it too, so that it tells no versions apart.
#[derive(Clone, Copy, Debug, Default, Eq)]
struct Changed(i64, i64);

impl PartialEq for Changed {
    fn eq(&self, _: &Changed) -> bool {
        true
    }
}

impl std::hash::Hash for Changed {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Stamp {
    fn of(found: &Metadata) -> Stamp {
        Stamp {
            modified: (found.mtime(), found.mtime_nsec()),
            length: found.len(),
            file: found.ino(),
            changed: Changed(found.ctime(), found.ctime_nsec()),
        }
    }

    /// Whether the file has become what it is since then.
    pub(super) fn is_from(&self, since: SystemTime) -> bool {
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let Changed(seconds, nanoseconds) = self.changed;
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
        u64::try_from(seconds).is_ok_and(|seconds| Duration::new(seconds, nanoseconds) >= since)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) files: BTreeMap<PathBuf, Stamp>,
    /// where they are, and where others may come to be, each with its number in the file system
    pub(super) directories: BTreeMap<PathBuf, u64>,
}

/// Directories that nobody imports from, beside those whose names begin with a dot.
const PASSED_OVER: [&str; 2] = ["__pycache__", "node_modules"];

/// A tree deeper than this has no end.
const DEEPEST: usize = 64;

impl Survey {
    pub(super) fn take(plan: &Plan, imported: &Imported) -> Survey {
        let mut survey = Survey::default();
        for path in &imported.files {
            if let Some(file) = file_of(path) {
                survey.add(plan, file);
            }
        }
        for root in &imported.roots {
            match fs::metadata(root) {
                Ok(found) if found.is_dir() => {
                    survey.walk_sources(plan, root, &imported.passed_over, true, 0)
                }
                Ok(_) => survey.add(plan, root),
                Err(_) => {}
            }
        }
        for included in &plan.included {
            match included {
                Included::Path(path) if path.is_file() => survey.add(plan, path),
                Included::Path(path) if path.is_dir() => survey.walk(plan, path, included, 0),
                // What is not there may come.
                Included::Path(path) => survey.add_directory(path.parent()),
                Included::Names(Names { root, .. }) => survey.walk(plan, root, included, 0),
            }
        }
        survey
    }

    fn add(&mut self, plan: &Plan, path: &Path) {
        if self.files.contains_key(path) || plan.excluded.has(path) {
            return;
        }
        let Ok(found) = fs::metadata(path) else { return self.add_directory(path.parent()) };
        if !found.is_file() {
            return;
        }
        self.files.insert(path.to_owned(), Stamp::of(&found));
        self.add_directory(path.parent());
        if fs::symlink_metadata(path).is_ok_and(|link| link.is_symlink())
            && let Ok(target) = path.canonicalize()
        {
            // What happens to the file is told where it is.
            self.add_directory(target.parent());
        }
    }

    fn add_directory(&mut self, path: Option<&Path>) {
        if let Some(path) = path
            && !self.directories.contains_key(path)
            && let Ok(found) = fs::metadata(path)
            && found.is_dir()
        {
            self.directories.insert(path.to_owned(), found.ino());
        }
    }

    /// Modules below a directory of Python's path, whether they are imported or not: one may be missing that comes to be. Where neither a
    /// directory nor the one above it has any, nothing below it does.
    fn walk_sources(
        &mut self,
        plan: &Plan,
        directory: &Path,
        passed_over: &[PathBuf],
        above_has_some: bool,
        depth: usize,
    ) {
        if depth > DEEPEST || passed_over.iter().any(|prefix| directory.starts_with(prefix)) {
            return;
        }
        let (files, below) = entries(directory);
        let sources = files.iter().filter(|path| path.extension().is_some_and(|end| end == "py"));
        let sources: Vec<_> = sources.collect();
        self.add_directory(Some(directory));
        for path in &sources {
            self.add(plan, path);
        }
        if sources.is_empty() && !above_has_some {
            return;
        }
        for path in below.iter().filter(|path| !is_passed_over(path) && !plan.excluded.has(path)) {
            self.walk_sources(plan, path, passed_over, !sources.is_empty(), depth + 1);
        }
    }

    /// What matches below a directory.
    fn walk(&mut self, plan: &Plan, directory: &Path, included: &Included, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let (files, below) = entries(directory);
        self.add_directory(Some(directory));
        for path in files.iter().filter(|path| included.matches(path)) {
            self.add(plan, path);
        }
        for path in below.iter().filter(|path| !is_passed_over(path) && !plan.excluded.has(path)) {
            self.walk(plan, path, included, depth + 1);
        }
    }
}

/// The file, or the archive that it is in.
fn file_of(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.is_file())
}

fn is_passed_over(directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || PASSED_OVER.contains(&name.as_ref())
}

/// The files, links to such included, and the directories, links not. One that cannot be read has none.
fn entries(directory: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return Default::default() };
    let found = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.path(), entry.file_type().ok()?.is_dir()))
    });
    let (directories, files): (Vec<_>, Vec<_>) = found.partition(|(_, is_directory)| *is_directory);
    let paths = |entries: Vec<(PathBuf, bool)>| entries.into_iter().map(|(path, _)| path).collect();
    (paths(files), paths(directories))
}
