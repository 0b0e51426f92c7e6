//! Workers that a loader is to fork, as far as the supervisor sees them: the loaders, what was ordered of them, and what came of it.
//!
//! ```text
//!                loaded                     all are of newer code, or the end
//!  Loading ───────────────▶ Loaded ───────────────────────────────────────▶ Retired
//!     │ fails, dies, is ended  │ is killed: its workers serve on, another is started    │ ends after its last worker
//!     ▼                        ▼                                                        ▼
//!  (gone, and with it the workers that wait for it)                                  (gone)
//! ```

use super::certificate::Cause;
use super::channel::{Channel, Report};
use super::fleet::Fleet;
use super::loader::{News, Start};
use super::order::{self, Wanted};
use super::process::{LAST_WORDS, Process};
use super::wakeup::Forked;
use super::{Outcome, Spawned, Supervisor};
use crate::board::{Slot, Standing};
use crate::title;
use crate::worker::Error;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// The loaders, and the workers that are not born yet.
#[derive(Debug, Default)]
pub struct Nursery {
    loaders: Vec<Loader>,
    expected: BTreeMap<usize, Expected>,
    /// of which generation a loader was killed, so that another is to be started
    bereft: Option<u64>,
}

/// One loader.
#[derive(Debug)]
struct Loader {
    generation: u64,
    pid: i32,
    line: Channel<News>,
    state: State,
    /// why it could not load, where that is known
    failure: Option<String>,
    /// when it is killed if it is there still
    kill_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// the workers of these numbers come next
    Loading(Vec<usize>),
    Loaded,
    /// no more orders are given
    Retired,
}

/// A worker that was ordered, and has not said yet that it is there.
#[derive(Debug)]
struct Expected {
    loader: i32,
    channel: Channel<Report>,
    slot: Slot,
    memory_kills: Option<u64>,
    /// why it is not wanted any more, and when the loader is killed that does not bring it
    unwanted: Option<(&'static str, Instant)>,
}

impl Loader {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
            log::debug!("cannot signal the loader (pid {}): {error}", self.pid);
        }
    }

    /// No more orders: it ends once its last worker has gone.
    fn retire(&mut self) {
        if !matches!(self.state, State::Loading(_)) {
            self.state = State::Retired;
        }
        // One that is gone needs no telling.
        let _ = self.line.stream().shutdown(Shutdown::Write);
    }

    /// Ends one that loads. The workers that wait for it are given up when it is gone.
    fn end(&mut self, why: &str, now: Instant) {
        self.retire();
        if self.kill_at.is_none() {
            self.failure.get_or_insert_with(|| why.to_owned());
            // An import is interrupted as by Ctrl-C.
            self.signal(Signal::TERM);
            self.kill_at = Some(now + LAST_WORDS);
        }
    }

    fn takes_orders(&self, generation: u64) -> bool {
        let is_ending = self.kill_at.is_some() || matches!(self.state, State::Retired);
        self.generation == generation && !is_ending
    }
}

impl Nursery {
    /// Whether no loader is left.
    pub fn is_empty(&self) -> bool {
        self.loaders.is_empty()
    }

    /// Of which generation a loader is to be started anew.
    pub fn bereft(&mut self) -> Option<u64> {
        self.bereft.take()
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = PollFd<'_>> {
        let lines = self.loaders.iter().filter(|loader| !loader.line.is_ended());
        let lines = lines.map(|loader| PollFd::new(&loader.line, PollFlags::IN));
        let channels = self.expected.values();
        lines.chain(channels.map(|expected| PollFd::new(&expected.channel, PollFlags::IN)))
    }

    /// The channels of those that are not born yet.
    pub fn channels(&self) -> impl Iterator<Item = (usize, &UnixStream)> {
        self.expected.iter().map(|(number, expected)| (*number, expected.channel.stream()))
    }

