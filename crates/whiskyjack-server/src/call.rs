//! A call of the application as other threads see it, and the right to answer its request: the thread inside the application has
//! it until the deadline, and the monitor takes it then. Knows no clock, and not who watches.
//!
//! ```text
//! Idle ─begin─▶ Asked ─────claim─────▶ Begun ───claim the last piece──▶ Given
//!   ▲             │                      │                                │
//!   │             └──────── expire ──────┴──────────── expire ────────────┤
//!   └──────────────────────── end ◀─────────────── Expired ◀──────────────┘
//! ```
//!
//! An application that takes its connection over (`hand_over`) leaves these for HandedOver, where no deadline reaches it.
//!
//! Whoever sends the first byte of a response has locked [`Call`] to do it, and the connection is not given up before the lock was
//! taken once more. So the two never answer both, and the monitor never writes to a descriptor that is another's by then.

use crate::config::Config;
use crate::exchange::Address;
use crate::gathering::Gathering;
use crate::reactor::lock;
use crate::transport::Transport;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use whiskyjack_proto::head::RequestHead;

/// The calls of one thread, one after the other.
#[derive(Debug)]
pub(crate) struct Call {
    /// Guards who may answer, and what the monitor needs to. Held for a few lines and one write, which does not wait.
    under: Mutex<Under>,
    /// answers to earlier requests of the connection, which others send if this call takes long
    pub(crate) gathering: Gathering,
    /// another number whenever a body's bytes move between the application and us, written by the calling thread alone
    moves: AtomicU64,
    /// body bytes of the response so far, written by the calling thread alone
    given: AtomicU64,
    /// the thread waits for the peer, which has deadlines of its own
    waits: AtomicBool,
}

#[derive(Debug)]
struct Under {
    stage: Stage,
    /// another one for each call
    number: u64,
    transport: Option<Arc<Transport>>,
    head: RequestHead,
    peer: Address,
    times: Times,
    limit: Option<Duration>,
    /// nothing that was made before waits for the socket
    is_clear: bool,
}

/// When a request went which step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// its head was whole
    pub(crate) begun: Instant,
    /// its call began
    pub(crate) called: Instant,
    /// of what lies between, waiting for a thread
    pub(crate) queued: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    /// nothing of the response has been sent
    Asked,
    /// some has, under this status
    Begun(u16),
    /// all of it was given to the connection
    Given(u16),
    /// the application has the connection
    HandedOver,
    Expired(Expired),
}

/// What the deadline did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// the request was answered with 504
    Answered,
    /// the connection was broken off: something else was on its way
    Aborted,
    /// nothing: the response was out already, and only the thread has not come back
    Late,
}

/// What is known of a request that its thread is late with.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: RequestHead,
    pub(crate) peer: Address,
    pub(crate) times: Times,
}

/// A call under way, as it stands at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) number: u64,
    pub(crate) called: Instant,
    pub(crate) limit: Option<Duration>,
    /// bytes have moved if it is another one than before
    pub(crate) moves: u64,
    pub(crate) waits: bool,
    pub(crate) expired: bool,
}

/// What came of the deadline, for the log and the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) what: Expired,
    /// the status that was sent; 0 for none
    pub(crate) status: u16,
    /// the body bytes of it
    pub(crate) bytes: u64,
}

thread_local! {
    /// the calls of this thread, if it is one of a server
    static OWN: RefCell<Option<Arc<Call>>> = const { RefCell::new(None) };
}

/// Gives the request that this thread answers `limit` from now on until its next piece, and after each. `None` is for ever.
/// False if the thread answers none.
pub fn set_limit(limit: Option<Duration>) -> bool {
    OWN.with_borrow(|own| own.as_ref().is_some_and(|call| call.set_limit(limit)))
}

