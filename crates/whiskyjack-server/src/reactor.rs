//! Parks connections until their socket is ready or their deadline has come, and accepts new ones.
//! One thread at a time polls; every other touches only the slots, for a few lines under their lock.

use crate::config::{Board, Config, ProxyProtocol, Share};
use crate::episode::{Episode, Recurring};
use crate::exchange::{Address, Origin};
use crate::http1::Connection;
use crate::listener::Listener;
use crate::slots::{Key, Slots, Taken};
use crate::transport::{Interest as Wanted, Transport};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Reactor {
    /// What the polling thread holds while it waits.
    poll: Mutex<Polling>,
    registry: Registry,
    waker: mio::Waker,
    /// at most so many are open
    connections: usize,
    /// at most so many of them from one IP address; 0 is any number
    per_address: usize,
    /// how long a new connection may take to send its first head
    head_timeout: Option<Duration>,
    /// the header that comes before it
    proxy: Option<ProxyProtocol>,
    /// a handshake of TLS comes before it too
    is_secured: bool,
    /// who tells whether the next connection of a shared queue is ours
    board: Option<Arc<dyn Board>>,
    /// Every connection's place, and the deadlines. Held for a few lines, never while waiting.
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Polling {
    poll: Poll,
    events: Events,
    listeners: Vec<Listening>,
    /// connections could not be accepted (too many, or no descriptors): try again then
    accept_again: Option<Instant>,
    /// since when a connection waits for somebody else to take it
    yielded: Option<Instant>,
    /// accepting fails
    trouble: Episode,
    /// somebody connects whose PROXY header would not be believed
    strangers: Recurring,
}

#[derive(Debug)]
struct Listening {
    listener: Listener,
    /// its queue may hold connections that no event will tell of again
    waiting: bool,
}

const LISTENERS: usize = 1 << 48;
const WAKER: Token = Token(usize::MAX);

/// Connections taken off one listener's queue at a time, so that those already open get their turn.
const ACCEPTS: usize = 64;

/// How long a connection is left to those who have less to do, before we look whether it still waits.
const POLITE: Duration = Duration::from_millis(1);

/// After so long without any event the deadlines are gone through for those that hold no more.
const SETTLE: Duration = Duration::from_secs(1);

/// How long accepting pauses when the system is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Reactor {
    pub(crate) fn new(listeners: Vec<Listener>, config: &Config) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = mio::Waker::new(&registry, WAKER)?;
        for (index, listener) in listeners.iter().enumerate() {
            let fd = listener.socket.as_raw_fd();
            registry.register(&mut SourceFd(&fd), Token(LISTENERS + index), Interest::READABLE)?;
        }
        // The queue may have filled before it was registered.
        let listeners =
            listeners.into_iter().map(|listener| Listening { listener, waiting: true }).collect();
        let events = Events::with_capacity(256);
        let polling = Polling {
            poll,
            events,
            listeners,
            accept_again: None,
            yielded: None,
            trouble: Episode::new(),
            strangers: Recurring::new(),
        };
        Ok(Reactor {
            poll: Mutex::new(polling),
            registry,
            waker,
            connections: config.connections.max(1),
            per_address: config.connections_per_address,
            head_timeout: config.head_timeout,
            proxy: config.proxy.clone(),
            is_secured: config.tls.is_some(),
            board: config.board.clone(),
            slots: Mutex::default(),
        })
    }

    /// Makes the polling thread look around.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake the polling thread: {error}");
        }
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.slots().open
    }

    /// Waits for readiness, deadlines and connections, and hands what can go on to `ready`. The only wait for sockets. Whoever does
    /// not lead any more by the time it is its turn has nothing to wait for; whoever takes the lead later wakes it.
    pub(crate) fn poll(
        &self,
        until: Option<Instant>,
        leads: impl FnOnce() -> bool,
        ready: &mut Vec<Taken>,
    ) -> io::Result<()> {
        let mut polling = lock(&self.poll);
        let polling = &mut *polling;
        if !leads() {
            return Ok(());
        }
        let now = Instant::now();
        let waiting = polling.listeners.iter().any(|listening| listening.waiting);
        // What was left to those who had less to do is ours as soon as we have done what we had: they may have slept since.
        if polling.yielded.is_some() && self.share() == Share::Take {
            polling.accept_again = None;
        }
        let accept_again = match polling.accept_again {
            Some(at) if waiting => Some(at),
            None if waiting && self.open() < self.connections && self.share() != Share::Leave => {
                Some(now)
            }
            _ => None,
        };
        let mut now = now;
        let polled = loop {
            let (next, settles) = {
                let mut slots = self.slots();
                let due = [slots.deadlines.next(), until, accept_again].into_iter().flatten().min();
                let settle = (!slots.is_next_held()).then(|| now + SETTLE);
                let settles = settle.filter(|settle| due.is_none_or(|due| *settle < due));
                let next = settles.or(due);
                slots.polls_until = Some(next);
                (next, settles.is_some())
            };
            let timeout = next.map(|at| at.saturating_duration_since(now));
            let polled = polling.poll.poll(&mut polling.events, timeout);
            now = Instant::now();
            if !(settles && polled.is_ok() && polling.events.is_empty()) {
                break polled;
            }
            // To find them out is too much for each time, and nothing beside being woken in vain for each of them.
            self.slots().settle();
        };
        let mut slots = self.slots();
        slots.polls_until = None;
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &polling.events {
            let token = event.token();
            if token == WAKER {
                continue;
            }
            // A connection's generation stays below this bit, see `Slots::open`.
            if token.0 >= LISTENERS && token.0 - LISTENERS < polling.listeners.len() {
                polling.listeners[token.0 - LISTENERS].waiting = true;
                continue;
            }
            slots.event(Key::of(token), event, now, ready);
        }
        slots.expire(now, ready);
        drop(slots);
        if polling.accept_again.is_none_or(|at| at <= now) {
            polling.accept_again = None;
            for index in 0..polling.listeners.len() {
                if polling.listeners[index].waiting {
                    self.accept(polling, index, now);
                }
            }
        }
        Ok(())
    }

    fn accept(&self, polling: &mut Polling, index: usize, now: Instant) {
        let listening = &mut polling.listeners[index];
        for _ in 0..ACCEPTS {
            if self.open() >= self.connections {
                // They wait in the system's queue until one of ours has ended.
                return;
            }
            match self.share() {
                Share::Take => {}
                Share::Yield(patience) => {
                    let since = *polling.yielded.get_or_insert(now);
                    if now < since + patience {
                        polling.accept_again = Some(now + POLITE);
                        return;
                    }
                }
                Share::Leave => return,
            }
            match listening.listener.accept() {
                Ok((transport, origin)) => {
                    polling.yielded = None;
                    if let Some(proxy) = &self.proxy
                        && !proxy.trusted.has(&origin)
                    {
                        if let Some(untold) = polling.strangers.happened(now) {
                            let peer = &origin.peer;
                            log::warn!(
                                "closed a connection of {peer:?}: it may not send a PROXY header, which every \
                                 connection must begin with ({untold} others since this was last said)"
                            );
                        }
                        continue;
                    }
                    let counted = match &origin.peer {
                        // A proxy's connections are its clients': each counts for its client once that is known.
                        Address::Inet(peer) if self.per_address > 0 && self.proxy.is_none() => {
                            Some(peer.ip().to_canonical())
                        }
                        Address::Inet(_) | Address::Unix(_) => None,
                    };
                    if counted
                        .is_some_and(|address| self.slots().is_full(address, self.per_address))
                    {
                        // Closed without a word: an answer would cost what the limit is to save.
                        log::debug!("closed a connection of {:?}: it has enough", origin.peer);
                        continue;
                    }
                    let fd = transport.fd();
                    let transport = match self.is_secured {
                        true => transport.securable(),
                        false => transport,
                    };
                    let (connection, deadline) = match &self.proxy {
                        Some(proxy) => {
                            let until = proxy.timeout.map(|timeout| now + timeout);
                            let versions = proxy.versions;
                            (Connection::proxied(transport, origin, versions, until), until)
                        }
                        None => {
                            let until = self.head_timeout.map(|timeout| now + timeout);
                            let connection = match self.is_secured {
                                true => Connection::securing(transport, origin, until),
                                false => Connection::new(transport, origin, until),
                            };
                            (connection, until)
                        }
                    };
                    if let Err(error) = self.watch(connection, fd, deadline, counted) {
                        log::error!("cannot watch a new connection: {error}");
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        listening.waiting = false;
                        polling.yielded = None;
                        // Whoever waited has been let in: one accept that works is no end of it.
                        if let Some(over) = polling.trouble.succeeded(now) {
                            log::warn!(
                                "connections are accepted again: accepting failed {} times in {:.1?}",
                                over.failures,
                                over.lasted
                            );
                        }
                        return;
                    }
                    // The peer gave up while it waited in the queue.
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted => {}
                    _ => {
                        if polling.trouble.failed(now) {
                            log::error!(
                                "cannot accept connections for now, those that are open go on: {error}"
                            );
                        }
                        polling.accept_again = Some(now + ACCEPT_PAUSE);
                        polling.yielded = None;
                        return;
                    }
                },
            }
        }
    }

    fn watch(
        &self,
        connection: Connection,
        fd: RawFd,
        deadline: Option<Instant>,
        counted: Option<IpAddr>,
    ) -> io::Result<()> {
        let key = self.slots().insert(Box::new(connection), deadline, counted);
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = self.registry.register(&mut SourceFd(&fd), key.token(), both);
        if registered.is_err() {
            self.slots().release(key);
        }
        if let Some(board) = &self.board {
            board.connections(self.open());
        }
        registered
    }

    /// Takes a connection that came from no listener.
    pub(crate) fn adopt(&self, transport: Transport, origin: Origin) -> io::Result<()> {
        let (fd, deadline) =
            (transport.fd(), self.head_timeout.map(|timeout| Instant::now() + timeout));
        self.watch(Connection::new(transport, origin, deadline), fd, deadline, None)
    }

    /// Whether the next connection of a queue is ours.
    fn share(&self) -> Share {
        self.board.as_ref().map_or(Share::Take, |board| board.share())
    }

    /// Takes what waits in the accept queues, unless somebody else will, and nothing more from now on.
    pub(crate) fn close_listeners(&self) {
        let mut polling = lock(&self.poll);
        let now = Instant::now();
        let is_left_to_others = self.board.as_ref().is_some_and(|board| board.has_heirs());
        for index in 0..polling.listeners.len() {
            polling.listeners[index].waiting = !is_left_to_others;
            // An heir may come while this goes on, and have the rest.
            while polling.listeners[index].waiting
                && self.open() < self.connections
                && self.share() != Share::Leave
            {
                let paused = polling.accept_again;
                self.accept(&mut polling, index, now);
                if polling.accept_again != paused {
                    break;
                }
            }
        }
        for listening in polling.listeners.drain(..) {
            let fd = listening.listener.socket.as_raw_fd();
            // It is closed in the next line, which ends the registration too.
            let _ = self.registry.deregister(&mut SourceFd(&fd));
        }
    }

    /// Counts a connection that a thread has in hand for an address that was not known before. False: the address has enough.
    pub(crate) fn count(&self, taken: &Taken, address: IpAddr) -> bool {
        self.slots().count(taken.key, address, self.per_address)
    }

    /// Gives a connection back until its socket is ready or the deadline has come. Returned at once if its
    /// socket became ready while it was in hand.
    pub(crate) fn park(
        &self,
        taken: Taken,
        wanted: Wanted,
        deadline: Option<Instant>,
    ) -> Option<Taken> {
        let mut slots = self.slots();
        let again = slots.park(taken, wanted, deadline);
        // Who polls has counted on a later deadline, or on none.
        let is_late = match (slots.polls_until, deadline) {
            (Some(Some(until)), Some(deadline)) => until > deadline,
            (Some(None), Some(_)) => true,
            (None, _) | (_, None) => false,
        };
        drop(slots);
        if again.is_none() && is_late {
            self.wake();
        }
        again
    }

    /// Ends a connection.
    pub(crate) fn close(&self, taken: Taken) {
        let key = taken.key;
        // The descriptor closes here, outside the lock; that ends its registration.
        drop(taken);
        let left = {
            let mut slots = self.slots();
            slots.release(key);
            slots.open
        };
        if let Some(board) = &self.board {
            board.connections(left);
        }
        if left + 1 == self.connections {
            // Accepting has paused: there is room for one more.
            self.wake();
        }
    }

    /// Takes every parked connection of which nothing has been asked that is not answered.
    pub(crate) fn take_idle(&self) -> Vec<Taken> {
        self.slots().take_idle(Instant::now())
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        lock(&self.slots)
    }
}

