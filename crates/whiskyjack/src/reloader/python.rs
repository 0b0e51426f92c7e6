//! The watcher as Python has it: for `run_simple`, whose reloader restarts a program of the user's. Knows nothing of restarting.

use super::imported::Imported;
use super::patterns::{Excluded, Included};
use super::{Plan, Watcher};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Watches what the process has imported, and files beside it.
#[pyclass(frozen, module = "whiskyjack._whiskyjack")]
#[derive(Debug)]
pub struct FileWatcher {
    /// guards the watcher, which one thread at a time waits with
    watcher: Mutex<Watcher>,
    interval: Duration,
}

#[pymethods]
impl FileWatcher {
    #[new]
    #[pyo3(signature = (*, events, interval, extra_files, exclude_patterns))]
    fn new(
        py: Python<'_>,
        events: bool,
        interval: f64,
        extra_files: Vec<PathBuf>,
        exclude_patterns: Vec<String>,
    ) -> PyResult<FileWatcher> {
        let wrong = || PyValueError::new_err(format!("interval={interval}: write seconds, over 0"));
        let seconds = Duration::try_from_secs_f64(interval).map_err(|_| wrong())?;
        if seconds.is_zero() {
            return Err(wrong());
        }
        let plan = Plan {
            events,
            included: extra_files.into_iter().map(Included::Path).collect(),
            excluded: Excluded::whole_paths(&exclude_patterns),
        };
        let imported = Imported::read(py, &[])?;
        let watcher = py.detach(|| Watcher::new(plan, imported));
        Ok(FileWatcher { watcher: Mutex::new(watcher), interval: seconds })
    }

    /// What tells of changes: `inotify`, `FSEvents`, `kqueue` or `stat`.
    #[getter]
    fn name(&self, py: Python<'_>) -> &'static str {
        py.detach(|| self.watcher.lock().unwrap_or_else(PoisonError::into_inner).name())
    }

    /// Waits until files have changed, and returns them. Handlers of signals run meanwhile, and what they raise comes out.
    fn wait(&self, py: Python<'_>) -> PyResult<Vec<PathBuf>> {
        loop {
            let may_have_changed = py.detach(|| self.watcher().wait(self.interval));
            py.check_signals()?;
            let imported = Imported::read(py, &[])?;
            let changes = py.detach(|| self.watcher().look(imported, may_have_changed));
            if !changes.is_empty() {
                return Ok(changes.into_iter().map(|change| change.path).collect());
            }
        }
    }
}

impl FileWatcher {
    fn watcher(&self) -> std::sync::MutexGuard<'_, Watcher> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
