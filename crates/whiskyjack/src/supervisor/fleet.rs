//! Which workers there should be: what to do next, given how far each has come and what time it is.
//! Knows no process: states and times come in, acts go out.
//!
//! A worker that is to go (it is of an older generation, or has a reason of its own) serves until another stands in its place: at no time do fewer
//! serve than should because something was asked for. Only deaths can make them fewer.
//!
//! ```text
//!              ready                    another stands in its place
//!  Booting ───────────▶ Serving ───────────────────────────────────▶ Draining
//!     │ fails, dies, takes too long   │ dies                             │ ends
//!     ▼                               ▼                                  ▼
//!  (gone; the next one comes after a pause that grows)                 (gone)
//! ```
//!
//! A reload first boots one worker, the trial, beside those that serve. Only when it is ready does its generation become the one that all should be of.

use crate::board::SLOTS;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What the fleet goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// how long a worker may take to become ready
    pub boot_timeout: Duration,
    /// how long one that drains may take until it is killed
    pub drain_timeout: Duration,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Booting,
    Serving,
    Draining,
    /// was told to end at once
    Dying,
}

/// One worker.
#[derive(Clone, Debug)]
struct Member {
    generation: u64,
    state: State,
    /// when it came into that state
    since: Instant,
    /// why another is to stand in its place
    leaving: Option<String>,
    /// it was killed already, and is not there to be told again
    killed: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// fork a worker with this number, of this generation
    Spawn {
        /// the lowest that is free
        number: usize,
        /// which code it loads
        generation: u64,
    },
    /// let it finish what it has
    Drain {
        /// which
        number: usize,
        /// why
        why: String,
    },
    /// end it now, whatever it does
    Kill {
        /// which
        number: usize,
        /// why
        why: &'static str,
    },
    /// a reload has come to its end: all serve the new code, or the reason why not
    Reloaded(Result<(), String>),
    /// all that were asked for serve, for the first time
    Up,
    /// nobody is left, as was asked
    Gone,
}

/// What the fleet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// none has served yet: the first failure is the end
    Start,
    Serve,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reload {
    /// a worker of the next generation boots
    Trial(Option<usize>),
    /// the others follow
    Roll,
}

/// The workers.
#[derive(Debug)]
pub struct Fleet {
    rules: Rules,
    wanted: usize,
    aim: Aim,
    generation: u64,
    reload: Option<Reload>,
    members: BTreeMap<usize, Member>,
    /// workers that failed or died young, one after the other
    failures: u32,
    /// when the last of them did
    failed: Option<Instant>,
}

/// A worker that has served so long was a good one.
const HEALTHY: Duration = Duration::from_secs(60);

/// The longest pause before a worker is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// So many workers in a row may fail while a reload rolls until it counts as failed.
const PATIENCE: u32 = 3;

impl Fleet {
    /// A fleet that should have so many workers, and has none.
    pub fn new(wanted: usize, rules: Rules) -> Fleet {
        Fleet {
            rules,
            wanted,
            aim: Aim::Start,
            generation: 1,
            reload: None,
            members: BTreeMap::new(),
            failures: 0,
            failed: None,
        }
    }

    /// How many there should be.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// How many serve.
    pub fn serving(&self) -> usize {
        self.count(|member| member.state == State::Serving)
    }

    /// Whether it serves, or means to.
    pub fn is_ending(&self) -> bool {
        self.aim == Aim::End
    }

    /// Whether none has served yet.
    pub fn is_starting(&self) -> bool {
        self.aim == Aim::Start
    }

    /// Whether a reload is under way.
    pub fn is_reloading(&self) -> bool {
        self.reload.is_some()
    }

    /// The generation that all should be of.
    pub fn newest(&self) -> u64 {
        self.generation
    }

    /// The generation of a worker.
    pub fn generation(&self, number: usize) -> Option<u64> {
        self.members.get(&number).map(|member| member.generation)
    }

    /// Whether the worker is the trial of a reload, so that its failure is the reload's.
    pub fn is_trial(&self, number: usize) -> bool {
        self.reload == Some(Reload::Trial(Some(number)))
    }

    fn count(&self, of: impl Fn(&Member) -> bool) -> usize {
        self.members.values().filter(|member| of(member)).count()
    }

    fn is_leaving(&self, member: &Member) -> bool {
        member.leaving.is_some() || member.generation < self.generation
    }

