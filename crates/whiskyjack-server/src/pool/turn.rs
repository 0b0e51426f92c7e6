//! What a thread does with a connection until it would wait, and with the application's calls on the way. Knows nothing of sockets
//! and readiness, but whom to give a connection to.

use super::Pool;
use crate::exchange::Application;
use crate::held::Fate;
use crate::http1::{Turn, Workspace};
use crate::reactor::lock;
use crate::slots::Taken;
use crate::sys::Spent;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Requests that one connection may have answered in a row while others wait.
const REQUESTS_IN_A_ROW: usize = 32;

/// A call that takes so long is worth waking a thread, that another one can run beside it. With shorter ones, threads would be in
/// each other's way: what they share costs more than the calls.
const WORTHY: Duration = Duration::from_micros(50);

/// A call that takes so long may have waited for something, and so long is worth having another thread lead meanwhile.
const LONG: Duration = Duration::from_micros(100);

/// A connection in the middle of a turn that has to go on in another place.
#[derive(Debug)]
pub(super) struct Hand {
    taken: Taken,
    /// whether the lead was given away for the call that comes next, where that was asked already
    gave_away: Option<bool>,
    /// requests that were answered in this turn
    answered: usize,
}

/// Where a thread is while it works on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// it may call the application
    Inside,
    /// it would have to enter it first
    Outside,
}

impl Pool {
    /// Works on a connection until it would wait. What is returned has to go on in the other place: outside, with a request for the
    /// application; inside, with its answer, where others wait to get in.
    // Every request comes by here: as a call of its own it would be a copy of the connection's place more.
    #[inline(always)]
    pub(super) fn turn(
        self: &Arc<Self>,
        me: usize,
        taken: Taken,
        application: &Arc<dyn Application>,
        workspace: &mut Workspace<'_>,
        place: Place,
    ) -> Option<Hand> {
        workspace.begin();
        workspace.found = taken.found;
        self.go_on(me, Hand { taken, gave_away: None, answered: 0 }, application, workspace, place)
    }

