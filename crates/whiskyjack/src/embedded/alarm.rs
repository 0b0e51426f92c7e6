//! Gets the thread that serves out of its wait when Python has a signal for it, or when its hook is due. A thread without Python; there is none where
//! neither can happen.

use pyo3::prelude::*;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use whiskyjack_server::server::Handle;

/// Rings until it is dropped.
#[derive(Debug)]
pub(super) struct Alarm {
    ours: UnixStream,
    thread: Option<JoinHandle<()>>,
    /// what stood in our place with Python's signals
    before: Option<i32>,
}

/// What it has to tell.
#[derive(Debug, Default)]
pub(super) struct Due(AtomicBool);

impl Due {
    /// Whether the time for the hook has come, since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Alarm {
    /// An alarm for signals, if the calling thread is the one that gets them, and for `every`.
    pub(super) fn new(
        py: Python<'_>,
        handle: Handle,
        every: Option<Duration>,
        due: Arc<Due>,
    ) -> PyResult<Option<Alarm>> {
        let threading = py.import("threading")?;
        let is_main =
            threading.call_method0("current_thread")?.is(&threading.call_method0("main_thread")?);
        if !is_main && every.is_none() {
            return Ok(None);
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut alarm = Alarm { ours, thread: None, before: None };
        let mut former = None;
        if is_main {
            // Python's own handlers write there, and ours are none: whatever handles a signal in this process stays as it is.
            let before = set_wakeup(py, alarm.ours.as_raw_fd())?;
            alarm.before = Some(before);
            former = crate::sys::duplicate(before).ok().map(File::from);
        }
        let thread = Builder::new()
            .name("alarm".into())
            .spawn(move || watch(theirs, former, every, &due, &handle))?;
        alarm.thread = Some(thread);
        Ok(Some(alarm))
    }

    /// Puts everything back as it was.
    pub(super) fn end(mut self, py: Python<'_>) -> PyResult<()> {
        if let Some(before) = self.before.take() {
            let found = set_wakeup(py, before)?;
            if found != self.ours.as_raw_fd() {
                // Somebody has put another one there while we served, and may count on it.
                set_wakeup(py, found)?;
            }
        }
        py.detach(|| drop(self));
        Ok(())
    }
}

fn set_wakeup(py: Python<'_>, descriptor: i32) -> PyResult<i32> {
    let keywords = pyo3::types::PyDict::new(py);
    keywords.set_item("warn_on_full_buffer", false)?;
    py.import("signal")?.call_method("set_wakeup_fd", (descriptor,), Some(&keywords))?.extract()
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // The thread reads the end.
        let _ = self.ours.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread of an alarm ended by a panic");
        }
    }
}

fn watch(
    mut signals: UnixStream,
    mut former: Option<File>,
    every: Option<Duration>,
    due: &Due,
    handle: &Handle,
) {
    let mut next = every.map(|every| Instant::now() + every);
    let mut numbers = [0; 64];
    loop {
        let patience = next.map(|next| next.saturating_duration_since(Instant::now()));
        // Zero would be for ever.
        let patience = patience.map(|patience| patience.max(Duration::from_millis(1)));
        let read = match signals.set_read_timeout(patience) {
            Ok(()) => signals.read(&mut numbers),
            Err(error) => Err(error),
        };
        match read {
            Ok(0) => return,
            Ok(count) => {
                if let Some(former) = &mut former {
                    // As Python does it: what there is no room for is known already.
                    let _ = former.write(&numbers[..count]);
                }
                handle.nudge();
            }
            Err(error) if is_patience_over(&error) => {}
            Err(error) => {
                log::error!("cannot wait for signals: {error}");
                return;
            }
        }
        if let (Some(at), Some(every)) = (next, every)
            && at <= Instant::now()
        {
            next = Some(Instant::now() + every);
            due.0.store(true, Ordering::Release);
            handle.nudge();
        }
    }
}

fn is_patience_over(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
