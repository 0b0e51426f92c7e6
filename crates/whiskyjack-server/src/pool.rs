//! The threads. One leads: it polls, and calls the application itself. The others follow when it is held up there.
//!
//! Who leads changes in three ways, all under one lock:
//! - a thread that comes back from the application finds the leader inside it, and leads from there on;
//! - the monitor finds the leader held up inside the application, and promotes a thread that sleeps;
//! - the standby thread, which never calls the application and leads only when every other thread is inside it, hands over to one
//!   that sleeps when there is a request for it; and where none ever sleeps, to one that comes back.

mod turn;

use self::turn::{Hand, Place};
use crate::config::Config;
use crate::exchange::Application;
use crate::forecast::Forecast;
use crate::guests::Guests;
use crate::held::is_worth_holding;
use crate::http1::{Common, Stages, Workspace};
use crate::lost::Losses;
use crate::member::{Inside, Member};
use crate::monitor::Monitor;
use crate::reactor::{Reactor, lock};
use crate::slots::Taken;
use crate::succession::Succession;
use crate::witness::{Witness, thread_name};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Everything that the threads of one server share.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) config: Config,
    pub(crate) reactor: Reactor,
    /// application threads, and the standby as the last
    pub(crate) members: Vec<Arc<Member>>,
    /// threads beside these, for who may take a connection over
    pub(crate) guests: Guests,
    pub(crate) monitor: Monitor,
    /// `Duty::leader`, for who needs no more than to know it
    leader: AtomicUsize,
    pub(crate) witness: Witness,
    pub(crate) losses: Losses,
    /// calls that went past their deadline
    pub(crate) expired: AtomicU64,
    /// of them, those that have not come back, at the last look
    pub(crate) stuck: AtomicUsize,
    forecast: Forecast,
    succession: Succession,
    /// how many calls can run at the same time: 1 where an interpreter's lock lets only one
    abreast: AtomicUsize,
    /// calls under way, where there can be more than one
    calling: AtomicUsize,
    /// Who does what. Held for a few lines, never while waiting.
    duty: Mutex<Duty>,
    stage: Mutex<Stage>,
    stage_changed: Condvar,
    /// every response is its connection's last
    closing: AtomicBool,
    draining: AtomicBool,
    over: AtomicBool,
}

#[derive(Debug)]
struct Duty {
    leader: usize,
    /// sleeping threads, the one that fell asleep last on top, so that no more are used than the load needs
    asleep: Vec<usize>,
    /// connections that can go on
    ready: VecDeque<Taken>,
    /// connections whose request waits for a thread that may call the application
    calls: VecDeque<Taken>,
    /// a connection could go on for ever: the others' turn is to be looked for before it goes on
    look_around: bool,
    /// requests that others took from the standby since it leads
    supplied: u32,
}

/// How far a server's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Serving,
    /// takes nothing new, and ends at the latest at the instant
    Draining(Instant),
    /// nothing is under way any more
    Drained,
    /// so many connections were cut off
    Cut(usize),
}

enum Duties {
    /// a connection; `company` if others can go on behind it
    Turn {
        taken: Taken,
        company: bool,
    },
    Lead,
    Sleep,
    End,
}

/// So many requests in a row are taken from the standby before whoever takes them would rather lead. To wake it is dear, and most often
/// it soon finds a thread that sleeps.
const ENOUGH: u32 = 4;

/// How long calls may take to return whose connections were ended under them.
const LEAVE: Duration = Duration::from_secs(2);

