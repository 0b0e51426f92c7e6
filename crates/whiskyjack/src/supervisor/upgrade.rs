//! From one supervisor to the next, in a new process from what is installed now: the listening sockets are handed on by their numbers, in a
//! variable of the environment. Knows neither workers nor what the sockets serve.

use crate::sys;
use pyo3::prelude::*;
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};
use socket2::Socket;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

/// Where the heir finds what it inherits. No setting has such a name.
const VARIABLE: &str = "_WHISKYJACK_INHERITS";

#[derive(Debug, Serialize, Deserialize)]
struct Will {
    /// as they were asked for, and the numbers of the sockets
    sockets: Vec<(String, RawFd)>,
    /// where to tell that all serve
    line: RawFd,
    /// who hands on
    pid: i32,
}

/// Whether a predecessor hands something on.
pub fn is_expected() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// What a supervisor has from its predecessor.
#[derive(Debug)]
pub struct Inheritance {
    /// listening sockets, and as what they were asked for
    pub sockets: Vec<(String, Socket)>,
    /// the predecessor
    pub pid: i32,
    line: UnixStream,
}

impl Inheritance {
    /// Takes what a predecessor hands on, if there is one. Whatever this process starts later knows nothing of it.
    pub fn take(py: Python<'_>) -> PyResult<Option<Inheritance>> {
        let environ = py.import("os")?.getattr("environ")?;
        let will: Option<String> = environ.call_method1("pop", (VARIABLE, py.None()))?.extract()?;
        let Some(will) = will else { return Ok(None) };
        let will: Will = serde_json::from_str(&will).map_err(io::Error::from)?;
        let mut sockets = Vec::with_capacity(will.sockets.len());
        for (bind, number) in will.sockets {
            let socket = Socket::from(sys::take_descriptor(number)?);
            socket.set_cloexec(true)?;
            sockets.push((bind, socket));
        }
        let line = UnixStream::from(sys::take_descriptor(will.line)?);
        fcntl_setfd(&line, FdFlags::CLOEXEC).map_err(io::Error::from)?;
        Ok(Some(Inheritance { sockets, pid: will.pid, line }))
    }

    /// Tells the predecessor that all serve.
    pub fn serves(&mut self) {
        if let Err(error) = self.line.write_all(b"serves\n") {
            log::warn!("cannot tell the old supervisor (pid {}) to end: {error}", self.pid);
        }
    }
}

/// A supervisor that is to take over.
#[derive(Debug)]
pub struct Heir {
    /// its process
    pub pid: u32,
    line: UnixStream,
}

/// What is known of an heir.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// nothing yet
    None,
    /// it serves
    Serves,
    /// it has ended, or will
    Failed,
}

impl Heir {
    /// Starts it: the same words, what is installed now. The variables are those that this process has taken out of its environment.
    pub fn start(
        py: Python<'_>,
        directory: &Path,
        sockets: &[(String, BorrowedFd<'_>)],
        variables: Vec<(&'static str, String)>,
    ) -> Result<Heir, String> {
        let words: Vec<String> = py
            .import("sys")
            .and_then(|sys| sys.getattr("orig_argv")?.extract())
            .map_err(|error| error.to_string())?;
        let [program, words @ ..] = &words[..] else {
            return Err("the command line is not known".to_owned());
        };
        let start = || {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let will = Will {
                sockets: sockets
                    .iter()
                    .map(|(bind, socket)| (bind.clone(), socket.as_raw_fd()))
                    .collect(),
                line: theirs.as_raw_fd(),
                pid: std::process::id().cast_signed(),
            };
            let handed = || sockets.iter().map(|(_, socket)| *socket).chain([theirs.as_fd()]);
            // No other thread is there that could start a process in between.
            let keep = |flags| handed().try_for_each(|fd| fcntl_setfd(fd, flags));
            keep(FdFlags::empty())?;
            let started = Command::new(program)
                .args(words)
                .current_dir(directory)
                .envs(variables)
                .env(VARIABLE, serde_json::to_string(&will)?)
                .spawn();
            keep(FdFlags::CLOEXEC)?;
            Ok(Heir { pid: started?.id(), line: ours })
        };
        start().map_err(|error: io::Error| format!("cannot start {program}: {error}"))
    }

    /// What it tells.
    pub fn news(&mut self) -> News {
        match self.line.read(&mut [0; 16]) {
            Ok(0) => News::Failed,
            Ok(_) => News::Serves,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                News::None
            }
            Err(_) => News::Failed,
        }
    }
}

impl AsFd for Heir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}
