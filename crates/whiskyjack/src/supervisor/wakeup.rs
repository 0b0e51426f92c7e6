//! Signals of the supervisor, as bytes on a line that its one wait waits for. Knows not what they mean.
//!
//! Python's own handlers write them, not signal-hook's: a worker forked from here takes its signals over anew, and signal-hook
//! would believe that it has them already.

use pyo3::prelude::*;
use pyo3::types::PyCFunction;
use signal_hook::consts::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// What the supervisor listens to.
const OURS: [i32; 10] =
    [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH];

/// The line.
#[derive(Debug)]
pub struct Wakeup {
    reader: UnixStream,
    /// kept open for Python, which has its number only
    _writer: UnixStream,
}

impl Wakeup {
    /// Takes the signals over.
    pub fn take_over(py: Python<'_>) -> PyResult<Wakeup> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let module = py.import("signal")?;
        module.call_method1("set_wakeup_fd", (writer.as_raw_fd(),))?;
        let nothing = PyCFunction::new_closure(py, None, None, |_, _| Ok::<_, PyErr>(()))?;
        for signal in OURS {
            module.call_method1("signal", (signal, &nothing))?;
        }
        Ok(Wakeup { reader, _writer: writer })
    }

    /// The signals that have come.
    pub fn take(&self) -> Vec<i32> {
        let mut buffer = [0; 256];
        match (&self.reader).read(&mut buffer) {
            Ok(count) => buffer[..count].iter().map(|number| i32::from(*number)).collect(),
            Err(_) => Vec::new(),
        }
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Which of the two a process is after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// the one that forked; the number is the other's
    Parent(i32),
    /// the new one, which has none of our signals' handlers
    Child,
}

/// Forks. Python's hooks run in both, and no signal meant for the one reaches the other.
pub fn fork(py: Python<'_>) -> PyResult<Forked> {
    let module = py.import("signal")?;
    for stream in ["stdout", "stderr"] {
        // What is in a buffer would be written twice. A stream that is gone has nothing to write.
        let _ = py.import("sys")?.getattr(stream).and_then(|stream| stream.call_method0("flush"));
    }
    let before = module.call_method1("pthread_sigmask", (module.getattr("SIG_BLOCK")?, OURS))?;
    let forked = py.import("os")?.call_method0("fork");
    let restore = |forked| -> PyResult<Forked> {
        if forked == Forked::Child {
            module.call_method1("set_wakeup_fd", (-1,))?;
            let default = module.getattr("SIG_DFL")?;
            for signal in OURS {
                module.call_method1("signal", (signal, &default))?;
            }
            // Ctrl-C reaches every process of the terminal; what it means is the supervisor's to say.
            module.call_method1("signal", (SIGINT, module.getattr("SIG_IGN")?))?;
            let interrupt = module.getattr("default_int_handler")?;
            module.call_method1("signal", (SIGTERM, interrupt))?;
        }
        Ok(forked)
    };
    let forked = forked.and_then(|pid| match pid.extract()? {
        0 => restore(Forked::Child),
        pid => restore(Forked::Parent(pid)),
    });
    module.call_method1("pthread_sigmask", (module.getattr("SIG_SETMASK")?, before))?;
    forked
}
