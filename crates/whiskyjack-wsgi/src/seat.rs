//! A thread of the server as others see it through Python: what it is doing, and the exception that ends it.
//!
//! An exception that one thread raises in another comes out wherever that one runs Python code next. So that it never hits a later
//! request, it is raised only while the seat is open, which is while the application's code runs; and whoever closes the seat takes
//! back what has not come out yet:
//!
//! ```text
//! Closed ─open─▶ Open ─pin─▶ Pinned ─raise─▶ Raised
//!    ▲            │            │ │              │
//!    └────────────┴── close ───┼─┴──────────────┘
//!                  (waits while Pinned)
//! ```

use crate::raw;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

mod exception {
    #![allow(missing_docs)]
    pyo3::create_exception!(
        whiskyjack,
        RequestTimeout,
        pyo3::exceptions::PyBaseException,
        "Raised in a thread whose request is past its deadline, where --timeout-action is raise. Not an Exception, so that code \
         which goes on after any error does not go on after this one."
    );
}
pub use exception::RequestTimeout;

/// One thread's place.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    state: AtomicU8,
    /// Python frames below the server's own, which are not the application's
    below: usize,
}

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const PINNED: u8 = 2;
const RAISED: u8 = 3;

/// The seats of all server threads, by Python's number of the thread. Held for a few lines.
static SEATS: Mutex<BTreeMap<u64, Arc<Seat>>> = Mutex::new(BTreeMap::new());

thread_local! {
    static OWN: std::cell::RefCell<Option<Arc<Seat>>> = const { std::cell::RefCell::new(None) };
}

fn seats() -> std::sync::MutexGuard<'static, BTreeMap<u64, Arc<Seat>>> {
    SEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Python's number of the calling thread; 0 where it can't be had.
pub(crate) fn identity(py: Python<'_>) -> u64 {
    let number = || py.import("_thread")?.call_method0("get_ident")?.extract();
    number().unwrap_or(0)
}

/// Gives the calling thread a seat while `life` runs.
pub(crate) fn take(py: Python<'_>, life: &mut dyn FnMut()) {
    struct Leave(u64);
    impl Drop for Leave {
        fn drop(&mut self) {
            seats().remove(&self.0);
            OWN.set(None);
        }
    }
    let number = identity(py);
    let below = depth(py).unwrap_or(0);
    let seat = Arc::new(Seat { below, ..Seat::default() });
    seats().insert(number, Arc::clone(&seat));
    OWN.set(Some(seat));
    let _leave = Leave(number);
    life();
}

/// Sends a signal to the thread with this number, and says how many frames are not the application's; `None` if it is no thread of the server's.
pub(crate) fn signal(number: u64, signal: i32) -> Option<usize> {
    let seats = seats();
    let seat = seats.get(&number)?;
    // It can't leave, and its number can't become another's, while the seats are locked.
    raw::signal_thread(number, signal).then_some(seat.below)
}

/// Runs the application's code, in which the thread may be interrupted. Says whether it was.
pub(crate) fn open<R>(py: Python<'_>, code: impl FnOnce() -> R) -> (R, bool) {
    /// Closes the seat also where the code unwinds.
    struct Close<'a, 'py>(Option<&'a Seat>, Python<'py>);
    impl Close<'_, '_> {
        fn close(&mut self) -> bool {
            self.0.take().is_some_and(|seat| seat.close(self.1))
        }
    }
    impl Drop for Close<'_, '_> {
        fn drop(&mut self) {
            self.close();
        }
    }
    let seat = OWN.with_borrow(Option::clone);
    if let Some(seat) = &seat {
        seat.state.store(OPEN, Ordering::Release);
    }
    let mut guard = Close(seat.as_deref(), py);
    let result = code();
    let is_interrupted = guard.close();
    (result, is_interrupted)
}

impl Seat {
    fn close(&self, py: Python<'_>) -> bool {
        loop {
            match self.state.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) | Err(CLOSED) => return false,
                Err(RAISED) => {
                    // It may still be on its way.
                    raw::take_back(py, identity(py));
                    self.state.store(CLOSED, Ordering::Release);
                    return true;
                }
                // Without a GIL the other thread is at it this moment, and may need us to be detached.
                Err(_) => py.detach(std::thread::yield_now),
            }
        }
    }
}

