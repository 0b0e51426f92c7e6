//! When to look: because the system tells that something has happened, or because time has passed. Knows not which files matter.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What tells that something has happened.
pub(super) enum Stir {
    /// the clock
    Time,
    /// the system
    Events(Box<Events>),
}

/// The system's word, as it comes from `notify`.
pub(super) struct Events {
    watcher: RecommendedWatcher,
    paths: Receiver<PathBuf>,
    /// becomes readable when there are paths
    bell: UnixStream,
    /// directories that are watched, and which file of the system each is
    directories: BTreeMap<PathBuf, u64>,
}

/// An editor does several things to save a file, and a tool saves several files. Only when nothing has come for so long,
const QUIET: Duration = Duration::from_millis(50);

/// or after so long, are they looked at.
const LONGEST: Duration = Duration::from_millis(500);

impl fmt::Debug for Stir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Stir {
    pub(super) fn by_time() -> Stir {
        Stir::Time
    }

    /// By the clock where the system refuses.
    pub(super) fn by_events() -> Stir {
        match Events::new() {
            Ok(events) => Stir::Events(Box::new(events)),
            Err(error) => by_time_because(&error),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Stir::Time => "stat",
            Stir::Events(_) if cfg!(target_os = "macos") => "FSEvents",
            Stir::Events(_) if cfg!(target_os = "linux") => "inotify",
            Stir::Events(_) => "kqueue",
        }
    }

    /// Waits until something has happened that matters, or time is up.
    pub(super) fn wait(&mut self, patience: Duration, matters: impl Fn(&Path) -> bool) -> bool {
        match self {
            Stir::Time => {
                let began = Instant::now();
                // A wait for nothing that a signal ends, which std's own sleep would go on with.
                let _ = poll(&mut [], Timespec::try_from(patience).ok().as_ref());
                began.elapsed() >= patience
            }
            Stir::Events(events) => events.wait(patience, matters),
        }
    }

    /// Has the system tell of what happens in these directories, and no others. Says whether some are new.
    pub(super) fn watch(&mut self, directories: &BTreeMap<PathBuf, u64>) -> bool {
        let Stir::Events(events) = self else { return false };
        match events.watch(directories) {
            Ok(some_are_new) => some_are_new,
            Err(error) => {
                *self = by_time_because(&error);
                true
            }
        }
    }
}

fn by_time_because(error: &notify::Error) -> Stir {
    log::warn!(
        "the system does not tell of changed files, so they are looked at each second: {error}"
    );
    Stir::Time
}

impl Events {
    fn new() -> notify::Result<Events> {
        let (bell, theirs) = UnixStream::pair().map_err(notify::Error::io)?;
        for end in [&bell, &theirs] {
            end.set_nonblocking(true).map_err(notify::Error::io)?;
        }
        let (send, paths) = channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            if is_change(event.kind) {
                for path in event.paths {
                    // Nobody waits any more when the watcher goes.
                    let _ = send.send(path);
                }
                // A bell that takes no more has been rung.
                let _ = (&theirs).write(&[0]);
            }
        })?;
        Ok(Events { watcher, paths, bell, directories: BTreeMap::new() })
    }

    fn wait(&mut self, patience: Duration, matters: impl Fn(&Path) -> bool) -> bool {
        let until = Instant::now() + patience;
        let mut quiet_at: Option<Instant> = None;
        let mut last = until;
        loop {
            let now = Instant::now();
            let end = quiet_at.map_or(until, |at| at.min(last));
            if now >= end {
                return quiet_at.is_some();
            }
            let mut fds = [PollFd::new(&self.bell, PollFlags::IN)];
            let timeout = Timespec::try_from(end - now).ok();
            let polled = poll(&mut fds, timeout.as_ref());
            // A signal may be one that ends the program; what has come is not forgotten by that.
            if polled.is_err() && quiet_at.is_none() {
                return false;
            }
            let mut rung = [0; 256];
            while self.bell.read(&mut rung).is_ok_and(|count| count > 0) {}
            let matter = self.paths.try_iter().filter(|path| matters(path)).count();
            if matter > 0 {
                let now = Instant::now();
                if quiet_at.is_none() {
                    last = now + LONGEST;
                }
                quiet_at = Some(now + QUIET);
            }
        }
    }

    fn watch(&mut self, wanted: &BTreeMap<PathBuf, u64>) -> notify::Result<bool> {
        let gone: Vec<PathBuf> = self
            .directories
            .iter()
            .filter(|(path, file)| wanted.get(*path) != Some(file))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            // The system has forgotten a directory that was removed by itself.
            let _ = self.watcher.unwatch(&path);
            self.directories.remove(&path);
        }
        let mut some_are_new = false;
        for (path, file) in wanted {
            if self.directories.contains_key(path) {
                continue;
            }
            match self.watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.directories.insert(path.clone(), *file);
                    some_are_new = true;
                }
                // It went before it could be watched, or is not ours to see.
                Err(_) if std::fs::metadata(path).map(|found| found.ino()).ok() != Some(*file) => {}
                Err(error) if is_forbidden(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(some_are_new)
    }
}

fn is_forbidden(error: &notify::Error) -> bool {
    matches!(&error.kind, notify::ErrorKind::Io(why) if why.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Reading a file is none, and we do that ourselves.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}
