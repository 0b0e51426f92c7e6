//! Signals of a process that serves: SIGTERM ends it once its work is done, SIGQUIT at once, SIGUSR1 reopens logs. Ctrl-C is the first and,
//! a second time, the second; but not in a worker, whose supervisor says what it means. Knows the server only by its handle.

use crate::access_log::AccessLog;
use crate::sockets::SocketFiles;
use crate::sys;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCFunction};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use whiskyjack_server::server::Handle;

/// The exit code of a process that was interrupted, as shells count: 128 and the number of SIGINT.
pub const INTERRUPTED: i32 = 130;

/// What a process that serves listens to.
const OURS: [i32; 4] = [SIGINT, SIGTERM, SIGQUIT, SIGUSR1];

/// How long the main thread may take, after everything was cut off, to flush and end the process itself.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// While the application is imported, SIGINT and SIGTERM raise KeyboardInterrupt there: an import can be long, and what has
/// been made by then (the file of a socket) must be removed. A handler that the application installs is let be.
pub fn interrupt_imports(py: Python<'_>) -> PyResult<()> {
    let module = py.import("signal")?;
    let interrupt = module.getattr("default_int_handler")?;
    for signal in [SIGINT, SIGTERM] {
        module.call_method1("signal", (signal, &interrupt))?;
    }
    Ok(())
}

/// A process that the application forks must not have our handlers: nobody waits there for what they tell, and it could
/// not be terminated.
fn release_children(py: Python<'_>) -> PyResult<()> {
    let release = PyCFunction::new_closure(py, None, None, |arguments, _| {
        let py = arguments.py();
        let module = py.import("signal")?;
        for signal in OURS {
            let mut handler = module.call_method1("getsignal", (signal,))?;
            if signal == SIGINT && handler.eq(module.getattr("SIG_DFL")?)? {
                handler = module.getattr("default_int_handler")?;
            }
            module.call_method1("signal", (signal, handler))?;
        }
        Ok::<(), PyErr>(())
    })?;
    let keywords = [("after_in_child", release)].into_py_dict(py)?;
    py.import("os")?.getattr("register_at_fork")?.call((), Some(&keywords))?;
    Ok(())
}

/// Who waits for the end, and how it is meant.
#[derive(Debug, Default)]
pub struct Ending {
    /// guards how far the end has come
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Serving,
    Draining,
    Interrupted,
    Finished,
}

impl Ending {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a second signal asked for the end at once.
    pub fn is_interrupted(&self) -> bool {
        *self.state() == State::Interrupted
    }

    /// The process is about to end by itself: nobody needs to end it.
    pub fn finish(&self) {
        *self.state() = State::Finished;
        self.changed.notify_all();
    }

    fn wait_until_finished(&self, patience: Duration) -> bool {
        let state = self.state();
        let waited =
            self.changed.wait_timeout_while(state, patience, |state| *state != State::Finished);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// What the watcher needs.
#[derive(Debug)]
pub struct Watch {
    /// whom to tell
    pub handle: Handle,
    /// how the main thread and the watcher know of each other
    pub ending: Arc<Ending>,
    /// what to remove if the main thread cannot
    pub files: SocketFiles,
    /// how long the server takes at the most to drain
    pub graceful_timeout: Duration,
    /// what to reopen
    pub log: Option<Arc<AccessLog>>,
    /// whose it is
    pub role: Role,
}

/// To whom a process that serves answers.
#[derive(Clone, Debug)]
pub enum Role {
    /// to the operator
    Alone,
    /// to a supervisor, that hears of a drain it did not ask for
    Worker(Arc<dyn Told>),
}

/// Who is told that a worker drains.
pub trait Told: std::fmt::Debug + Send + Sync {
    /// It begins to.
    fn draining(&self);
}

impl Watch {
    /// Takes the signals over from Python and waits for them on a thread of its own, which never touches Python: the
    /// interpreter may be busy, or gone.
    pub fn start(self, py: Python<'_>) -> PyResult<()> {
        let module = py.import("signal")?;
        let ours = OURS;
        // One that comes in between must neither kill us nor be lost: it waits.
        let block = module.getattr("SIG_BLOCK")?;
        let before = module.call_method1("pthread_sigmask", (block, ours))?;
        let registered = self.register(&module);
        let restore = module.getattr("SIG_SETMASK")?;
        module.call_method1("pthread_sigmask", (restore, before))?;
        let signals = registered?;
        release_children(py)?;
        thread::Builder::new().name("signals".into()).spawn(move || self.run(signals))?;
        // One that came before is an exception by now.
        py.check_signals()
    }

    /// signal-hook calls the handler that it finds as well. Python's own would raise KeyboardInterrupt in whatever the
    /// main thread answers, so it goes; one of the application's stays.
    fn register(&self, module: &Bound<'_, PyModule>) -> PyResult<Signals> {
        let interrupt = module.getattr("default_int_handler")?;
        let default = module.getattr("SIG_DFL")?;
        let ignore = module.getattr("SIG_IGN")?;
        for signal in [SIGINT, SIGTERM] {
            let found = module.call_method1("getsignal", (signal,))?;
            // A worker ignores Ctrl-C while it imports; a program that it starts later should not.
            if found.is(&interrupt) || found.eq(&ignore)? {
                module.call_method1("signal", (signal, &default))?;
            }
        }
        Ok(Signals::new(OURS)?)
    }

    fn run(self, mut signals: Signals) {
        let mut draining = false;
        for signal in signals.forever() {
            match (signal, &self.role) {
                (SIGUSR1, _) => {
                    if let Some(log) = &self.log {
                        log.reopen();
                    }
                }
                (SIGQUIT, _) => self.cut(),
                (SIGINT, Role::Worker(_)) => {}
                (SIGINT, Role::Alone) if draining => self.cut(),
                _ if draining => {}
                _ => {
                    draining = true;
                    if let Err(error) = self.drain() {
                        log::error!("cannot watch the end, so it comes now: {error}");
                        self.cut();
                    }
                }
            }
        }
    }

    fn drain(&self) -> io::Result<()> {
        match &self.role {
            Role::Alone => log::info!("finishing what is under way; Ctrl-C stops at once"),
            Role::Worker(told) => told.draining(),
        }
        {
            let mut state = self.ending.state();
            if *state == State::Serving {
                *state = State::Draining;
            }
        }
        self.handle.drain();
        // The server cuts off what is left after the graceful timeout. But the thread that ran it may itself be inside
        // the application, and then nobody but us can end the process.
        let patience = self.graceful_timeout + LAST_WORDS;
        let (ending, files) = (Arc::clone(&self.ending), self.files.clone());
        thread::Builder::new().name("ending".into()).spawn(move || {
            if !ending.wait_until_finished(patience) {
                log::error!("the application has not returned within the graceful timeout");
                files.remove();
                sys::exit_now(1);
            }
        })?;
        Ok(())
    }

    fn cut(&self) {
        {
            let mut state = self.ending.state();
            if *state != State::Finished {
                *state = State::Interrupted;
            }
        }
        self.handle.stop();
        self.ending.wait_until_finished(LAST_WORDS);
        self.files.remove();
        sys::exit_now(INTERRUPTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_the_end_sees_it() {
        let ending = Arc::new(Ending::default());
        assert!(!ending.wait_until_finished(Duration::ZERO));
        let other = Arc::clone(&ending);
        let waiter = thread::spawn(move || other.wait_until_finished(Duration::from_secs(60)));
        ending.finish();
        assert!(waiter.join().expect("no panic"));
        assert!(!ending.is_interrupted());
    }
}