/// A thread that panicked while it held a lock of ours has left what the lock guards in order: nothing
/// under these locks calls out.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::config;
    use std::net::{TcpListener, TcpStream};
    use whiskyjack_proto::head::RequestHead;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Whose turn it is, as a test says.
    #[derive(Debug)]
    struct Turn(Mutex<Share>);

    impl Board for Turn {
        fn began(&self, _: usize, _: &RequestHead, _: Instant) {}
        fn ended(&self, _: usize) {}
        fn connections(&self, _: usize) {}
        fn share(&self) -> Share {
            *lock(&self.0)
        }
        fn has_heirs(&self) -> bool {
            false
        }
    }

    /// A reactor that has left a connection to others and would look at it again in an hour, and the connection.
    fn polite(turn: &Arc<Turn>) -> (Reactor, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let listener = Listener::new(listener.into()).expect("a listener");
        let board: Arc<dyn Board> = Arc::<Turn>::clone(turn);
        let config = Config { board: Some(board), ..config() };
        let reactor = Reactor::new(vec![listener], &config).expect("a reactor");
        look(&reactor);
        assert_eq!(reactor.open(), 0);
        lock(&reactor.poll).accept_again = Some(Instant::now() + HOUR);
        look(&reactor);
        assert_eq!(reactor.open(), 0);
        (reactor, client)
    }

    fn look(reactor: &Reactor) {
        reactor.poll(Some(Instant::now()), || true, &mut Vec::new()).expect("polled");
    }

    #[test]
    fn a_connection_that_was_left_to_others_is_taken_once_it_is_our_turn() {
        let turn = Arc::new(Turn(Mutex::new(Share::Yield(HOUR))));
        let (reactor, _client) = polite(&turn);
        *lock(&turn.0) = Share::Take;
        look(&reactor);
        assert_eq!(reactor.open(), 1);
    }

    #[test]
    fn an_heir_that_comes_late_has_what_is_left() {
        let turn = Arc::new(Turn(Mutex::new(Share::Yield(HOUR))));
        let (reactor, _client) = polite(&turn);
        *lock(&turn.0) = Share::Leave;
        reactor.close_listeners();
        assert_eq!(reactor.open(), 0);
    }

    #[test]
    fn a_pause_for_want_of_descriptors_ends_by_the_clock_alone() {
        let turn = Arc::new(Turn(Mutex::new(Share::Yield(HOUR))));
        let (reactor, _client) = polite(&turn);
        lock(&reactor.poll).yielded = None;
        *lock(&turn.0) = Share::Take;
        look(&reactor);
        assert_eq!(reactor.open(), 0);
    }
}