impl Default for Call {
    fn default() -> Self {
        let now = Instant::now();
        Call {
            under: Mutex::new(Under {
                stage: Stage::Idle,
                number: 0,
                transport: None,
                head: RequestHead::default(),
                peer: Address::Unix(None),
                times: Times { begun: now, called: now, queued: Duration::ZERO },
                limit: None,
                is_clear: true,
            }),
            gathering: Gathering::default(),
            moves: AtomicU64::new(0),
            given: AtomicU64::new(0),
            waits: AtomicBool::new(false),
        }
    }
}

/// What the calling thread does.
impl Call {
    /// Makes these the calls of this thread.
    pub(crate) fn settle(self: &Arc<Self>) {
        OWN.set(Some(Arc::clone(self)));
    }

    /// A call begins. `is_clear`: nothing waits for the socket.
    pub(crate) fn begin(
        &self,
        transport: &Arc<Transport>,
        head: &RequestHead,
        peer: &Address,
        times: Times,
        is_clear: bool,
        config: &Config,
    ) {
        self.given.store(0, Ordering::Relaxed);
        let mut under = lock(&self.under);
        under.stage = Stage::Asked;
        under.number += 1;
        under.transport = Some(Arc::clone(transport));
        under.head.copy(head);
        under.peer.clone_from(peer);
        under.times = times;
        under.limit = config.timeout;
        under.is_clear = is_clear;
    }

    /// Takes the right to send the response, of which this is the first or the `last` piece. Fails if the deadline has it.
    pub(crate) fn claim(&self, status: u16, last: bool) -> io::Result<()> {
        let mut under = lock(&self.under);
        match under.stage {
            Stage::Expired(Expired::Answered | Expired::Aborted) => Err(expired()),
            Stage::Expired(Expired::Late) => Ok(()),
            Stage::HandedOver => Err(io::ErrorKind::NotConnected.into()),
            Stage::Idle | Stage::Asked | Stage::Begun(_) | Stage::Given(_) => {
                under.stage = if last { Stage::Given(status) } else { Stage::Begun(status) };
                Ok(())
            }
        }
    }

    /// Sends something ahead of the response. `send` says whether all of it has gone.
    pub(crate) fn ahead(&self, send: impl FnOnce() -> io::Result<bool>) -> io::Result<()> {
        let mut under = lock(&self.under);
        if let Stage::Expired(_) = under.stage {
            return Err(expired());
        }
        // Where it fails, nobody knows what the socket took.
        under.is_clear = false;
        under.is_clear = send()?;
        Ok(())
    }

    /// The application takes the connection over: nobody answers the request from here on. Fails if the deadline has it.
    pub(crate) fn hand_over(&self) -> io::Result<()> {
        let mut under = lock(&self.under);
        if let Stage::Expired(_) = under.stage {
            return Err(expired());
        }
        under.stage = Stage::HandedOver;
        Ok(())
    }

    /// Whether the application has the connection.
    pub(crate) fn is_handed_over(&self) -> bool {
        lock(&self.under).stage == Stage::HandedOver
    }

    /// Ends the connection if the application has it; false if not.
    pub(crate) fn cut_off(&self) -> bool {
        let under = lock(&self.under);
        let is_handed_over = under.stage == Stage::HandedOver;
        if is_handed_over && let Some(transport) = &under.transport {
            transport.shut_down();
        }
        is_handed_over
    }

    /// Something waits for the socket although the response was given.
    pub(crate) fn hold(&self) {
        lock(&self.under).is_clear = false;
    }

    /// Bytes of a body have moved; so many of the response have by now.
    pub(crate) fn moved(&self, given: u64) {
        self.given.store(given, Ordering::Relaxed);
        self.moved_in();
    }

    /// Bytes of the request's body have moved.
    pub(crate) fn moved_in(&self) {
        self.moves.store(self.moves.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Runs something that waits for the peer, whose time is not the application's.
    pub(crate) fn wait<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.waits.store(true, Ordering::Relaxed);
        let result = wait();
        self.moved_in();
        self.waits.store(false, Ordering::Relaxed);
        result
    }

    /// Whether the deadline has the right to answer.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(lock(&self.under).stage, Stage::Expired(Expired::Answered | Expired::Aborted))
    }