/// Raises [`RequestTimeout`] in the call that the thread is inside of, if that is the one that `is_current` knows.
pub(crate) fn interrupt(py: Python<'_>, number: u64, is_current: &dyn Fn() -> bool) -> bool {
    let Some(seat) = seats().get(&number).cloned() else { return false };
    let pinned =
        seat.state.compare_exchange(OPEN, PINNED, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if !pinned {
        return false;
    }
    // From here on the thread can't end its call.
    let is_raised = is_current() && raw::raise_in(&py.get_type::<RequestTimeout>(), number);
    seat.state.store(if is_raised { RAISED } else { OPEN }, Ordering::Release);
    is_raised
}

/// What the thread is doing, the innermost last, as a traceback shows it. `None` if it runs no Python code of the application's,
/// or another call's. Only for an interpreter with the GIL: without it the thread would go on, and free what is read here.
pub(crate) fn stack(
    py: Python<'_>,
    number: u64,
    is_current: &dyn Fn() -> bool,
) -> PyResult<Option<String>> {
    let below = seats().get(&number).map_or(0, |seat| seat.below);
    let mut frames = frames(py, number)?;
    // With a GIL the thread has not run since the frames were read: this holds for them.
    if !is_current() {
        return Ok(None);
    }
    frames.truncate(frames.len().saturating_sub(below));
    if frames.is_empty() {
        return Ok(None);
    }
    frames.reverse();
    let summary = py.import("traceback")?.getattr("StackSummary")?;
    let lines = summary.call_method1("from_list", (PyList::new(py, frames)?,))?;
    let lines = lines.call_method0("format")?;
    let text: String = PyString::new(py, "").call_method1("join", (lines,))?.extract()?;
    Ok(Some(text.trim_end().to_owned()))
}

/// How many frames of Python code the calling thread is in.
fn depth(py: Python<'_>) -> PyResult<usize> {
    // Raises ValueError where there is none, as on a thread that Rust has started.
    let mut next = py.import("sys")?.call_method0("_getframe")?;
    let mut depth = 0;
    while !next.is_none() {
        depth += 1;
        next = next.getattr("f_back")?;
    }
    Ok(depth)
}

/// File, line, function and no source yet.
type Frame = (String, Option<u32>, String, Option<String>);

/// The frames of a thread, the innermost first. Reads attributes alone: no Python code runs, so that none of them moves meanwhile.
fn frames(py: Python<'_>, number: u64) -> PyResult<Vec<Frame>> {
    let all = py.import("sys")?.call_method0("_current_frames")?;
    let mut frames = Vec::new();
    let mut next = all.call_method1("get", (number,))?;
    while !next.is_none() {
        let code = next.getattr("f_code")?;
        frames.push((
            code.getattr("co_filename")?.extract()?,
            next.getattr("f_lineno")?.extract()?,
            code.getattr("co_qualname")?.extract()?,
            None,
        ));
        next = next.getattr("f_back")?;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU64};

    #[test]
    fn an_exception_from_outside_comes_out_while_the_seat_is_open_or_not_at_all() {
        const CODE: &std::ffi::CStr = c"for _ in range(30): pass";
        let (number, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    Python::attach(|py| interrupt(py, number.load(Ordering::Acquire), &|| true));
                }
            });
            let (mut late, mut raised) = (0, 0);
            Python::attach(|py| {
                take(py, &mut || {
                    number.store(identity(py), Ordering::Release);
                    for round in 0.. {
                        if raised >= 20 && late >= 20 {
                            break;
                        }
                        let (outcome, is_interrupted) = open(py, || {
                            // The other thread runs while this one is detached. Every second time it comes too late.
                            py.detach(std::thread::yield_now);
                            if round % 2 == 0 { py.run(CODE, None, None) } else { Ok(()) }
                        });
                        py.run(CODE, None, None).expect("no exception outside");
                        late += usize::from(is_interrupted && outcome.is_ok());
                        if let Err(error) = outcome {
                            assert!(is_interrupted && error.is_instance_of::<RequestTimeout>(py));
                            raised += 1;
                        }
                    }
                });
            });
            is_over.store(true, Ordering::Release);
        });
    }

    #[test]
    fn a_thread_without_a_seat_is_not_interrupted_and_neither_is_another_call() {
        Python::attach(|py| {
            let number = identity(py);
            assert!(!interrupt(py, number, &|| true));
            take(py, &mut || {
                assert!(!interrupt(py, number, &|| true), "nothing runs");
                let (is_raised, is_interrupted) = open(py, || interrupt(py, number, &|| false));
                assert!(!is_raised && !is_interrupted);
            });
            assert!(!interrupt(py, number, &|| true));
        });
    }
}