    /// Goes on with a turn.
    pub(super) fn go_on(
        self: &Arc<Self>,
        me: usize,
        hand: Hand,
        application: &Arc<dyn Application>,
        workspace: &mut Workspace<'_>,
        place: Place,
    ) -> Option<Hand> {
        let Hand { mut taken, mut gave_away, mut answered } = hand;
        loop {
            let expired = std::mem::take(&mut taken.expired);
            let connection = &mut taken.connection;
            let advanced = catch_unwind(AssertUnwindSafe(|| {
                if expired {
                    connection.expire(workspace);
                }
                connection.advance(workspace)
            }));
            // Nothing that a peer sends should panic; if it does, its connection ends and no other.
            let turn = advanced.unwrap_or(Turn::Close);
            match turn {
                Turn::Call if place == Place::Outside => {
                    // Nobody watches what is gathered out here.
                    taken.connection.release(workspace);
                    // Who takes the lead can poll while this thread waits to get in.
                    let gave_away = Some(self.should_give_away(workspace) && self.give_away(me));
                    return Some(Hand { taken, gave_away, answered });
                }
                Turn::Call if std::mem::take(&mut taken.waited) => {
                    if let Some(lost) = taken.connection.screen(workspace)
                        && let Some(line) = self.losses.count(lost, workspace.now)
                    {
                        log::warn!("{line}");
                    }
                }
                Turn::Call if taken.connection.is_offered() => {
                    taken.connection.release(workspace);
                    match self.invite(taken, application) {
                        None => return None,
                        Some(back) => taken = back,
                    }
                    taken.connection.decline(workspace);
                }
                Turn::Call if me == self.standby() => {
                    // The memory that it lends would stay with who takes the connection over.
                    taken.connection.settle(workspace);
                    self.hand_over(taken);
                    return None;
                }
                Turn::Call if answered == REQUESTS_IN_A_ROW => {
                    taken.connection.release(workspace);
                    taken.waited = true;
                    let mut duty = lock(&self.duty);
                    duty.calls.push_back(taken);
                    duty.look_around = true;
                    return None;
                }
                Turn::Call => {
                    let gave_away = match gave_away.take() {
                        Some(gave_away) => gave_away,
                        None => self.should_give_away(workspace) && self.give_away(me),
                    };
                    let is_abreast = self.abreast.load(Ordering::Relaxed) > 1;
                    if is_abreast {
                        self.calling.fetch_add(1, Ordering::Relaxed);
                    }
                    // Where calls are taken to wait, its answer leaves once the thread is out of the others' way.
                    let is_apart = gave_away || self.expects_waits();
                    if is_apart {
                        workspace.company = true;
                        self.members[me].apart.store(true, Ordering::SeqCst);
                    }
                    let spent =
                        if gave_away || !self.forecast.asks() { None } else { Spent::by_now() };
                    self.members[me].enter(true);
                    self.monitor.rouse();
                    if let Some(board) = &self.config.board {
                        board.began(me, taken.connection.head(), workspace.now);
                    }
                    taken.connection.call(&**application, workspace);
                    if let Some(board) = &self.config.board {
                        board.ended(me);
                    }
                    self.members[me].leave();
                    let is_well = !gave_away && self.leader.load(Ordering::Relaxed) == me;
                    if is_well {
                        self.judge(spent, workspace);
                    }
                    if is_abreast {
                        self.calling.fetch_sub(1, Ordering::Relaxed);
                    }
                    if is_apart {
                        self.members[me].apart.store(false, Ordering::SeqCst);
                        workspace.company = false;
                    }
                    answered += 1;
                    let now = Instant::now();
                    if is_well && !is_abreast {
                        self.monitor.is_well(now);
                    }
                    workspace.took = now.saturating_duration_since(workspace.now);
                    if workspace.took >= LONG {
                        self.forecast.was_long();
                    }
                    workspace.now = now;
                    workspace.found = now;
                    if is_apart {
                        return Some(Hand { taken, gave_away: None, answered });
                    }
                }
                Turn::Park(wanted, deadline) => {
                    taken.connection.settle(workspace);
                    match self.reactor.park(taken, wanted, deadline) {
                        Some(again) => taken = again,
                        None => return None,
                    }
                }
                Turn::Hold => {
                    workspace.company = false;
                    taken.connection.settle(workspace);
                    let is_leader = || self.leader.load(Ordering::SeqCst) == me;
                    match self.members[me].held.add(taken, workspace.now, is_leader) {
                        Fate::Held => {
                            workspace.is_now = answered > 0;
                            return None;
                        }
                        Fate::Due => {
                            self.let_go(me);
                            return None;
                        }
                        Fate::Refused(again) => taken = again,
                    }
                }
                Turn::Count(address) => {
                    if !self.reactor.count(&taken, address) {
                        log::debug!("closed a connection of {address}: it has enough");
                        self.close(taken);
                        return None;
                    }
                }
                Turn::Yield => {
                    taken.found = workspace.now;
                    let mut duty = lock(&self.duty);
                    duty.ready.push_back(taken);
                    duty.look_around = true;
                    if duty.leader != me {
                        drop(duty);
                        // No event may ever tell the leader of what is in the kernel already.
                        self.reactor.wake();
                    }
                    return None;
                }
                Turn::Close => {
                    self.close(taken);
                    return None;
                }
            }
        }
    }

    /// A call has ended, and its thread had the lead all the time: whether it should have given it away, if it was asked.
    fn judge(&self, spent: Option<Spent>, workspace: &Workspace<'_>) {
        let slept = spent.map_or(Duration::ZERO, Spent::slept);
        if slept >= LONG && slept * 4 >= workspace.now.elapsed() {
            self.forecast.waited();
            self.monitor.be_alert();
        } else {
            self.forecast.went_through();
        }
    }

    /// Whether another thread should lead during the call that comes next: because the call will wait, or because a processor is free
    /// for another call, and that is worth waking a thread for.
    fn should_give_away(&self, workspace: &Workspace<'_>) -> bool {
        let has_processor = || {
            let abreast = self.abreast.load(Ordering::Relaxed);
            abreast > 1 && self.calling.load(Ordering::Relaxed) + 1 < abreast
        };
        self.forecast.is_wait() || workspace.took >= WORTHY && has_processor()
    }
}