    /// There should be so many from now on.
    pub fn want(&mut self, workers: usize) {
        self.wanted = workers.min(SLOTS / 2);
    }

    /// What the rules are from now on.
    pub fn rule(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// All should be of new code. One that is under way already is begun again with code that is newer still.
    pub fn reload(&mut self) {
        if self.aim != Aim::Serve {
            return;
        }
        self.failures = 0;
        match self.reload {
            Some(Reload::Trial(Some(number))) => {
                if let Some(member) = self.members.get_mut(&number) {
                    // It may have loaded what is out of date by now. The next trial comes when it is gone.
                    member.leaving = Some("a newer reload was asked for".to_owned());
                }
            }
            Some(Reload::Trial(None) | Reload::Roll) | None => {
                self.reload = Some(Reload::Trial(None));
            }
        }
    }

    /// This one should be replaced, for a reason of its own.
    pub fn replace(&mut self, number: usize, why: String) -> bool {
        match self.members.get_mut(&number) {
            Some(member) if member.state == State::Serving && member.leaving.is_none() => {
                member.leaving = Some(why);
                true
            }
            _ => false,
        }
    }

    /// All should finish what they have; no other comes.
    pub fn end(&mut self) {
        self.aim = Aim::End;
        self.reload = None;
    }

    /// The worker serves.
    pub fn ready(&mut self, number: usize, now: Instant) {
        if let Some(member) = self.members.get_mut(&number)
            && member.state == State::Booting
            && !member.killed
        {
            (member.state, member.since) = (State::Serving, now);
            if self.reload == Some(Reload::Trial(Some(number))) {
                self.generation = member.generation;
                self.reload = Some(Reload::Roll);
            }
        }
    }

    /// It drains, without having been told to: somebody has signalled it.
    pub fn drains(&mut self, number: usize, now: Instant) {
        if let Some(member) = self.members.get_mut(&number)
            && member.state == State::Serving
        {
            (member.state, member.since) = (State::Draining, now);
        }
    }

    /// It is gone; `why` is what to tell where a reload fails by it. Returns how long it had served where its end was not asked for.
    pub fn gone(&mut self, number: usize, why: &str, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        let Some(member) = self.members.remove(&number) else { return acts };
        let age = now.saturating_duration_since(member.since);
        match member.state {
            State::Booting | State::Serving if member.killed => {}
            State::Serving if age >= HEALTHY => self.failures = 0,
            State::Booting | State::Serving => {
                self.failures += 1;
                self.failed = Some(now);
            }
            State::Draining | State::Dying => {}
        }
        match self.reload {
            Some(Reload::Trial(Some(trial))) if trial == number => {
                if member.leaving.is_none() {
                    self.reload = None;
                    // The others are as healthy as before.
                    self.failures = 0;
                    acts.push(Act::Reloaded(Err(why.to_owned())));
                } else {
                    self.reload = Some(Reload::Trial(None));
                }
            }
            Some(Reload::Roll) if self.failures >= PATIENCE => {
                self.reload = None;
                acts.push(Act::Reloaded(Err(format!("{PATIENCE} workers in a row failed: {why}"))));
            }
            _ => {}
        }
        acts
    }

    /// A worker that should have been could not be forked.
    pub fn stillborn(&mut self, number: usize, why: &str, now: Instant) -> Vec<Act> {
        self.gone(number, why, now)
    }

    /// When the next worker may come, after those that failed.
    fn next_spawn(&self) -> Option<Instant> {
        let failed = self.failed?;
        let pause = match self.failures {
            0 | 1 => return None,
            failures => Duration::from_millis(500)
                .saturating_mul(1 << (failures - 2).min(10))
                .min(LONGEST_PAUSE),
        };
        Some(failed + pause)
    }

    /// When to look again, though nothing has happened.
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        let timeouts = self.members.values().filter_map(|member| match member.state {
            State::Booting if !member.killed => Some(member.since + self.rules.boot_timeout),
            State::Draining if !member.killed => Some(member.since + self.rules.drain_timeout),
            _ => None,
        });
        timeouts.chain(self.next_spawn().filter(|at| *at > now)).min()
    }

