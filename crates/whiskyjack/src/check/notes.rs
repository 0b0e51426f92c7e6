//! What the gateway logs while an application is checked, kept for the report.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::sync::{Mutex, PoisonError};

/// The process's logger while it checks.
pub(super) struct Notes(Mutex<Vec<Note>>);

/// One line of the log.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) is_error: bool,
    pub(super) text: String,
}

static NOTES: Notes = Notes(Mutex::new(Vec::new()));

impl Notes {
    pub(super) fn start() {
        // It fails where the process has a logger already, and then that one is told.
        let _ = log::set_logger(&NOTES);
        log::set_max_level(LevelFilter::Warn);
    }

    /// What was logged since the last time.
    pub(super) fn take() -> Vec<Note> {
        std::mem::take(&mut NOTES.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Log for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let is_error = record.level() == Level::Error;
            let note = Note { is_error, text: record.args().to_string() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        }
    }

    fn flush(&self) {}
}
