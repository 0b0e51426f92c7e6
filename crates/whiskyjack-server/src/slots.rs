//! The places of connections: which are parked and for what, which a thread has in hand, and for whom they count.
//! Waits for nothing: the reactor tells what sockets said and what time it is.

use crate::deadlines::Deadlines;
use crate::http1::Connection;
use crate::transport::Interest as Wanted;
use mio::Token;
use mio::event::Event;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Where a connection is parked: its place and which of the place's tenants it is, so that a late event
/// for an earlier tenant finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(crate) fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.index as usize)
    }

    pub(crate) fn of(token: Token) -> Key {
        Key { index: (token.0 & 0xffff_ffff) as u32, generation: (token.0 >> 32) as u32 }
    }
}

/// A connection that a thread has in hand, with its place.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) key: Key,
    pub(crate) connection: Box<Connection>,
    /// its deadline has come
    pub(crate) expired: bool,
    /// when it was found to be able to go on
    pub(crate) found: Instant,
    /// its request has waited for a thread
    pub(crate) waited: bool,
}

/// All places, and what falls due at which of them.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    pub(crate) open: usize,
    /// how many of them each IP address has; empty where that is not limited
    addresses: HashMap<IpAddr, usize>,
    /// until when the polling thread waits at the most, while it does; `None` inside is for ever
    pub(crate) polls_until: Option<Option<Instant>>,
    pub(crate) deadlines: Deadlines<Key>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// the earliest entry among the deadlines, which may be earlier than what the connection waits for
    armed: Option<Instant>,
    /// the address that the tenant counts for
    counted: Option<IpAddr>,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    Nobody,
    /// A thread has it. What the socket said meanwhile is kept for when it comes back.
    Taken {
        readable: bool,
        writable: bool,
        ending: bool,
    },
    Parked {
        connection: Box<Connection>,
        wanted: Wanted,
        deadline: Option<Instant>,
    },
}

/// Deadlines of connections that have ended, which cost less to keep than to look for.
const STALE: usize = 1024;

impl Slots {
    /// Whether this address has as many connections as one may.
    pub(crate) fn is_full(&self, address: IpAddr, most: usize) -> bool {
        self.addresses.get(&address).is_some_and(|count| *count >= most)
    }