    /// The call is over, and its connection the calling thread's alone. Says what the deadline did meanwhile, and when the call began.
    pub(crate) fn end(&self) -> Option<(Expired, Instant)> {
        let mut under = lock(&self.under);
        let stage = std::mem::replace(&mut under.stage, Stage::Idle);
        let transport = under.transport.take();
        let called = under.times.called;
        drop(under);
        // It is not the last owner: the connection is.
        drop(transport);
        match stage {
            Stage::Expired(expired) => Some((expired, called)),
            Stage::Idle | Stage::Asked | Stage::Begun(_) | Stage::Given(_) | Stage::HandedOver => {
                None
            }
        }
    }

    fn set_limit(&self, limit: Option<Duration>) -> bool {
        let mut under = lock(&self.under);
        if under.stage == Stage::Idle {
            return false;
        }
        under.limit = limit;
        self.moved_in();
        true
    }
}

/// What the monitor does.
impl Call {
    /// The call under way, if there is one that may take too long.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let under = lock(&self.under);
        (!matches!(under.stage, Stage::Idle | Stage::HandedOver)).then(|| Progress {
            number: under.number,
            called: under.times.called,
            limit: under.limit,
            moves: self.moves.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            expired: matches!(under.stage, Stage::Expired(_)),
        })
    }

    /// What was asked for, if this call is still under way.
    pub(crate) fn asked(&self, number: u64) -> Option<Asked> {
        let under = lock(&self.under);
        (under.number == number && under.stage != Stage::Idle).then(|| Asked {
            head: under.head.clone(),
            peer: under.peer.clone(),
            times: under.times,
        })
    }

    /// Whether this call is still under way.
    pub(crate) fn is_under_way(&self, number: u64) -> bool {
        let under = lock(&self.under);
        under.number == number && under.stage != Stage::Idle
    }

    /// Ends the request of this call in the application's place: with the page that `page` makes where nothing has been sent, else
    /// with the end of its connection. `None` if the call has ended, expired already, or has moved bytes since it was seen.
    pub(crate) fn expire(
        &self,
        seen: Progress,
        page: impl FnOnce(&RequestHead) -> (Vec<u8>, u64),
    ) -> Option<(Expiry, Asked)> {
        let mut under = lock(&self.under);
        let stage = under.stage;
        if under.number != seen.number
            || under.limit != seen.limit
            || self.moves.load(Ordering::Relaxed) != seen.moves
            || matches!(stage, Stage::Idle | Stage::HandedOver | Stage::Expired(_))
        {
            return None;
        }
        let transport = under.transport.as_deref()?;
        let given = self.given.load(Ordering::Relaxed);
        let is_clear = under.is_clear && self.gathering.send();
        let (what, status, bytes) = match stage {
            Stage::Asked if is_clear => {
                let (page, bytes) = page(&under.head);
                // A socket that has room for nothing belongs to a peer that reads nothing.
                let is_sent = transport.write(&[IoSlice::new(&page)]);
                if is_sent.is_ok_and(|sent| sent == page.len())
                    && matches!(transport.flush(), Ok(true))
                {
                    transport.end_writing();
                    (Expired::Answered, 504, bytes)
                } else {
                    transport.break_off();
                    (Expired::Aborted, 0, 0)
                }
            }
            Stage::Given(status) if is_clear => (Expired::Late, status, given),
            Stage::Begun(status) | Stage::Given(status) => {
                transport.break_off();
                (Expired::Aborted, status, given)
            }
            Stage::Asked | Stage::Idle | Stage::HandedOver | Stage::Expired(_) => {
                transport.break_off();
                (Expired::Aborted, 0, 0)
            }
        };
        under.stage = Stage::Expired(what);
        let asked =
            Asked { head: under.head.clone(), peer: under.peer.clone(), times: under.times };
        Some((Expiry { what, status, bytes }, asked))
    }
}

/// What the application's thread gets when it comes to answer too late.
fn expired() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the request's deadline has passed")
}