impl Pool {
    pub(crate) fn new(config: Config, reactor: Reactor) -> Pool {
        let threads = config.threads.max(1);
        Pool {
            config,
            reactor,
            members: (0..=threads)
                .map(|number| Arc::new(Member::new(number as u64, thread_name(number))))
                .collect(),
            guests: Guests::default(),
            monitor: Monitor::new(),
            leader: AtomicUsize::new(0),
            witness: Witness::default(),
            losses: Losses::default(),
            expired: AtomicU64::new(0),
            stuck: AtomicUsize::new(0),
            forecast: Forecast::default(),
            abreast: AtomicUsize::new(1),
            calling: AtomicUsize::new(0),
            succession: Succession::default(),
            duty: Mutex::new(Duty {
                leader: 0,
                asleep: Vec::new(),
                ready: VecDeque::new(),
                calls: VecDeque::new(),
                look_around: false,
                supplied: 0,
            }),
            stage: Mutex::new(Stage::Serving),
            stage_changed: Condvar::new(),
            closing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    /// Lets so many calls run at the same time. To be told before the first one.
    pub(crate) fn run_abreast(&self, calls: usize) {
        self.abreast.store(calls.max(1), Ordering::Relaxed);
    }

    fn standby(&self) -> usize {
        self.members.len() - 1
    }

    /// A thread's whole life, from the pool's start to its end.
    pub(crate) fn live(self: &Arc<Self>, me: usize, shared: &Arc<dyn Application>) {
        let (member, application) = (&*self.members[me], &**shared);
        member.settle();
        if me != self.standby() {
            member.enrol(application.identity());
        }
        // The monitor watches nobody but the leader, and whoever takes its place sees to what it has gathered.
        // Whoever gathers without leading it watches as well, while it is awake.
        let watched = || {
            self.leader.load(Ordering::SeqCst) == me
                || member.apart.load(Ordering::SeqCst) && !self.monitor.is_asleep()
        };
        let mut workspace = Workspace::new(self.common(), &member.call, &watched);
        let mut ready = Vec::new();
        let mut hand = None;
        loop {
            if let Some(begun) = hand.take() {
                // To get in may have taken long.
                workspace.now = Instant::now();
                hand = self.go_on(me, begun, shared, &mut workspace, Place::Inside);
            }
            if hand.is_some() || self.expects_waits() && me != self.standby() {
                let mut over = false;
                self.outside(me, application, &mut || {
                    over = self.serve_outside(me, shared, &mut workspace, &mut ready, &mut hand);
                });
                if over {
                    return;
                }
                continue;
            }
            let duties = self.next(me);
            workspace.is_now &= matches!(duties, Duties::Turn { .. });
            match duties {
                Duties::Turn { taken, company } => {
                    let waited = workspace.now.saturating_duration_since(taken.found);
                    workspace.company = company && is_worth_holding(workspace.took, waited);
                    hand = self.turn(me, taken, shared, &mut workspace, Place::Inside);
                }
                Duties::Lead => {
                    self.let_go(me);
                    self.outside(me, application, &mut || self.lead(me, &mut ready));
                }
                Duties::Sleep => self.outside(me, application, &mut || {
                    member.sleep();
                    // Who is woken to lead polls at once: to enter the application first would only be in the way.
                    if self.has_nothing_ready(me) {
                        self.lead(me, &mut ready);
                    }
                }),
                Duties::End => {
                    self.let_go(me);
                    return;
                }
            }
        }
    }

    /// Does what there is to do outside the application, up to one wait and to a request that is ready for a call, which is then in
    /// `hand`. Where applications wait, threads crowd at the interpreter's door: whoever reads, parses and writes before it
    /// keeps nobody out. True at the end of the thread's life.
    fn serve_outside(
        self: &Arc<Self>,
        me: usize,
        application: &Arc<dyn Application>,
        workspace: &mut Workspace<'_>,
        ready: &mut Vec<Taken>,
        hand: &mut Option<Hand>,
    ) -> bool {
        workspace.company = false;
        let mut has_waited = false;
        if let Some(begun) = hand.take() {
            *hand = self.go_on(me, begun, application, workspace, Place::Outside);
        }
        while hand.is_none() {
            let taken = match has_waited {
                true => match self.next_ready(me) {
                    Some(taken) => taken,
                    None => return false,
                },
                false => match self.next(me) {
                    Duties::Turn { taken, .. } => taken,
                    Duties::Lead => {
                        self.let_go(me);
                        self.lead(me, ready);
                        has_waited = true;
                        continue;
                    }
                    Duties::Sleep => {
                        self.members[me].sleep();
                        if self.has_nothing_ready(me) {
                            self.lead(me, ready);
                        }
                        has_waited = true;
                        continue;
                    }
                    Duties::End => {
                        self.let_go(me);
                        return true;
                    }
                },
            };
            workspace.is_now = false;
            *hand = self.turn(me, taken, application, workspace, Place::Outside);
        }
        false
    }

    /// A connection that the leader can go on with.
    fn next_ready(&self, me: usize) -> Option<Taken> {
        let mut duty = lock(&self.duty);
        if duty.leader == me { duty.ready.pop_front() } else { None }
    }

    #[inline(always)]
    fn next(&self, me: usize) -> Duties {
        if self.over.load(Ordering::Acquire) {
            return Duties::End;
        }
        let mut duty = lock(&self.duty);
        let calls_application = me != self.standby();
        if duty.leader != me && calls_application {
            // Whoever comes back from the application while the leader is inside it needs no monitor to
            // see that the leader is held up: under a GIL, only one of the two can be running.
            let stands_in = duty.leader == self.standby() && duty.supplied >= ENOUGH;
            if stands_in || matches!(self.members[duty.leader].inside(), Inside::Call(_)) {
                let before = self.replace(&mut duty, me);
                drop(duty);
                if stands_in {
                    // It polls, or is about to, and would keep this thread from it.
                    self.reactor.wake();
                }
                self.let_go(before);
                duty = lock(&self.duty);
            }
        }
        if duty.leader == me && duty.look_around {
            duty.look_around = false;
            return Duties::Lead;
        }
        // Who has been given another turn stands behind those who wait for their first.
        if duty.leader == me
            && let Some(taken) = duty.ready.pop_front()
        {
            let company = !duty.ready.is_empty() && calls_application;
            return Duties::Turn { taken, company };
        }
        if duty.leader == me && !self.members[me].held.is_empty() {
            drop(duty);
            self.let_go(me);
            return self.next(me);
        }
        if calls_application && let Some(taken) = duty.calls.pop_front() {
            duty.supplied += u32::from(duty.leader == self.standby());
            return Duties::Turn { taken, company: false };
        }
        if duty.leader == me {
            // The standby calls nothing, but says so to those who have waited in vain.
            if let Some(at) = self.patience_ends(&duty)
                && at <= Instant::now()
                && let Some(taken) = duty.calls.pop_front()
            {
                return Duties::Turn { taken, company: false };
            }
            return Duties::Lead;
        }
        duty.asleep.push(me);
        self.members[me].woken.store(false, Ordering::Relaxed);
        Duties::Sleep
    }

    /// When the request that has waited longest for a thread has waited too long.
    fn patience_ends(&self, duty: &Duty) -> Option<Instant> {
        let longest = self.config.queue_timeout?;
        Some(duty.calls.front()?.connection.waits_since()? + longest)
    }

    /// Whether a call is under way, or a thread on its way into the application.
    pub(crate) fn is_inside(&self) -> bool {
        let is_inside = |member: &Arc<Member>| member.inside() != Inside::Server;
        self.members.iter().any(is_inside) || self.guests.is_inside()
    }

    /// Runs something that may wait, outside the application.
    fn outside(&self, me: usize, application: &dyn Application, wait: &mut dyn FnMut()) {
        let member = &self.members[me];
        if me == self.standby() {
            wait();
            return;
        }
        application.wait(&mut || {
            wait();
            // Coming back may take as long as another thread keeps the interpreter.
            member.enter(false);
            self.monitor.rouse();
        });
        member.leave();
    }

    fn has_nothing_ready(&self, me: usize) -> bool {
        let duty = lock(&self.duty);
        duty.leader == me
            && duty.ready.is_empty()
            && duty.calls.is_empty()
            && !self.over.load(Ordering::Acquire)
    }

    /// Polls once, as the leader.
    fn lead(&self, me: usize, ready: &mut Vec<Taken>) {
        let (has_work, patience_ends) = {
            let duty = lock(&self.duty);
            let waits = me != self.standby() && !duty.calls.is_empty();
            (!duty.ready.is_empty() || waits, self.patience_ends(&duty))
        };
        let until = match *lock(&self.stage) {
            _ if has_work => Some(Instant::now()),
            Stage::Draining(until) => Some(patience_ends.map_or(until, |ends| ends.min(until))),
            _ => patience_ends,
        };
        let leads = || self.leader.load(Ordering::SeqCst) == me;
        if let Err(error) = self.reactor.poll(until, leads, ready) {
            log::error!("cannot wait for sockets: {error}");
            self.finish(Stage::Cut(self.reactor.open()));
        }
        let mut duty = lock(&self.duty);
        let is_for_another = duty.leader != me && !ready.is_empty();
        duty.ready.extend(ready.drain(..));
        drop(duty);
        if is_for_another {
            // Who leads by now may wait already for what will not come again.
            self.reactor.wake();
        }
        if self.draining.load(Ordering::Acquire) {
            self.drain_on();
        }
    }

    /// Sends what a thread holds back. It is the leader's to go on with the connections.
    fn let_go(&self, member: usize) {
        let taken = self.members[member].held.take();
        if !taken.is_empty() {
            lock(&self.duty).ready.extend(taken);
        }
    }

    /// What a thread's workspace shares with all others.
    pub(crate) fn common(&self) -> Common<'_> {
        let stages = Stages { closing: &self.closing, draining: &self.draining };
        Common { config: &self.config, stages, succession: &self.succession }
    }

    /// A connection that another thread had goes on in the pool.
    pub(crate) fn give_back(&self, taken: Taken) {
        lock(&self.duty).ready.push_back(taken);
        self.reactor.wake();
    }

    pub(crate) fn close(&self, taken: Taken) {
        self.reactor.close(taken);
        if self.draining.load(Ordering::Relaxed) {
            self.reactor.wake();
        }
    }

    /// The standby has a request in hand: an application thread that sleeps leads from here, or the request waits.
    fn hand_over(&self, mut taken: Taken) {
        taken.waited = true;
        let mut duty = lock(&self.duty);
        duty.calls.push_back(taken);
        if duty.leader != self.standby() {
            drop(duty);
            // Who has taken the lead meanwhile may wait for sockets already.
            self.reactor.wake();
        } else if let Some(place) = duty.asleep.iter().rposition(|&thread| thread != self.standby())
        {
            let thread = duty.asleep.remove(place);
            let before = self.replace(&mut duty, thread);
            drop(duty);
            self.let_go(before);
            self.members[thread].wake();
        }
    }

    /// The application will wait: a thread that sleeps leads from here on, and nobody has to find out.
    fn give_away(&self, me: usize) -> bool {
        if self.leader.load(Ordering::Relaxed) != me {
            return false;
        }
        let mut duty = lock(&self.duty);
        let place = duty.asleep.iter().rposition(|&thread| thread != self.standby());
        let Some(place) = place.filter(|_| duty.leader == me) else { return false };
        let thread = duty.asleep.remove(place);
        let before = self.replace(&mut duty, thread);
        drop(duty);
        self.let_go(before);
        self.members[thread].wake();
        true
    }

    /// Whether calls are taken to wait.
    pub(crate) fn expects_waits(&self) -> bool {
        self.forecast.is_sure()
    }

    /// The leader was found waiting inside the application.
    pub(crate) fn waited(&self) {
        self.forecast.waited();
    }

    /// The leader is held up: somebody who sleeps takes its place. `standby` asks for the thread that needs no interpreter.
    pub(crate) fn promote(&self, held_up: usize, inside: Inside, standby: bool) -> bool {
        let mut duty = lock(&self.duty);
        if duty.leader != held_up || self.members[held_up].inside() != inside {
            return false;
        }
        let application_thread =
            duty.asleep.iter().rposition(|&thread| thread != self.standby()).filter(|_| !standby);
        let place = application_thread
            .or_else(|| duty.asleep.iter().position(|&thread| thread == self.standby()));
        let Some(place) = place else { return false };
        let thread = duty.asleep.remove(place);
        let before = self.replace(&mut duty, thread);
        drop(duty);
        self.let_go(before);
        self.members[thread].wake();
        true
    }

    /// Has another thread lead. What the one before it holds back is to be let go, which it says.
    fn replace(&self, duty: &mut Duty, thread: usize) -> usize {
        let before = std::mem::replace(&mut duty.leader, thread);
        duty.supplied = 0;
        self.leader.store(thread, Ordering::SeqCst);
        self.members[before].call.gathering.send();
        before
    }

    /// The leader is held up: what it has gathered must not be.
    pub(crate) fn send_gathered(&self, held_up: usize) {
        self.members[held_up].call.gathering.send();
    }

    /// Sends what those have gathered who do so whether they lead or not.
    pub(crate) fn send_of_those_apart(&self) {
        for member in &self.members {
            if member.apart.load(Ordering::SeqCst) {
                member.call.gathering.send();
            }
        }
    }

    /// Whether anybody may gather without leading.
    pub(crate) fn is_anybody_apart(&self) -> bool {
        self.members.iter().any(|member| member.apart.load(Ordering::SeqCst))
    }

    /// Who leads now.
    pub(crate) fn leader(&self) -> usize {
        lock(&self.duty).leader
    }

    /// Whether a thread is inside a call of the application.
    pub(crate) fn is_inside_call(&self, member: usize) -> bool {
        matches!(self.members[member].inside(), Inside::Call(_))
    }

    /// Has the first thread look around: it sleeps, or it polls, or it does so before its next wait.
    pub(crate) fn nudge(&self) {
        let asleep = {
            let mut duty = lock(&self.duty);
            let place = duty.asleep.iter().position(|&thread| thread == 0);
            place.map(|place| duty.asleep.remove(place))
        };
        match asleep {
            Some(first) => self.members[first].wake(),
            None => self.reactor.wake(),
        }
    }

    /// Every response from here on is its connection's last; new connections are still taken.
    pub(crate) fn announce(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Takes nothing new from here on; the leader sees to the rest.
    pub(crate) fn drain(&self) {
        let mut stage = lock(&self.stage);
        if *stage == Stage::Serving {
            *stage = Stage::Draining(Instant::now() + self.config.graceful_timeout);
            self.announce();
            self.draining.store(true, Ordering::Release);
            drop(stage);
            self.reactor.wake();
        }
    }

    /// Ends everything now.
    pub(crate) fn stop(&self) {
        self.finish(Stage::Cut(self.reactor.open()));
    }

    /// What the leader does at each look around while the server drains.
    fn drain_on(&self) {
        self.reactor.close_listeners();
        let idle = self.reactor.take_idle();
        lock(&self.duty).ready.extend(idle);
        let stage = *lock(&self.stage);
        if self.reactor.open() == 0 {
            self.finish(Stage::Drained);
        } else if let Stage::Draining(until) = stage
            && Instant::now() >= until
        {
            if self.guests.cut_off() {
                // Their calls end now by themselves, and that is as good as any other end.
                *lock(&self.stage) = Stage::Draining(Instant::now() + LEAVE);
                return;
            }
            self.finish(Stage::Cut(self.reactor.open()));
        }
    }

    fn finish(&self, end: Stage) {
        let mut stage = lock(&self.stage);
        if !matches!(*stage, Stage::Drained | Stage::Cut(_)) {
            *stage = end;
        }
        drop(stage);
        self.over.store(true, Ordering::Release);
        self.guests.cut_off();
        self.stage_changed.notify_all();
        self.reactor.wake();
        self.monitor.end();
        if let Some(line) = self.losses.rest(Instant::now()) {
            log::warn!("{line}");
        }
        self.witness.end();
        for member in &self.members {
            member.wake();
        }
    }

    /// Waits for the end, and says which one it was.
    pub(crate) fn wait_for_end(&self) -> Stage {
        let mut stage = lock(&self.stage);
        while !matches!(*stage, Stage::Drained | Stage::Cut(_)) {
            stage =
                self.stage_changed.wait(stage).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *stage
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}
