//! What is known of a worker that died: one record, for people as a line and for programs as JSON. Knows no process, only what was found out.

use crate::board::InFlight;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use signal_hook::low_level::signal_name;
use std::fmt;
use std::time::Duration;

/// A worker's death.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// its number
    pub worker: usize,
    /// its process
    pub pid: i32,
    /// how it ended
    pub cause: Cause,
    /// whether the kernel killed it for want of memory; `None` where that cannot be told
    pub out_of_memory: Option<bool>,
    /// from its fork to its end
    pub age: Duration,
    /// that the application answered
    pub requests: u64,
    /// its memory when it was looked at last, in bytes
    pub rss: Option<u64>,
    /// what it was at
    pub in_flight: Vec<InFlight>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// by itself, with this code
    Exit(i32),
    /// by this signal
    Signal(i32),
    /// nobody knows: the process that could have told is gone too
    Unknown,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exit(code) => write!(f, "exited with code {code}"),
            Cause::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {number}"),
            },
            Cause::Unknown => f.write_str("is gone"),
        }
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Certificate { worker, pid, cause, age, requests, .. } = self;
        write!(f, "worker {worker} (pid {pid}) {cause}")?;
        match self.out_of_memory {
            Some(true) => f.write_str(", for want of memory in its control group")?,
            Some(false) => {}
            None if matches!(cause, Cause::Signal(9)) => {
                f.write_str(" (whether for want of memory cannot be told here)")?;
            }
            None => {}
        }
        write!(f, " at the age of {age:.1?}, after {requests} requests")?;
        if let Some(rss) = self.rss {
            write!(f, ", with {} MiB of memory", rss >> 20)?;
        }
        match self.in_flight.as_slice() {
            [] => f.write_str(", with no request in the application"),
            requests => {
                f.write_str("; in the application were ")?;
                for (index, InFlight { request, age }) in requests.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    // What a peer sent must not forge a line nor speak to a terminal.
                    write!(f, "{comma}{} ({age:.1?})", request.escape_debug())?;
                }
                Ok(())
            }
        }
    }
}

impl Certificate {
    /// The same for programs.
    pub fn as_json(&self) -> Value {
        let in_flight: Vec<Value> = self
            .in_flight
            .iter()
            .map(|flight| json!({ "request": flight.request, "age": flight.age.as_secs_f64() }))
            .collect();
        json!({
            "worker": self.worker,
            "pid": self.pid,
            "cause": self.cause,
            "out-of-memory": self.out_of_memory,
            "age": self.age.as_secs_f64(),
            "requests": self.requests,
            "rss": self.rss,
            "in-flight": in_flight,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Certificate {
        Certificate {
            worker: 2,
            pid: 345,
            cause: Cause::Signal(9),
            out_of_memory: Some(true),
            age: Duration::from_secs(61),
            requests: 17,
            rss: Some(64 << 20),
            in_flight: vec![InFlight {
                request: "GET /a\x1b".into(),
                age: Duration::from_millis(2500),
            }],
        }
    }

    #[test]
    fn a_line_says_all_of_it() {
        assert_eq!(
            certificate().to_string(),
            "worker 2 (pid 345) was killed by SIGKILL, for want of memory in its control group at the age of 61.0s, \
after 17 requests, with 64 MiB of memory; in the application were GET /a\\u{1b} (2.5s)"
        );
    }

    #[test]
    fn a_line_says_when_nothing_was_under_way_and_when_something_is_not_known() {
        let quiet =
            Certificate { in_flight: vec![], rss: None, out_of_memory: None, ..certificate() };
        let line = quiet.to_string();
        assert!(
            line.contains("SIGKILL (whether for want of memory cannot be told here)"),
            "{line}"
        );
        assert!(line.ends_with("after 17 requests, with no request in the application"), "{line}");
    }

    #[test]
    fn the_record_for_programs_has_the_same() {
        let record = certificate().as_json();
        assert_eq!(record["cause"], json!({ "signal": 9 }));
        assert_eq!(record["in-flight"], json!([{ "request": "GET /a\x1b", "age": 2.5 }]));
        assert_eq!(record["out-of-memory"], json!(true));
    }
}
