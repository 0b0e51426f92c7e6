//! Threads for calls that may take a connection over, one for each: they last for hours, and the pool has its threads for those that do not.
//! Knows not what the application does with the connection.

use crate::exchange::Application;
use crate::http1::{Turn, Workspace};
use crate::member::{Inside, Member};
use crate::pool::Pool;
use crate::reactor::lock;
use crate::server::STACK;
use crate::slots::Taken;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// The threads that there are now.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    /// Held for a few lines.
    here: Mutex<Vec<Arc<Member>>>,
    /// of those, and of some that have gone. Held for a few lines.
    handles: Mutex<Vec<(Arc<Member>, JoinHandle<()>)>>,
    /// how many there have been
    count: AtomicU64,
    /// connections that were taken over have been ended
    is_over: AtomicBool,
}

impl Guests {
    pub(crate) fn here(&self) -> Vec<Arc<Member>> {
        lock(&self.here).clone()
    }

    /// Whether one of them has a call that others look after.
    pub(crate) fn is_inside(&self) -> bool {
        let here = lock(&self.here);
        here.iter()
            .any(|guest| matches!(guest.inside(), Inside::Call(_)) && !guest.call.is_handed_over())
    }

    /// Ends the connections that were taken over, so that their calls come to an end. True if there were some, the first time.
    pub(crate) fn cut_off(&self) -> bool {
        let mut any = false;
        for guest in self.here() {
            any |= guest.call.cut_off();
        }
        !self.is_over.swap(true, Ordering::Relaxed) && any
    }

    /// The threads, for who waits for their end.
    pub(crate) fn take_handles(&self) -> Vec<(Arc<Member>, JoinHandle<()>)> {
        std::mem::take(&mut *lock(&self.handles))
    }

    fn leave(&self, guest: &Arc<Member>) {
        lock(&self.here).retain(|one| !Arc::ptr_eq(one, guest));
    }
}

/// Has a guest leave however its life ends.
struct Leaving<'a> {
    pool: &'a Pool,
    guest: &'a Arc<Member>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.pool.guests.leave(self.guest);
    }
}

impl Pool {
    /// Gives a connection whose request may take it over to a thread of its own. Given back if there are too many of them.
    pub(crate) fn invite(
        self: &Arc<Self>,
        taken: Taken,
        application: &Arc<dyn Application>,
    ) -> Option<Taken> {
        let guests = &self.guests;
        let number = guests.count.fetch_add(1, Ordering::Relaxed);
        let guest = Arc::new(Member::new(
            self.members.len() as u64 + number,
            format!("websocket-{number}"),
        ));
        {
            let mut here = lock(&guests.here);
            if here.len() >= self.config.websockets {
                return Some(taken);
            }
            here.push(Arc::clone(&guest));
        }
        // Shared, to have it back where there is no thread.
        let luggage = Arc::new(Mutex::new(Some(taken)));
        let (pool, application) = (Arc::clone(self), Arc::clone(application));
        let (carried, own) = (Arc::clone(&luggage), Arc::clone(&guest));
        let life = move || {
            let _leaving = Leaving { pool: &pool, guest: &own };
            application.thread(&mut || {
                let taken = lock(&carried).take();
                if let Some(taken) = taken {
                    pool.host(&own, taken, &*application);
                }
            });
        };
        match Builder::new().name(guest.name.clone()).stack_size(STACK).spawn(life) {
            Ok(handle) => {
                let mut handles = lock(&guests.handles);
                handles.retain(|(_, handle)| !handle.is_finished());
                handles.push((guest, handle));
                None
            }
            Err(error) => {
                log::error!("cannot start a thread for a WebSocket: {error}");
                guests.leave(&guest);
                lock(&luggage).take()
            }
        }
    }

    /// A thread's whole life: one call, and what is to be done for its connection at once.
    fn host(&self, me: &Arc<Member>, mut taken: Taken, application: &dyn Application) {
        me.settle();
        me.enrol(application.identity());
        let watched = || false;
        let mut workspace = Workspace::new(self.common(), &me.call, &watched);
        workspace.begin();
        workspace.found = taken.found;
        me.enter(true);
        self.monitor.rouse();
        taken.connection.call(application, &mut workspace);
        me.leave();
        loop {
            workspace.now = Instant::now();
            workspace.found = workspace.now;
            let connection = &mut taken.connection;
            let advanced = catch_unwind(AssertUnwindSafe(|| connection.advance(&mut workspace)));
            match advanced.unwrap_or(Turn::Close) {
                Turn::Park(wanted, deadline) => {
                    taken.connection.settle(&mut workspace);
                    match self.reactor.park(taken, wanted, deadline) {
                        Some(again) => taken = again,
                        None => return,
                    }
                }
                // What comes next is the pool's.
                Turn::Call | Turn::Yield | Turn::Hold => return self.give_back(taken),
                Turn::Close | Turn::Count(_) => return self.close(taken),
            }
        }
    }
}