    /// Kills loaders whose time has come; says when to look again.
    pub fn kill_if_due(&mut self, now: Instant) -> Option<Instant> {
        let overdue = self.expected.values().filter_map(|expected| {
            let (_, at) = expected.unwanted?;
            Some((expected.loader, at))
        });
        let overdue: Vec<(i32, Instant)> = overdue.collect();
        let mut next: Option<Instant> = None;
        for loader in &mut self.loaders {
            let of_workers = overdue.iter().filter(|(pid, _)| *pid == loader.pid);
            let due = of_workers.map(|(_, at)| *at).chain(loader.kill_at).min();
            let Some(mut at) = due else { continue };
            if now >= at {
                loader.signal(Signal::KILL);
                // Once is enough, but a process may be in a call of the kernel that nothing ends.
                at = now + LAST_WORDS;
                loader.kill_at = Some(at);
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        next
    }

    /// Gives up a worker that is not born yet.
    pub fn give_up(&mut self, number: usize, why: &'static str, now: Instant) {
        if let Some(expected) = self.expected.get_mut(&number) {
            expected.unwanted.get_or_insert((why, now + LAST_WORDS));
        }
        let awaited = |loader: &&mut Loader| matches!(&loader.state, State::Loading(waiting) if waiting.contains(&number));
        if let Some(loader) = self.loaders.iter_mut().find(awaited) {
            loader.end(why, now);
        }
    }

    /// Code of this generation was tried, and is not wanted.
    pub fn reject(&mut self, generation: u64) {
        for loader in &mut self.loaders {
            if loader.generation == generation {
                loader.retire();
            }
        }
    }

    /// Lets those go whose code no new worker is to have.
    pub fn retire(&mut self, fleet: &Fleet, now: Instant) {
        for loader in &mut self.loaders {
            let is_old = loader.generation < fleet.newest() || fleet.is_ending();
            match &loader.state {
                State::Loading(waiting) if is_old && waiting.is_empty() => {
                    loader.end("newer code serves", now);
                }
                State::Loaded if is_old => loader.retire(),
                _ => {}
            }
        }
    }

    /// All workers are gone: loaders have no reason to stay.
    pub fn dismiss(&mut self, now: Instant) {
        for loader in &mut self.loaders {
            loader.retire();
            loader.kill_at.get_or_insert(now + LAST_WORDS);
        }
    }

    /// For programs.
    pub fn status(&self) -> Value {
        let loader = |loader: &Loader| {
            let standing = match loader.state {
                _ if loader.kill_at.is_some() => "ending",
                State::Loading(_) => "loading",
                State::Loaded => "loaded",
                State::Retired => "ending",
            };
            json!({ "pid": loader.pid, "generation": loader.generation, "standing": standing })
        };
        self.loaders.iter().map(loader).collect()
    }
}

impl Supervisor<'_> {
    /// Has a loader fork a worker, be it once the loader has loaded, or is there.
    pub(super) fn spawn_by_loader(
        &mut self,
        number: usize,
        generation: u64,
    ) -> Result<Spawned, Error> {
        let loaders = &mut self.nursery.loaders;
        let found = loaders.iter_mut().find(|loader| loader.takes_orders(generation));
        match found.map(|loader| (loader.pid, &mut loader.state)) {
            None => self.start_loader(generation, vec![number]),
            Some((_, State::Loading(waiting))) => {
                waiting.push(number);
                Ok(Spawned::Here)
            }
            Some((pid, _)) => self.order_worker(pid, number).map(|()| Spawned::Here),
        }
    }

    /// Forks a loader, for which the workers of these numbers wait.
    pub(super) fn start_loader(
        &mut self,
        generation: u64,
        waiting: Vec<usize>,
    ) -> Result<Spawned, Error> {
        let system = |error| Error::System("cannot fork a loader", error);
        adopt_orphans();
        let (line, theirs) = Channel::pair().map_err(system)?;
        match self.wakeup.fork(self.py).map_err(|error| Error::python(self.py, &error))? {
            Forked::Parent(pid) => {
                log::debug!("a loader (pid {pid}) starts, generation {generation}");
                let state = State::Loading(waiting);
                let (failure, kill_at) = (None, None);
                let loader = Loader { generation, pid, line, state, failure, kill_at };
                self.nursery.loaders.push(loader);
                Ok(Spawned::Here)
            }
            Forked::Child => {
                title::show(&title::of("loader", &title::name(&self.settings)));
                let (settings, tls, board) = (self.settings.clone(), self.tls.take(), self.board);
                let start = Start { settings, tls, board, line: theirs };
                Ok(Spawned::There(Outcome::Loader(Box::new(start))))
            }
        }
    }

    /// Has another loader do what one did that was killed. Returns in that too.
    pub(super) fn reload_killed(&mut self, generation: u64) -> Option<Outcome> {
        let is_needed = self.settings.preload
            && !self.fleet.is_ending()
            && self.fleet.newest() == generation
            && !self.nursery.loaders.iter().any(|loader| loader.takes_orders(generation));
        if !is_needed {
            return None;
        }
        match self.start_loader(generation, Vec::new()) {
            Ok(Spawned::There(outcome)) => Some(outcome),
            Ok(Spawned::Here) => None,
            Err(error) => {
                // The next worker that is wanted has it tried again.
                log::error!("{error}");
                None
            }
        }
    }

    fn order_worker(&mut self, loader: i32, number: usize) -> Result<(), Error> {
        let system = |error| Error::System("cannot have a worker forked", error);
        let Some(found) = self.nursery.loaders.iter().find(|other| other.pid == loader) else {
            return Ok(());
        };
        let slot = self.board.slot(number);
        slot.clear();
        let (channel, theirs) = Channel::pair().map_err(system)?;
        let wanted = Wanted { number, siblings: self.fleet.wanted() > 1 };
        let sockets = self.sockets.iter().map(AsFd::as_fd);
        let descriptors: Vec<_> = [theirs.as_fd()].into_iter().chain(sockets).collect();
        order::send(found.line.stream(), wanted, &descriptors).map_err(system)?;
        let memory_kills = self.cgroup.memory_kills();
        let unwanted = None;
        let expected = Expected { loader, channel, slot, memory_kills, unwanted };
        self.nursery.expected.insert(number, expected);
        Ok(())
    }

    /// Hears what those say that are being born.
    pub(super) fn attend_births(&mut self) {
        let numbers: Vec<usize> = self.nursery.expected.keys().copied().collect();
        for number in numbers {
            let Some(expected) = self.nursery.expected.get_mut(&number) else { continue };
            let mut reports = expected.channel.take().into_iter();
            match reports.next() {
                Some(Report::Born { pid }) => {
                    self.born(number, pid);
                    for report in reports {
                        self.reported(number, report);
                    }
                }
                Some(Report::Failed { why }) => self.stillborn(number, &why),
                Some(_) | None if expected.channel.is_ended() => {
                    self.stillborn(number, "it was gone before it could say a word");
                }
                Some(_) | None => {}
            }
        }
    }

    fn born(&mut self, number: usize, pid: i32) {
        let Some(expected) = self.nursery.expected.remove(&number) else { return };
        let Expected { loader, channel, slot, memory_kills, unwanted } = expected;
        log::debug!("worker {number} (pid {pid}) boots, forked by the loader (pid {loader})");
        let process = Process::new(number, pid, channel, slot, memory_kills);
        self.processes.insert(number, process.forked_by(loader));
        if let Some((why, _)) = unwanted {
            self.kill(number, why);
        }
    }

    fn stillborn(&mut self, number: usize, why: &str) {
        let Some(expected) = self.nursery.expected.remove(&number) else { return };
        expected.slot.stand(Standing::Vacant);
        let why = expected.unwanted.map_or(why, |(why, _)| why);
        if !self.fleet.is_ending() && !self.fleet.is_starting() && !self.fleet.is_trial(number) {
            log::error!("worker {number} failed: {why}");
        }
        self.lost(number, why);
    }

    /// Hears what the loaders say.
    pub(super) fn attend_loaders(&mut self) {
        self.attend_births();
        let loaders: Vec<i32> = self.nursery.loaders.iter().map(|loader| loader.pid).collect();
        for pid in loaders {
            self.attend_loader(pid);
        }
        self.nursery.retire(&self.fleet, Instant::now());
    }

    fn attend_loader(&mut self, pid: i32) {
        let found = self.nursery.loaders.iter_mut().find(|loader| loader.pid == pid);
        for news in found.map(|loader| loader.line.take()).into_iter().flatten() {
            let found = self.nursery.loaders.iter_mut().find(|loader| loader.pid == pid);
            match (news, found) {
                (News::Failed { why }, Some(loader)) => {
                    loader.failure.get_or_insert(why);
                }
                (News::Loaded, Some(loader)) if loader.kill_at.is_none() => {
                    let state = std::mem::replace(&mut loader.state, State::Loaded);
                    let State::Loading(waiting) = state else { continue };
                    log::debug!("the loader (pid {pid}) has loaded the application");
                    for number in waiting {
                        if let Err(error) = self.order_worker(pid, number) {
                            self.not_spawned(number, &error);
                        }
                    }
                }
                (News::Ended { pid, cause }, _) => {
                    if let Some(number) = self.number_of(pid) {
                        self.died(number, cause);
                    }
                }
                (News::Loaded, _) | (News::Failed { .. }, None) => {}
            }
        }
    }

    /// A process has ended. Says whether it was a loader.
    pub(super) fn loader_died(&mut self, pid: i32, cause: Cause) -> bool {
        if !self.nursery.loaders.iter().any(|loader| loader.pid == pid) {
            return false;
        }
        // What it said last, and what its workers did.
        self.attend_loader(pid);
        self.attend_births();
        let Some(index) = self.nursery.loaders.iter().position(|loader| loader.pid == pid) else {
            return true;
        };
        let Loader { generation, state, failure, kill_at, .. } = self.nursery.loaders.remove(index);
        log::debug!("the loader (pid {pid}) {cause}");
        match state {
            State::Loading(waiting) => {
                let why = failure.unwrap_or_else(|| format!("the loader (pid {pid}) {cause}"));
                let is_unwanted = waiting.is_empty() && kill_at.is_some();
                let is_told = self.fleet.is_starting() || self.fleet.is_ending() || is_unwanted;
                if !is_told && !waiting.iter().any(|number| self.fleet.is_trial(*number)) {
                    log::error!("the application could not be loaded: {why}");
                }
                for number in waiting {
                    self.lost(number, &why);
                }
            }
            State::Loaded => {
                if !self.fleet.is_ending() && kill_at.is_none() {
                    log::error!(
                        "the loader (pid {pid}) {cause}: its workers go on serving, and another loads the application"
                    );
                    self.nursery.bereft = Some(generation);
                }
            }
            State::Retired => {}
        }
        true
    }

    /// Workers that nobody can tell of any more: whoever forked them is gone, and this process could not become their parent.
    pub(super) fn vanished(&self) -> Option<usize> {
        let is_orphan = |process: &&Process| {
            let known = |pid| self.nursery.loaders.iter().any(|loader| loader.pid == pid);
            process.loader.is_some_and(|pid| !known(pid))
        };
        let mut orphans = self.processes.values().filter(is_orphan);
        orphans.find(|process| !process.is_there()).map(|process| process.number)
    }
}

/// Has the kernel make this process the parent of those whose own is gone, so that it hears how they end. Elsewhere than on Linux it hears only that.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        log::debug!("cannot adopt the children of loaders: {error}");
    }
}
