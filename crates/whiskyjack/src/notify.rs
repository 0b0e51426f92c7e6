//! Tells the service manager how the server stands: systemd's datagrams, sd_notify(3). Knows no worker.

use pyo3::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::time::{Duration, Instant};

/// Where the datagrams go.
const SOCKET: &str = "NOTIFY_SOCKET";

/// In how many microseconds the next sign of life is due, and from whom.
const WATCHDOG: [&str; 2] = ["WATCHDOG_USEC", "WATCHDOG_PID"];

/// The line to the service manager, where there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    line: Option<Line>,
    watchdog: Option<Watchdog>,
    /// the status that was told last
    said: String,
    /// as it was found, for a process that takes over
    variables: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Line {
    socket: Socket,
    manager: SockAddr,
}

#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
}

impl Notifier {
    /// Takes the line that the environment names. Whatever this process starts later knows nothing of it.
    pub fn take(py: Python<'_>) -> PyResult<Notifier> {
        let environ = py.import("os")?.getattr("environ")?;
        let mut variables = Vec::new();
        for name in [SOCKET, WATCHDOG[0], WATCHDOG[1]] {
            let text: Option<String> = environ.call_method1("pop", (name, py.None()))?.extract()?;
            variables.extend(text.map(|text| (name, text)));
        }
        let text = |name| variables.iter().find(|(other, _)| *other == name).map(|found| &found.1);
        let line = match text(SOCKET).map(|address| connect(address)).transpose() {
            Ok(line) => line,
            Err(error) => {
                log::warn!("cannot tell the service manager at NOTIFY_SOCKET anything: {error}");
                None
            }
        };
        let pid = text(WATCHDOG[1]).map(String::as_str);
        let watchdog = text(WATCHDOG[0]).and_then(|period| watchdog(period, pid));
        Ok(Notifier {
            watchdog: watchdog.filter(|_| line.is_some()),
            line,
            said: String::new(),
            variables,
        })
    }

    /// What a process must find in its environment that is to tell the service manager in this one's place.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mine = std::process::id().to_string();
        let is_of_anyone = |name: &str, text: &str| name != WATCHDOG[1] || text != mine;
        let kept = self.variables.iter().filter(|(name, text)| is_of_anyone(name, text));
        kept.cloned().collect()
    }

    /// It serves, for the first time or again. The note stands before the status until that changes.
    pub fn ready(&mut self, note: &str, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}{}", line(note), line(status)));
        status.clone_into(&mut self.said);
    }

    /// From now on another process is to be heard and watched. This one, whom the manager still believes, has nothing to say any more.
    pub fn hand_on(&mut self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
        *self = Notifier::default();
    }

    /// It reloads; until it is ready again, the manager waits. The time tells this reload from an earlier one.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading"));
    }

    /// It ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// What a person would like to know, where that has changed.
    pub fn status(&mut self, status: &str) {
        if self.line.is_some() && self.said != status {
            self.tell(&format!("STATUS={}", line(status)));
            status.clone_into(&mut self.said);
        }
    }

    /// Gives a sign of life if it is time, and says when the next one is due.
    pub fn beat(&mut self, now: Instant) -> Option<Instant> {
        let watchdog = self.watchdog.as_mut()?;
        let is_due = now >= watchdog.next;
        if is_due {
            watchdog.next = now + watchdog.every;
        }
        let next = watchdog.next;
        if is_due {
            self.tell("WATCHDOG=1");
        }
        Some(next)
    }

    fn tell(&self, message: &str) {
        let Some(Line { socket, manager }) = &self.line else { return };
        // A manager that is gone, or that does not read, must not keep anybody from being served.
        if let Err(error) = socket.send_to(message.as_bytes(), manager) {
            log::debug!("cannot tell the service manager {message:?}: {error}");
        }
    }
}

fn connect(address: &str) -> io::Result<Line> {
    let manager = match address.strip_prefix('@') {
        // the abstract namespace: no file, and a NUL byte in front
        Some(name) => SockAddr::unix(format!("\0{name}"))?,
        None if address.starts_with('/') => SockAddr::unix(address)?,
        None => return Err(io::Error::other(format!("{address} is neither a path nor @name"))),
    };
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(Line { socket, manager })
}

/// Two signs of life in each period, so that one may be late.
fn watchdog(period: &str, pid: Option<&str>) -> Option<Watchdog> {
    if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let period: u64 = period.parse().ok().filter(|period| *period > 0)?;
    Some(Watchdog { every: Duration::from_micros(period / 2), next: Instant::now() })
}

/// In one line: a line end would begin another assignment.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn heard(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).expect("a datagram");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    fn notifier(address: &str, every: Duration) -> Notifier {
        let watchdog = Watchdog { every, next: Instant::now() };
        Notifier {
            line: Some(connect(address).expect("an address")),
            watchdog: Some(watchdog),
            ..Notifier::default()
        }
    }

    #[test]
    fn what_is_told_arrives_in_a_file_and_in_the_abstract_namespace() {
        let path = std::env::temp_dir().join(format!("wj-notify-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).expect("a socket");
        notifier(&path.display().to_string(), Duration::MAX).status("two\nlines");
        assert_eq!(heard(&manager), "STATUS=two lines");
        std::fs::remove_file(&path).expect("removed");

        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let name = format!("wj-notify-{}", std::process::id());
            let address =
                std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
            let manager = UnixDatagram::bind_addr(&address).expect("a socket");
            notifier(&format!("@{name}"), Duration::MAX).ready("", "here");
            assert_eq!(heard(&manager), "READY=1\nSTATUS=here");
        }
    }

    #[test]
    fn a_sign_of_life_is_given_when_it_is_due_and_not_before() {
        let path = std::env::temp_dir().join(format!("wj-beat-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("set");
        let mut notifier = notifier(&path.display().to_string(), Duration::from_secs(60));
        let start = Instant::now();
        let next = notifier.beat(start).expect("a time");
        assert_eq!(next, start + Duration::from_secs(60));
        assert_eq!(heard(&manager), "WATCHDOG=1");
        assert_eq!(notifier.beat(start + Duration::from_secs(59)), Some(next));
        assert!(manager.recv(&mut [0; 8]).is_err(), "nothing is due");
        notifier.beat(next);
        assert_eq!(heard(&manager), "WATCHDOG=1");
        std::fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn a_watchdog_for_another_process_is_not_ours() {
        assert!(watchdog("1000000", Some("1")).is_none());
        assert!(watchdog("0", None).is_none() && watchdog("soon", None).is_none());
        let every = watchdog("1000000", None).expect("for anyone").every;
        assert_eq!(every, Duration::from_millis(500));
    }

    #[test]
    fn an_address_of_another_kind_is_refused() {
        assert!(connect("vsock:2:1").is_err());
    }
}
