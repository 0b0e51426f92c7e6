//! A loader's life: loads the application once, and forks from itself, at the supervisor's word, the workers that are to share what it has loaded.
//! Knows its own children, and not how many workers there should be.
//!
//! There is one for each generation of code. It serves nothing, holds none of the listening sockets (they come with each order, for the
//! worker), and ends once no more orders will come and its last worker has gone.

use super::certificate::Cause;
use super::channel::{self, Report};
use super::duty::Duty;
use super::order::{Orders, Wanted};
use super::process::{self, LAST_WORDS};
use super::wakeup::{Forked, Wakeup};
use crate::application::Loaded;
use crate::board::Board;
use crate::settings::Settings;
use crate::title;
use crate::worker::{self, Birth, Error};
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, waitpid};
use serde::{Deserialize, Serialize};
use signal_hook::consts::SIGALRM;
use socket2::Socket;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use whiskyjack_server::tls::Tls;

/// What a forked loader is given for its life.
#[derive(Debug)]
pub struct Start {
    /// what it and its workers go by
    pub settings: Settings,
    /// what its workers encrypt with
    pub tls: Option<Tls>,
    /// where workers write what they are doing
    pub board: Board,
    /// where it is told, and tells
    pub line: UnixStream,
}

/// What a loader tells the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// it has loaded the application, and forks
    Loaded,
    /// it could not, and ends
    Failed {
        /// for people
        why: String,
    },
    /// a worker has ended
    Ended {
        /// its process
        pid: i32,
        /// how
        cause: Cause,
    },
}

/// What a process is when the loader's work in it is over.
#[derive(Debug)]
pub enum Outcome {
    /// the loader, which ends with this exit code
    Ended(i32),
    /// a worker, whose life begins
    Worker(Box<Birth>),
}

/// A loader's whole life. Returns in the workers too.
pub fn live(py: Python<'_>, start: Start) -> Outcome {
    let Start { settings, tls, board, line } = start;
    let tell = |news: &News| {
        // If the supervisor is gone the line has an end, which says so.
        let _ = channel::send(&line, news);
    };
    match load(py, &settings) {
        Ok((loaded, wakeup)) => {
            tell(&News::Loaded);
            let orders = match Orders::over(line) {
                Ok(orders) => orders,
                Err(error) => {
                    log::error!("cannot use the line to the supervisor: {error}");
                    return Outcome::Ended(1);
                }
            };
            let children = BTreeSet::new();
            Loader { py, settings, tls, board, loaded, orders, wakeup, children }.run()
        }
        Err(error) => {
            if !error.is_interruption() {
                tell(&News::Failed { why: error.to_string() });
            }
            Outcome::Ended(error.code())
        }
    }
}

fn load(py: Python<'_>, settings: &Settings) -> Result<(Loaded, Wakeup), Error> {
    let loaded = worker::load(py, settings)?;
    let python = |error| Error::python(py, &error);
    let wakeup = Wakeup::take_over_children(py).map_err(python)?;
    warn_of_threads(py).map_err(python)?;
    Ok((loaded, wakeup))
}

/// A fork copies one thread. What the others held stays held, and what they did is done no more.
fn warn_of_threads(py: Python<'_>) -> PyResult<()> {
    let threads = threads(py)?;
    if !threads.is_empty() {
        log::warn!(
            "the application has started threads while it was loaded ({}): they are not there in the workers, and a lock that one of them \
held stays locked in a worker for ever; start them in each worker, by os.register_at_fork(after_in_child=...), or do without preload",
            threads.join(", ")
        );
    }
    Ok(())
}

