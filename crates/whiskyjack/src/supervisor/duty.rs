//! How a worker belongs to its supervisor: what it tells, what it is told, and what it does when the supervisor is gone.
//! Knows the server only by its handle.

use super::channel::{Order, Report, receive, send};
use super::heart::Heart;
use crate::access_log::AccessLog;
use crate::board::{Listens, Place, Slot, Standing};
use crate::engine::Supervised;
use crate::settings::Settings;
use crate::signals::Told;
use crate::sys;
use signal_hook::consts::SIGTERM;
use signal_hook::low_level::raise;
use socket2::Socket;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use whiskyjack_server::config::{Relief, Why};
use whiskyjack_server::exchange::{Address, Origin};
use whiskyjack_server::server::Handle;

/// A worker's bonds.
#[derive(Debug)]
pub struct Duty {
    /// where it writes what it is doing
    pub slot: Slot,
    /// where it tells, and is told
    pub channel: Arc<UnixStream>,
    /// whether it is one of several
    pub siblings: bool,
    heart: Arc<Heart>,
}

/// The exit code of a worker that did not become ready.
const NOT_READY: i32 = 3;

/// Between two questions of whether a worker is ready.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Stack of the threads that only wait.
const STACK: usize = 512 << 10;

impl Duty {
    /// Those of a worker that has just been forked.
    pub fn new(slot: Slot, channel: UnixStream, siblings: bool) -> Duty {
        let channel = Arc::new(channel);
        let heart = Arc::new(Heart::new(slot, Arc::clone(&channel)));
        Duty { slot, channel, siblings, heart }
    }

    /// Where to tell the supervisor something.
    pub fn channel(&self) -> Arc<UnixStream> {
        Arc::clone(&self.channel)
    }

    /// Who is told that the worker drains.
    pub fn told(&self) -> Arc<dyn Told> {
        Arc::new(Drains { slot: self.slot, channel: self.channel() })
    }

    /// The supervisor as the server sees it.
    pub fn supervised(&self, settings: &Settings) -> Supervised {
        let relief = Replaces { channel: self.channel() };
        Supervised { board: Some(self.place(settings)), relief: Some(Arc::new(relief)) }
    }

    fn place(&self, settings: &Settings) -> Arc<Place> {
        let most = settings.max_requests.number() as u64;
        let jitter = settings.max_requests_jitter.number() as u64;
        // A hasher of the standard library is seeded at random, which is all the chance that is needed here.
        let more = match jitter {
            0 => 0,
            jitter => RandomState::new().hash_one(std::process::id()) % (jitter + 1),
        };
        let most = if most == 0 { 0 } else { most.saturating_add(more) };
        let (channel, heart) = (self.channel(), Arc::clone(&self.heart));
        Place::new(self.slot, settings.threads.number(), most, Hears { most, channel, heart })
    }

    /// Becomes ready on a thread of its own, and does there what the supervisor orders, to the end of the process.
    pub fn begin(
        self,
        settings: &Settings,
        handle: Handle,
        log: Option<Arc<AccessLog>>,
        ready: Report,
    ) -> io::Result<()> {
        let (heart, timeout) = (Arc::clone(&self.heart), settings.stall_timeout.0);
        spawn("heart", move || heart.live(timeout))?;
        let path = settings.ready_path.as_ref().map(|path| path.text().to_owned());
        let patience = settings.boot_timeout;
        spawn("duty", move || {
            if let Some(path) = path
                && let Err(why) = wait_until_ready(&handle, &path, patience)
            {
                let _ = send(&self.channel, &Report::Failed { why });
                sys::exit_now(NOT_READY);
            }
            if self.slot.standing() == Standing::Booting {
                self.slot.stand(Standing::Serving);
                handle.look_around();
                let _ = send(&self.channel, &ready);
            }
            for order in receive::<Order>(&self.channel) {
                match order {
                    Order::Announce => handle.announce(),
                    Order::LookAround => handle.look_around(),
                    Order::Reopen => {
                        if let Some(log) = &log {
                            log.reopen();
                        }
                    }
                }
            }
            if self.slot.standing() != Standing::Draining {
                log::warn!("the supervisor is gone: finishing what is under way");
                // As if it had asked for it. Nobody is left who could be told of a failure.
                let _ = raise(SIGTERM);
            }
        })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work).map(drop)
}

#[derive(Debug)]
struct Hears {
    /// requests that the worker may answer
    most: u64,
    channel: Arc<UnixStream>,
    heart: Arc<Heart>,
}

impl Listens for Hears {
    fn is_full(&self) {
        let why = format!("it has answered {} requests", self.most);
        // A supervisor that is gone replaces nobody.
        let _ = send(&self.channel, &Report::Replace { why });
    }

    fn rests(&self) {
        self.heart.rests();
    }

    fn stirs(&self) {
        self.heart.stirs();
    }
}

#[derive(Debug)]
struct Drains {
    slot: Slot,
    channel: Arc<UnixStream>,
}

impl Told for Drains {
    fn draining(&self) {
        self.slot.stand(Standing::Draining);
        let _ = send(&self.channel, &Report::Draining);
    }
}

#[derive(Debug)]
struct Replaces {
    channel: Arc<UnixStream>,
}

impl Relief for Replaces {
    fn wanted(&self, why: Why) {
        let Why::StuckThreads { stuck, threads } = why;
        let why = format!("{stuck} of {threads} threads do not come back from the application");
        let _ = send(&self.channel, &Report::Replace { why });
    }
}

/// Asks the server of this process, over a connection that no listener took, until it answers well.
fn wait_until_ready(handle: &Handle, path: &str, patience: Duration) -> Result<(), String> {
    let until = Instant::now() + patience;
    loop {
        let answered = ask(handle, path, until.saturating_duration_since(Instant::now()));
        let problem = match answered {
            Ok(status) if (100..400).contains(&status) => return Ok(()),
            Ok(status) => format!("answered {status}"),
            Err(error) => format!("was not answered: {error}"),
        };
        if Instant::now() + ASK_AGAIN >= until {
            return Err(format!("the worker is not ready: {path} {problem}"));
        }
        log::debug!("not ready yet: {path} {problem}");
        thread::park_timeout(ASK_AGAIN);
    }
}

fn ask(handle: &Handle, path: &str, patience: Duration) -> io::Result<u16> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let origin = Origin {
        peer: Address::Unix(None),
        local: Address::Unix(None),
        secure: false,
        claimed: false,
    };
    handle.adopt(Socket::from(std::os::fd::OwnedFd::from(theirs)), origin)?;
    ours.set_read_timeout(Some(patience.max(ASK_AGAIN)))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: whiskyjack-ready\r\nConnection: close\r\n\r\n"
    );
    ours.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // The whole of it: who answers should not meet a peer that has gone.
    ours.take(1 << 20).read_to_end(&mut answer)?;
    status(&answer).ok_or_else(|| io::Error::other("no HTTP response"))
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_read() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status(b"HTTP/1.1 x"), None);
        assert_eq!(status(b""), None);
    }
}
