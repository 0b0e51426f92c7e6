//! What a thread brings along to work on connections. Knows none of them.

use crate::call::Call;
use crate::config::Config;
use crate::gathering::Gathering;
use crate::input::Spare;
use crate::succession::Succession;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use whiskyjack_proto::date::DateCache;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_proto::write::Defaults;

/// How near the server's end is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages<'a> {
    /// each response is its connection's last
    pub(crate) closing: &'a AtomicBool,
    /// the server takes nothing new
    pub(crate) draining: &'a AtomicBool,
}

/// What all threads of a server have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'a> {
    pub(crate) config: &'a Config,
    pub(crate) stages: Stages<'a>,
    pub(crate) succession: &'a Succession,
}

/// What a thread brings along to work on connections.
pub(crate) struct Workspace<'a> {
    pub(crate) config: &'a Config,
    /// how others see this thread's calls of the application
    pub(crate) call: &'a Call,
    /// when this turn began
    pub(crate) now: Instant,
    /// it says so: nothing that takes time has been done since
    pub(crate) is_now: bool,
    /// when the connection was found to have what this turn reads of it
    pub(crate) found: Instant,
    stages: Stages<'a>,
    /// whether a response's first piece may wait for the next
    pub(super) succession: &'a Succession,
    /// where the thread gathers responses to pipelined requests, and who has to send them in its place
    pub(super) gathering: &'a Gathering,
    pub(super) watched: &'a (dyn Fn() -> bool + Sync),
    /// there may be something in it, of the connection in hand
    pub(super) gathered: bool,
    /// how long the last call took
    pub(crate) took: Duration,
    /// others can go on, and soon: a whole response may wait for theirs
    pub(crate) company: bool,
    pub(crate) spare: Spare,
    /// a head's memory that no connection uses now
    pub(crate) spare_head: RequestHead,
    /// bytes of a response that go out with the next piece
    pub(crate) pending: Vec<u8>,
    pub(crate) date: DateCache,
}

impl<'a> Workspace<'a> {
    /// `watched` says whether what is gathered is sent by another thread while this one is held up.
    pub(crate) fn new(
        common: Common<'a>,
        call: &'a Call,
        watched: &'a (dyn Fn() -> bool + Sync),
    ) -> Workspace<'a> {
        let now = Instant::now();
        let Common { config, stages, succession } = common;
        Workspace {
            config,
            call,
            now,
            is_now: false,
            found: now,
            stages,
            succession,
            gathering: &call.gathering,
            watched,
            gathered: false,
            took: Duration::ZERO,
            company: false,
            spare: Spare::default(),
            spare_head: RequestHead::default(),
            pending: Vec::new(),
            date: DateCache::default(),
        }
    }

    /// Begins a turn with a connection.
    pub(crate) fn begin(&mut self) {
        if !mem::take(&mut self.is_now) {
            self.now = Instant::now();
        }
        if mem::take(&mut self.gathered) {
            // Left by a panic; it is no business of the next connection.
            drop(self.gathering.take());
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.stages.closing.load(Ordering::Relaxed)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.stages.draining.load(Ordering::Relaxed)
    }
}

/// The fields that the server adds to a response, as of now.
pub(crate) fn defaults<'a>(config: &'a Config, date: &'a mut DateCache) -> Defaults<'a> {
    // A clock before 1970 is a broken clock; a wrong Date is better than no answer.
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Defaults { date: date.at(second), server: config.server_name.as_deref().map(str::as_bytes) }
}