    /// What to do now. What is said to be done counts as done.
    pub fn step(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        self.cut_off(now, &mut acts);
        if self.aim == Aim::End {
            self.step_to_the_end(now, &mut acts);
            return acts;
        }
        self.spawn(now, &mut acts);
        self.drain(now, &mut acts);
        if self.aim == Aim::Start && self.serving() >= self.wanted {
            self.aim = Aim::Serve;
            acts.push(Act::Up);
        }
        let is_rolled = self.reload == Some(Reload::Roll)
            && self.count(|member| {
                member.state == State::Serving && member.generation == self.generation
            }) >= self.wanted
            && self.count(|member| member.state == State::Serving && self.is_leaving(member)) == 0;
        if is_rolled {
            self.reload = None;
            acts.push(Act::Reloaded(Ok(())));
        }
        acts
    }

    /// Kills who takes too long.
    fn cut_off(&mut self, now: Instant, acts: &mut Vec<Act>) {
        for (&number, member) in &mut self.members {
            let why = match member.state {
                State::Booting if member.leaving.is_some() => "it loads code that is out of date",
                State::Booting if now >= member.since + self.rules.boot_timeout => {
                    "it did not become ready within the boot timeout"
                }
                State::Draining if now >= member.since + self.rules.drain_timeout => {
                    "it did not end within the graceful timeout"
                }
                _ => continue,
            };
            if !member.killed {
                // A boot that takes too long is a failure like any other, so that state stays.
                member.killed = member.state == State::Draining || member.leaving.is_some();
                if member.state == State::Booting && !member.killed {
                    // Told once: the process is gone at the next look.
                    member.since = now;
                }
                acts.push(Act::Kill { number, why });
            }
        }
    }

    fn step_to_the_end(&mut self, now: Instant, acts: &mut Vec<Act>) {
        for (&number, member) in &mut self.members {
            match member.state {
                State::Booting => {
                    (member.state, member.since) = (State::Dying, now);
                    acts.push(Act::Kill { number, why: "the server ends" });
                }
                State::Serving => {
                    (member.state, member.since) = (State::Draining, now);
                    acts.push(Act::Drain { number, why: "the server ends".to_owned() });
                }
                State::Draining | State::Dying => {}
            }
        }
        if self.members.is_empty() {
            acts.push(Act::Gone);
        }
    }

    fn spawn(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if let Some(Reload::Trial(None)) = self.reload
            && let Some(number) = self.add(self.generation + 1, now)
        {
            self.reload = Some(Reload::Trial(Some(number)));
            acts.push(Act::Spawn { number, generation: self.generation + 1 });
        }
        if self.next_spawn().is_some_and(|at| at > now) {
            return;
        }
        let trial = match self.reload {
            Some(Reload::Trial(trial)) => trial,
            _ => None,
        };
        let booting = self
            .members
            .iter()
            .filter(|(number, member)| member.state == State::Booting && Some(**number) != trial)
            .count();
        let missing = self.wanted.saturating_sub(self.serving() + booting);
        let staying =
            self.count(|member| member.state == State::Serving && !self.is_leaving(member));
        // One at a time comes for those that should go, so that a reload does not double the memory.
        let replacement = usize::from(missing == 0 && booting == 0 && staying < self.wanted);
        for _ in 0..missing + replacement {
            if let Some(number) = self.add(self.generation, now) {
                acts.push(Act::Spawn { number, generation: self.generation });
            }
        }
    }

    fn add(&mut self, generation: u64, now: Instant) -> Option<usize> {
        let number = (0..SLOTS).find(|number| !self.members.contains_key(number))?;
        let (state, leaving, killed) = (State::Booting, None, false);
        let member = Member { generation, state, since: now, leaving, killed };
        self.members.insert(number, member);
        Some(number)
    }

    /// Who should go goes as soon as there are enough without it: first those that are to be replaced, then the oldest.
    fn drain(&mut self, now: Instant, acts: &mut Vec<Act>) {
        let mut spare = self.serving().saturating_sub(self.wanted);
        if self.aim == Aim::Start {
            return;
        }
        while spare > 0 {
            spare -= 1;
            let serving = self.members.iter().filter(|(_, member)| member.state == State::Serving);
            let next = serving.min_by_key(|(_, member)| (!self.is_leaving(member), member.since));
            let Some((&number, member)) = next else { return };
            let why = match &member.leaving {
                Some(why) => why.clone(),
                None if self.is_leaving(member) => "a worker with newer code has its place".into(),
                None => "there should be fewer workers".to_owned(),
            };
            if let Some(member) = self.members.get_mut(&number) {
                (member.state, member.since) = (State::Draining, now);
            }
            acts.push(Act::Drain { number, why });
        }
    }
}

#[cfg(test)]
mod tests;