/// All threads but this one: the names of Python's own, and those that only the system knows, of which a library may have one for each processor.
fn threads(py: Python<'_>) -> PyResult<Vec<String>> {
    let threading = py.import("threading")?;
    let this: i32 = threading.call_method0("get_native_id")?.extract()?;
    let mut known = vec![this];
    let mut names = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        let id: Option<i32> = thread.getattr("native_id")?.extract()?;
        if id != Some(this) {
            known.extend(id);
            names.push(thread.getattr("name")?.str()?.to_string());
        }
    }
    let (mut others, mut called) = (0, BTreeSet::new());
    // Where there is no such directory only Python's are known.
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let id = task.file_name().to_str().and_then(|id| id.parse().ok());
        if id.is_some_and(|id| !known.contains(&id))
            && let Ok(name) = fs::read_to_string(task.path().join("comm"))
        {
            others += 1;
            called.insert(name.trim_end().escape_debug().to_string());
        }
    }
    if others > 0 {
        let called: Vec<String> = called.into_iter().collect();
        names.push(format!("{others} that Python does not know, called {}", called.join(" and ")));
    }
    Ok(names)
}

struct Loader<'py> {
    py: Python<'py>,
    settings: Settings,
    tls: Option<Tls>,
    board: Board,
    loaded: Loaded,
    orders: Orders,
    wakeup: Wakeup,
    /// the workers' processes
    children: BTreeSet<i32>,
}

impl Loader<'_> {
    fn run(mut self) -> Outcome {
        loop {
            for (wanted, descriptors) in self.orders.take() {
                let mut descriptors = descriptors.into_iter();
                let Some(channel) = descriptors.next().map(UnixStream::from) else { continue };
                match self.wakeup.fork(self.py) {
                    Ok(Forked::Parent(pid)) => {
                        self.children.insert(pid);
                    }
                    Ok(Forked::Child) => return self.bear(wanted, channel, descriptors),
                    Err(error) => {
                        let error = Error::python(self.py, &error);
                        let why = format!("cannot fork a worker: {error}");
                        // The end of the channel says the rest.
                        let _ = channel::send(&channel, &Report::Failed { why });
                    }
                }
            }
            if self.orders.is_ended() && self.children.is_empty() {
                return self.end();
            }
            self.wait();
            self.wakeup.take();
            self.reap();
        }
    }

    /// In a worker: what it needs, and nothing of the loader but what has been loaded.
    fn bear(
        self,
        wanted: Wanted,
        channel: UnixStream,
        sockets: impl Iterator<Item = OwnedFd>,
    ) -> Outcome {
        let Loader { settings, tls, board, loaded, .. } = self;
        let pid = std::process::id().cast_signed();
        // If the supervisor is gone the channel has an end, which says so.
        let _ = channel::send(&channel, &Report::Born { pid });
        let part = format!("worker {}", wanted.number);
        title::show(&title::of(&part, &title::name(&settings)));
        let slot = board.slot(wanted.number);
        let duty = Duty::new(slot, channel, wanted.siblings);
        let sockets = sockets.map(Socket::from).collect();
        Outcome::Worker(Box::new(Birth { settings, sockets, loaded: Some(loaded), tls, duty }))
    }

    fn wait(&self) {
        let mut fds = vec![PollFd::new(&self.wakeup, PollFlags::IN)];
        if !self.orders.is_ended() {
            fds.push(PollFd::new(&self.orders, PollFlags::IN));
        }
        // An interruption is what the wakeup line tells of.
        let _ = self.py.detach(|| poll(&mut fds, None));
    }

    /// Only workers: other children are the application's, and it waits for them itself.
    fn reap(&mut self) {
        let line = self.orders.line();
        self.children.retain(|pid| {
            let ended = waitpid(Pid::from_raw(*pid), WaitOptions::NOHANG);
            let cause = match ended {
                Ok(None) => return true,
                Ok(Some((_, status))) => process::cause(status),
                // Some code of the application's has waited for every child there was.
                Err(_) => Cause::Unknown,
            };
            let _ = channel::send(line, &News::Ended { pid: *pid, cause });
            false
        });
    }

    /// Ends as a program does, but soon: what the application has left to do at the end must not keep the process.
    fn end(self) -> Outcome {
        let alarm = || {
            let module = self.py.import("signal")?;
            module.call_method1("signal", (SIGALRM, module.getattr("SIG_DFL")?))?;
            module.call_method1("alarm", (LAST_WORDS.as_secs(),))
        };
        if let Err(error) = alarm() {
            log::debug!("cannot set an alarm: {error}");
        }
        Outcome::Ended(0)
    }
}
