//! The error log: lines on standard error, one write each. Knows nothing of requests.

use crate::choices::Level;
use crate::sys;
use log::{LevelFilter, Log, Metadata, Record};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

/// Sends what is logged from `level` on to standard error. A second call changes nothing but the level.
pub fn start(level: Level) {
    // It fails where the process has a logger already, and then that one is asked for.
    let _ = log::set_boxed_logger(errors());
    log::set_max_level(filter(level));
}

/// The same where the process has no logger yet; one that it has is left as it is.
pub fn start_unless_started(level: Level) {
    if log::set_boxed_logger(errors()).is_ok() {
        log::set_max_level(filter(level));
    }
}

fn errors() -> Box<Errors> {
    let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Box::new(Errors { coloured })
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::Debug,
        Level::Info => LevelFilter::Info,
        Level::Warning => LevelFilter::Warn,
        Level::Error => LevelFilter::Error,
    }
}

struct Errors {
    coloured: bool,
}

impl Log for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = line(record, second(SystemTime::now()), self.coloured);
            // Nobody is left to be told that standard error is gone.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }

    fn flush(&self) {}
}

fn line(record: &Record<'_>, second: i64, coloured: bool) -> String {
    let (name, colour) = match record.level() {
        log::Level::Error => ("ERROR", "31"),
        log::Level::Warn => ("WARN", "33"),
        log::Level::Info => ("INFO", "32"),
        log::Level::Debug | log::Level::Trace => ("DEBUG", "2"),
    };
    let mut line = String::with_capacity(128);
    let pid = std::process::id();
    let text = record.args();
    let stamp = stamp(second);
    // Writing to a String cannot fail.
    let _ = match coloured {
        true => writeln!(line, "\x1b[2m{stamp} [{pid}]\x1b[0m \x1b[{colour}m{name}\x1b[0m {text}"),
        false => writeln!(line, "{stamp} [{pid}] {name} {text}"),
    };
    line
}

/// `2026-11-21 09:00:00 +0000`
fn stamp(second: i64) -> String {
    let time = sys::local_time(second);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02} {}",
        time.year,
        time.month,
        time.day,
        time.hour,
        time.minute,
        time.second,
        offset(time.offset)
    )
}

/// `+0130`
pub fn offset(seconds: i64) -> String {
    let minutes = seconds.abs() / 60;
    format!("{}{:02}{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

/// Whole seconds since the epoch; before it, the epoch.
pub fn second(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(coloured: bool) -> String {
        let args = format_args!("slow");
        line(&Record::builder().level(log::Level::Warn).args(args).build(), 0, coloured)
    }

    #[test]
    fn a_line_says_when_who_and_how_bad() {
        let line = warning(false);
        assert!(line.ends_with(&format!(" [{}] WARN slow\n", std::process::id())), "{line}");
        assert_eq!(line.find(" ["), Some("2026-11-21 09:00:00 +0000".len()));
    }

    #[test]
    fn a_line_is_coloured_only_for_a_terminal() {
        assert!(warning(true).contains("\x1b[33mWARN"));
        assert!(!warning(false).contains('\x1b'));
    }

    #[test]
    fn an_offset_has_its_sign() {
        assert_eq!(offset(5400), "+0130");
        assert_eq!(offset(-12_600), "-0330");
        assert_eq!(offset(0), "+0000");
    }
}
