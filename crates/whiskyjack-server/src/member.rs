//! One thread of the pool as the others see it: what it is inside of, and how it is woken. Knows not what it does.

use crate::call::Call;
use crate::held::Held;
use crate::sys::Watched;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// One thread as the others see it.
#[derive(Debug)]
pub(crate) struct Member {
    /// another one for each thread that there has been
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) thread: OnceLock<Thread>,
    pub(crate) watched: OnceLock<Watched>,
    /// what the application knows the thread by
    pub(crate) identity: OnceLock<u64>,
    pub(crate) call: Arc<Call>,
    /// whose responses it holds back
    pub(crate) held: Held,
    pub(crate) woken: AtomicBool,
    /// it is inside of a call of which whole answers are gathered, whether it leads or not
    pub(crate) apart: AtomicBool,
    /// what it is inside of: see [`Inside`]
    inside: AtomicU64,
}

/// What a thread is inside of that may hold it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// neither of the two
    Server,
    /// the application's way back in from a wait, which may itself be a wait (for the interpreter)
    Entry(u64),
    /// a call of the application, by a number that no other call of the thread has
    Call(u64),
}

impl Member {
    pub(crate) fn new(number: u64, name: String) -> Member {
        Member {
            number,
            name,
            thread: OnceLock::new(),
            watched: OnceLock::new(),
            identity: OnceLock::new(),
            call: Arc::default(),
            held: Held::default(),
            woken: AtomicBool::new(false),
            apart: AtomicBool::new(false),
            inside: AtomicU64::new(0),
        }
    }

    /// The calling thread becomes this one.
    pub(crate) fn settle(&self) {
        // Each is one thread's, so these are set once.
        let _ = self.thread.set(std::thread::current());
        let _ = self.watched.set(Watched::this_thread());
    }

    /// It calls the application, which knows it by `identity`.
    pub(crate) fn enrol(&self, identity: u64) {
        let _ = self.identity.set(identity);
        self.call.settle();
    }

    pub(crate) fn sleep(&self) {
        while !self.woken.load(Ordering::Acquire) {
            std::thread::park();
        }
    }

    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    // Bit 0: inside of something; bit 1: it is a call; above: a number that changes with each.
    pub(crate) fn enter(&self, call: bool) {
        let number = (self.inside.load(Ordering::Relaxed) >> 2) + 1;
        // Ordered before the look at whether the monitor sleeps, as the monitor orders its two.
        self.inside.store(number << 2 | u64::from(call) << 1 | 1, Ordering::SeqCst);
    }

    pub(crate) fn leave(&self) {
        let number = self.inside.load(Ordering::Relaxed) >> 2;
        self.inside.store(number << 2, Ordering::Release);
    }

    pub(crate) fn inside(&self) -> Inside {
        let value = self.inside.load(Ordering::SeqCst);
        match value & 3 {
            3 => Inside::Call(value >> 2),
            1 => Inside::Entry(value >> 2),
            _ => Inside::Server,
        }
    }
}
