//! Signals of the supervisor, and of a loader, as bytes on a line that its one wait waits for; and the fork. Knows not what they mean.
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
    /// what a forked process begins with
    legacy: Legacy,
}

/// What of signals a forked process begins with.
#[derive(Debug)]
enum Legacy {
    /// what a program is started with, but that its import can be interrupted
    Defaults,
    /// what an application has left behind that was imported before
    AsFound { mask: Py<PyAny>, child: Py<PyAny> },
}

impl Wakeup {
    /// Takes the signals over.
    pub fn take_over(py: Python<'_>) -> PyResult<Wakeup> {
        let module = py.import("signal")?;
        let wakeup = Wakeup::over(&module, Legacy::Defaults)?;
        let nothing = nothing(py)?;
        for signal in OURS {
            module.call_method1("signal", (signal, &nothing))?;
        }
        Ok(wakeup)
    }

    /// Takes over the one signal that tells of children, and holds back all others: they are for the supervisor, and for workers.
    /// The handlers that an application has installed are left for those.
    pub fn take_over_children(py: Python<'_>) -> PyResult<Wakeup> {
        let module = py.import("signal")?;
        let others: Vec<i32> = OURS.into_iter().filter(|signal| *signal != SIGCHLD).collect();
        let mask =
            module.call_method1("pthread_sigmask", (module.getattr("SIG_BLOCK")?, others))?;
        let found = module.call_method1("getsignal", (SIGCHLD,))?;
        // Of a handler that is not Python's nothing is known.
        let found = if found.is_none() { module.getattr("SIG_DFL")? } else { found };
        let legacy = Legacy::AsFound { mask: mask.unbind(), child: found.unbind() };
        let wakeup = Wakeup::over(&module, legacy)?;
        module.call_method1("signal", (SIGCHLD, nothing(py)?))?;
        Ok(wakeup)
    }

    fn over(module: &Bound<'_, PyModule>, legacy: Legacy) -> PyResult<Wakeup> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        module.call_method1("set_wakeup_fd", (writer.as_raw_fd(),))?;
        Ok(Wakeup { reader, _writer: writer, legacy })
    }

    /// The signals that have come.
    pub fn take(&self) -> Vec<i32> {
        let mut buffer = [0; 256];
        match (&self.reader).read(&mut buffer) {
            Ok(count) => buffer[..count].iter().map(|number| i32::from(*number)).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Forks. Python's hooks run in both, and no signal meant for the one reaches the other.
    pub fn fork(&self, py: Python<'_>) -> PyResult<Forked> {
        let module = py.import("signal")?;
        for stream in ["stdout", "stderr"] {
            // What is in a buffer would be written twice. A stream that is gone has nothing to write.
            let _ =
                py.import("sys")?.getattr(stream).and_then(|stream| stream.call_method0("flush"));
        }
        let before =
            module.call_method1("pthread_sigmask", (module.getattr("SIG_BLOCK")?, OURS))?;
        let forked = fork_quietly(py).and_then(|pid| match pid {
            0 => self.begin(&module).map(|()| Forked::Child),
            pid => Ok(Forked::Parent(pid)),
        });
        let mask = match (&forked, &self.legacy) {
            (Ok(Forked::Child), Legacy::AsFound { mask, .. }) => mask.bind(py),
            _ => &before,
        };
        module.call_method1("pthread_sigmask", (module.getattr("SIG_SETMASK")?, mask))?;
        forked
    }

    /// Gives a process that was just forked the handlers it is to have.
    fn begin(&self, module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.call_method1("set_wakeup_fd", (-1,))?;
        if let Legacy::AsFound { child, .. } = &self.legacy {
            module.call_method1("signal", (SIGCHLD, child))?;
            return Ok(());
        }
        let default = module.getattr("SIG_DFL")?;
        for signal in OURS {
            module.call_method1("signal", (signal, &default))?;
        }
        // Ctrl-C reaches every process of the terminal; what it means is the supervisor's to say.
        module.call_method1("signal", (SIGINT, module.getattr("SIG_IGN")?))?;
        let interrupt = module.getattr("default_int_handler")?;
        module.call_method1("signal", (SIGTERM, interrupt))?;
        Ok(())
    }
}

/// A handler for signals of which the line tells.
fn nothing(py: Python<'_>) -> PyResult<Bound<'_, PyCFunction>> {
    PyCFunction::new_closure(py, None, None, |_, _| Ok::<_, PyErr>(()))
}

/// Python's fork, without the warning of threads: whoever forks beside threads has said so better, and once.
fn fork_quietly(py: Python<'_>) -> PyResult<i32> {
    let warnings = py.import("warnings")?;
    let quiet = warnings.call_method0("catch_warnings")?;
    quiet.call_method0("__enter__")?;
    let deprecated = py.get_type::<pyo3::exceptions::PyDeprecationWarning>();
    let forked = warnings
        .call_method1("simplefilter", ("ignore", deprecated))
        .and_then(|_| py.import("os")?.call_method0("fork"));
    quiet.call_method1("__exit__", (py.None(), py.None(), py.None()))?;
    forked?.extract()
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