    pub(crate) fn insert(
        &mut self,
        connection: Box<Connection>,
        deadline: Option<Instant>,
        counted: Option<IpAddr>,
    ) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                armed: None,
                counted: None,
                holds: Holds::Nobody,
            });
            u32::try_from(self.slots.len() - 1).expect("fewer descriptors exist than u32 counts")
        });
        let slot = &mut self.slots[index as usize];
        let key = Key { index, generation: slot.generation };
        slot.armed = deadline;
        slot.holds = Holds::Parked { connection, wanted: Wanted::Read, deadline };
        self.open += 1;
        if let Some(address) = counted {
            self.note(key, address);
        }
        if let Some(at) = deadline {
            self.remember(at, key);
        }
        key
    }

    pub(crate) fn count(&mut self, key: Key, address: IpAddr, most: usize) -> bool {
        let has_room = !self.is_full(address, most);
        if has_room {
            self.note(key, address);
        }
        has_room
    }

    fn note(&mut self, key: Key, address: IpAddr) {
        if let Some(slot) = self.tenant(key) {
            slot.counted = Some(address);
            *self.addresses.entry(address).or_default() += 1;
        }
    }

    pub(crate) fn release(&mut self, key: Key) {
        if let Some(slot) = self.tenant(key) {
            slot.holds = Holds::Nobody;
            slot.armed = None;
            let counted = slot.counted.take();
            // 16 bits are enough to tell a late event, and leave the tokens above for the listeners.
            slot.generation = (slot.generation + 1) & 0xffff;
            self.free.push(key.index);
            self.open -= 1;
            if let Some(address) = counted
                && let Some(count) = self.addresses.get_mut(&address)
            {
                *count -= 1;
                if *count == 0 {
                    self.addresses.remove(&address);
                }
            }
        }
    }

    /// Takes every parked connection of which nothing has been asked that is not answered.
    pub(crate) fn take_idle(&mut self, now: Instant) -> Vec<Taken> {
        let mut idle = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Holds::Parked { connection, .. } = &slot.holds
                && connection.is_asked_nothing()
            {
                let key = Key {
                    index: u32::try_from(index).expect("places are numbered by u32"),
                    generation: slot.generation,
                };
                idle.extend(slot.take(key, now, true, false, false));
            }
        }
        idle
    }

    fn tenant(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    pub(crate) fn event(&mut self, key: Key, event: &Event, now: Instant, ready: &mut Vec<Taken>) {
        let ending = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || ending;
        let writable = event.is_writable() || event.is_error();
        let Some(slot) = self.tenant(key) else { return };
        ready.extend(slot.take(key, now, readable, writable, ending));
    }

    pub(crate) fn expire(&mut self, now: Instant, ready: &mut Vec<Taken>) {
        while let Some(key) = self.deadlines.pop(now) {
            let Some(slot) = self.tenant(key) else { continue };
            slot.armed = None;
            let Holds::Parked { deadline: Some(deadline), .. } = slot.holds else { continue };
            if deadline > now {
                slot.armed = Some(deadline);
                self.remember(deadline, key);
                continue;
            }
            let holds = Holds::Taken { readable: false, writable: false, ending: false };
            if let Holds::Parked { connection, .. } = std::mem::replace(&mut slot.holds, holds) {
                ready.push(Taken { key, connection, expired: true, found: now, waited: false });
            }
        }
    }

    /// Whether the deadline that comes next is one that a parked connection still has, so that it is worth waking for.
    pub(crate) fn is_next_held(&self) -> bool {
        let Some((at, key)) = self.deadlines.first() else { return true };
        let slot = self.slots.get(key.index as usize);
        slot.is_some_and(|slot| slot.generation == key.generation && slot.deadline() == Some(at))
    }

    /// Forgets deadlines that no connection has any more, until one comes next that is held.
    pub(crate) fn settle(&mut self) {
        while !self.is_next_held()
            && let Some((at, &key)) = self.deadlines.first()
        {
            self.deadlines.pop(at);
            let Some(slot) = self.tenant(key).filter(|slot| slot.armed == Some(at)) else {
                continue;
            };
            slot.armed = slot.deadline();
            if let Some(later) = slot.armed {
                self.remember(later, key);
            }
        }
    }

    pub(crate) fn park(
        &mut self,
        mut taken: Taken,
        wanted: Wanted,
        deadline: Option<Instant>,
    ) -> Option<Taken> {
        let Some(slot) = self.tenant(taken.key) else { return Some(taken) };
        if let Holds::Taken { readable, writable, ending } = &mut slot.holds {
            let is_ready = match wanted {
                Wanted::Read => std::mem::take(readable),
                Wanted::Write => std::mem::take(writable),
            };
            if is_ready {
                if wanted == Wanted::Read {
                    taken.connection.readable(*ending);
                }
                return Some(taken);
            }
            if *readable {
                taken.connection.readable(*ending);
            }
        }
        slot.holds = Holds::Parked { connection: taken.connection, wanted, deadline };
        if let Some(at) = deadline
            && slot.armed.is_none_or(|armed| armed > at)
        {
            slot.armed = Some(at);
            let key = taken.key;
            self.remember(at, key);
        }
        None
    }

    /// Notes a deadline. Those of connections that have ended stay among them until they fall due, unless they are too many:
    /// a flood of short connections must not cost more memory than it has connections open.
    fn remember(&mut self, at: Instant, key: Key) {
        self.deadlines.push(at, key);
        if self.deadlines.len() > 2 * self.open + STALE {
            let slots = &self.slots;
            self.deadlines.retain(|at, key| {
                slots
                    .get(key.index as usize)
                    .is_some_and(|slot| slot.generation == key.generation && slot.armed == Some(at))
            });
        }
    }
}

