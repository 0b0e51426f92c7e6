//! A thread's stack while somebody holds the interpreter, so that nobody can ask Python: a signal makes the thread write it itself, by
//! the handler of CPython's `faulthandler`, which needs no interpreter. Knows frames by their printed form alone.

use crate::{raw, seat};
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a process needs for it. One at most is of use in a process: the handler is the process's.
#[derive(Debug)]
pub(crate) struct Glimpse {
    signal: i32,
    reading: Mutex<File>,
    /// the handler writes to its number
    _writing: File,
}

/// How long a thread may take to begin, and how long it pauses at most between two pieces.
const BEGINS: Duration = Duration::from_millis(500);
const PAUSES: Duration = Duration::from_millis(20);

impl Glimpse {
    /// Has the handler installed. `None` where the system has no signal to spare, or the application uses it.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Option<Glimpse>> {
        let signals = py.import("signal")?;
        let Some(signal) = signals.getattr_opt("SIGRTMAX")? else { return Ok(None) };
        let signal: i32 = signal.extract()?;
        if signals.call_method1("getsignal", (signal,))?.ne(signals.getattr("SIG_DFL")?)? {
            return Ok(None);
        }
        let os = py.import("os")?;
        let (reading, writing): (i32, i32) = os.call_method0("pipe")?.extract()?;
        let ends = [reading, writing].map(|end| {
            // Nobody may wait: not the handler for room, nor the reader for a thread that does not answer.
            os.call_method1("set_blocking", (end, false))?;
            let file = raw::duplicate(end)?;
            os.call_method1("close", (end,))?;
            PyResult::Ok(file)
        });
        let [reading, writing] = ends;
        let (reading, writing) = (reading?, writing?);
        let options = pyo3::types::PyDict::new(py);
        options.set_item("file", std::os::fd::AsRawFd::as_raw_fd(&writing))?;
        options.set_item("all_threads", false)?;
        py.import("faulthandler")?.call_method("register", (signal,), Some(&options))?;
        Ok(Some(Glimpse { signal, reading: Mutex::new(reading), _writing: writing }))
    }

    /// What the thread with Python's number `thread` is doing, the innermost last. Takes half a second at most, and no interpreter.
    pub(crate) fn stack(&self, thread: u64) -> Option<String> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // What came too late the last time.
        read(&mut reading, Duration::ZERO);
        let below = seat::signal(thread, self.signal)?;
        innermost_last(&String::from_utf8_lossy(&read(&mut reading, BEGINS)), below)
    }
}

impl Drop for Glimpse {
    fn drop(&mut self) {
        // At the interpreter's end the handler is removed by itself.
        let _ = Python::try_attach(|py| {
            py.import("faulthandler")?.call_method1("unregister", (self.signal,)).map(drop)
        });
    }
}

/// Reads until nothing more comes.
fn read(from: &mut File, begins: Duration) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    let mut until = Instant::now() + begins;
    loop {
        match from.read(&mut block) {
            Ok(0) => return bytes,
            Ok(count) => {
                bytes.extend_from_slice(&block[..count]);
                until = Instant::now() + PAUSES;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                let left = until.saturating_duration_since(Instant::now());
                let wait = Timespec::try_from(left).unwrap_or_default();
                // An interrupted wait is begun again.
                if left.is_zero()
                    || poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&wait)) == Ok(0)
                {
                    return bytes;
                }
            }
        }
    }
}

/// A stack as a traceback shows it, from what the handler wrote, without the `below` outermost frames, which are not the application's.
///
/// ```text
/// Stack (most recent call first):
///   File "/srv/shop.py", line 7 in search
/// ```
fn innermost_last(written: &str, below: usize) -> Option<String> {
    let mut frames = Vec::new();
    let mut is_whole = true;
    for line in written.lines() {
        if let Some((place, function)) =
            line.strip_prefix("  File ").and_then(|frame| frame.rsplit_once(" in "))
        {
            frames.push(format!("  File {place}, in {function}"));
        } else if line.trim() == "..." {
            is_whole = false;
        }
    }
    if is_whole {
        frames.truncate(frames.len().saturating_sub(below));
    } else {
        frames.push("  ...".to_owned());
    }
    frames.reverse();
    (!frames.is_empty()).then(|| frames.join("\n"))
}

/// A stack with the source of each line below it, where that can be read. May run Python code.
pub(crate) fn with_sources(py: Python<'_>, stack: String) -> String {
    let sourced = || -> PyResult<String> {
        let getline = py.import("linecache")?.getattr("getline")?;
        let mut text = String::new();
        for line in stack.lines() {
            text.push_str(line);
            text.push('\n');
            let Some(place) = place(line) else { continue };
            let source: String = getline.call1(place)?.extract()?;
            if !source.trim().is_empty() {
                text.push_str(&format!("    {}\n", source.trim()));
            }
        }
        Ok(text.trim_end().to_owned())
    };
    // What can be said without is said.
    sourced().unwrap_or(stack)
}

/// File and line of a frame.
fn place(frame: &str) -> Option<(&str, u32)> {
    let (place, _) = frame.strip_prefix("  File \"")?.rsplit_once(", in ")?;
    let (file, line) = place.rsplit_once("\", line ")?;
    Some((file, line.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "Stack (most recent call first):\n  File \"a b.py\", line 3 in inner\n  \
                           File \"a in b.py\", line 7 in outer\n  File \"main.py\", line 1 in <module>\n";

    #[test]
    fn what_the_handler_wrote_is_turned_round_without_our_own_frames() {
        let expected =
            "  File \"a in b.py\", line 7, in outer\n  File \"a b.py\", line 3, in inner";
        assert_eq!(innermost_last(WRITTEN, 1).as_deref(), Some(expected));
        assert_eq!(innermost_last(WRITTEN, 3), None);
        assert_eq!(innermost_last("", 0), None);
        // Half a line is no frame.
        assert_eq!(innermost_last("Stack (most recent call first):\n  File \"a", 0), None);
    }

    #[test]
    fn a_frame_has_its_source_below_it_where_there_is_one() {
        let file = tempfile::NamedTempFile::with_suffix(" in a, line 3.py").expect("a file");
        std::fs::write(file.path(), "def inner():\n    return x\n").expect("room");
        let known = format!("  File \"{}\", line 2, in inner", file.path().display());
        let stack = format!("  File \"gone.py\", line 9, in outer\n{known}");
        let sourced = Python::attach(|py| with_sources(py, stack.clone()));
        assert_eq!(sourced, format!("{stack}\n    return x"));
    }

    #[test]
    fn where_frames_are_left_out_they_are_the_outermost() {
        let stack = innermost_last(&format!("{WRITTEN}  ...\n"), 1).expect("frames");
        assert!(stack.starts_with("  ...\n  File \"main.py\""), "{stack}");
    }
}
