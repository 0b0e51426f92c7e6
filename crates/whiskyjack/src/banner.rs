//! What is said when everything is ready: a line in the log, or a few to a person at a terminal.
//! Knows nothing of how it came to be.

use pyo3::prelude::*;
use std::io::{self, IsTerminal, Write};
use whiskyjack_wsgi::gil;

/// What there is to say.
#[derive(Clone, Debug)]
pub struct Banner {
    /// where it listens, as URLs
    pub urls: Vec<String>,
    /// what it serves, `module:attribute`
    pub application: String,
    /// worker processes, where there is a supervisor
    pub workers: Option<usize>,
    /// application threads
    pub threads: usize,
    /// the interpreter
    pub python: String,
}

impl Banner {
    /// Says it, unless the log is told to be quieter.
    pub fn show(&self) {
        if !log::log_enabled!(log::Level::Info) {
            return;
        }
        let terminal = io::stderr();
        if terminal.is_terminal() {
            let coloured = std::env::var_os("NO_COLOR").is_none();
            // Serving goes on if nobody can read it.
            let _ = terminal.lock().write_all(self.for_a_person(coloured).as_bytes());
        } else {
            log::info!("{}", self.line());
        }
    }

    fn line(&self) -> String {
        let Banner { urls, application, python, .. } = self;
        let (urls, threads) = (urls.join(", "), self.threads());
        format!("listening at {urls} (application {application}, {threads}, {python})")
    }

    fn for_a_person(&self, coloured: bool) -> String {
        let paint = |code: &str, text: &str| match coloured {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        };
        let mut text = format!("\n  {} serves {}\n", paint("1", "whiskyjack"), self.application);
        for url in &self.urls {
            text += &format!("  {}\n", paint("1;36", url));
        }
        let last = format!("{} · {} · Ctrl-C stops", self.threads(), self.python);
        text + &format!("  {}\n\n", paint("2", &last))
    }

    fn threads(&self) -> String {
        let threads = counted(self.threads, "thread");
        match self.workers {
            // the usual case needs no word
            None | Some(1) => threads,
            Some(workers) => format!("{}, {threads} each", counted(workers, "worker")),
        }
    }
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// `CPython 3.13.0, GIL on`
pub fn interpreter(py: Python<'_>) -> String {
    let version = py.version_info();
    let gil = match gil::is_enabled(py) {
        true => "on",
        false => "off",
    };
    let name = py
        .import("platform")
        .and_then(|platform| platform.call_method0("python_implementation")?.extract::<String>());
    let name = name.unwrap_or_else(|_| "Python".to_owned());
    format!("{name} {}.{}.{}, GIL {gil}", version.major, version.minor, version.patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner() -> Banner {
        Banner {
            urls: vec!["http://127.0.0.1:8000".to_owned(), "unix:/run/x".to_owned()],
            application: "shop:app".to_owned(),
            workers: None,
            threads: 8,
            python: "CPython 3.13.0, GIL on".to_owned(),
        }
    }

    #[test]
    fn the_line_says_everything_at_once() {
        assert_eq!(
            banner().line(),
            "listening at http://127.0.0.1:8000, unix:/run/x (application shop:app, 8 threads, CPython 3.13.0, GIL on)"
        );
    }

    #[test]
    fn more_workers_than_one_are_counted() {
        let text = Banner { workers: Some(3), threads: 1, ..banner() }.line();
        assert!(text.contains("3 workers, 1 thread each, CPython"), "{text}");
        assert!(!Banner { workers: Some(1), ..banner() }.line().contains("worker"));
    }

    #[test]
    fn a_person_sees_each_address_on_a_line_of_its_own() {
        let text = banner().for_a_person(false);
        assert!(text.contains("\n  http://127.0.0.1:8000\n  unix:/run/x\n"), "{text}");
        assert!(!text.contains('\x1b'));
        assert!(banner().for_a_person(true).contains('\x1b'));
    }

    #[test]
    fn the_interpreter_names_itself() {
        let text = Python::attach(interpreter);
        assert!(text.contains("Python 3.") && text.contains(", GIL o"), "{text}");
    }
}