impl Slot {
    /// Until when its tenant is parked at the most.
    fn deadline(&self) -> Option<Instant> {
        match self.holds {
            Holds::Parked { deadline, .. } => deadline,
            Holds::Nobody | Holds::Taken { .. } => None,
        }
    }

    /// Notes what the socket said; takes the connection if that is what it waited for.
    fn take(
        &mut self,
        key: Key,
        now: Instant,
        readable: bool,
        writable: bool,
        ending: bool,
    ) -> Option<Taken> {
        match &mut self.holds {
            Holds::Nobody => None,
            Holds::Taken { readable: was_readable, writable: was_writable, ending: was_ending } => {
                *was_readable |= readable;
                *was_writable |= writable;
                *was_ending |= ending;
                None
            }
            Holds::Parked { connection, wanted, .. } => {
                if readable {
                    connection.readable(ending);
                }
                let waited_for = match wanted {
                    Wanted::Read => readable,
                    // A broken connection is found out by writing to it.
                    Wanted::Write => writable || ending,
                };
                if !waited_for {
                    return None;
                }
                let holds = Holds::Taken { readable: false, writable: false, ending: false };
                match std::mem::replace(&mut self.holds, holds) {
                    Holds::Parked { connection, .. } => {
                        Some(Taken { key, connection, expired: false, found: now, waited: false })
                    }
                    Holds::Nobody | Holds::Taken { .. } => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Address, Origin};
    use crate::transport::Transport;
    use socket2::{Domain, Socket, Type};
    use std::time::Duration;

    fn connection(until: Option<Instant>) -> Box<Connection> {
        let (ours, _) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("a pair");
        let (peer, local) = (Address::Unix(None), Address::Unix(None));
        let origin = Origin { peer, local, secure: false, claimed: false };
        Box::new(Connection::new(Transport::Unix(ours), origin, until))
    }

    #[test]
    fn deadlines_that_were_put_off_or_given_up_are_not_waited_for() {
        let mut slots = Slots::default();
        let start = Instant::now();
        let after = |seconds| Some(start + Duration::from_secs(seconds));
        let open = |slots: &mut Slots| slots.insert(connection(after(15)), after(15), None);
        let [parked, gone, in_hand] = [open(&mut slots), open(&mut slots), open(&mut slots)];
        assert!(slots.is_next_held());
        let take = |slots: &mut Slots, key: Key| {
            let slot = &mut slots.slots[key.index as usize];
            slot.take(key, start, true, false, false).expect("a connection that is parked")
        };
        let taken = take(&mut slots, parked);
        assert!(slots.park(taken, Wanted::Read, after(65)).is_none());
        slots.release(gone);
        let taken = take(&mut slots, in_hand);
        assert!(!slots.is_next_held());
        slots.settle();
        assert_eq!((slots.deadlines.next(), slots.deadlines.len()), (after(65), 1));
        assert!(slots.park(taken, Wanted::Read, after(20)).is_none());
        assert!(slots.is_next_held());
        let mut ready = Vec::new();
        for (now, due) in [(19, vec![]), (20, vec![in_hand]), (64, vec![]), (65, vec![parked])] {
            slots.expire(start + Duration::from_secs(now), &mut ready);
            assert_eq!(ready.drain(..).map(|taken| taken.key).collect::<Vec<_>>(), due, "{now} s");
        }
    }

    #[test]
    fn connections_that_came_and_went_leave_few_deadlines_and_those_that_stay_keep_theirs() {
        let mut slots = Slots::default();
        let hour = Some(Instant::now() + Duration::from_secs(3600));
        let open = |slots: &mut Slots| slots.insert(connection(hour), hour, None);
        let stays = open(&mut slots);
        for _ in 0..10_000 {
            let goes = open(&mut slots);
            slots.release(goes);
            assert!(slots.deadlines.len() < 2000);
        }
        let mut ready = Vec::new();
        slots.expire(Instant::now() + Duration::from_secs(3601), &mut ready);
        assert_eq!(ready.iter().map(|taken| taken.key).collect::<Vec<_>>(), [stays]);
    }
}
