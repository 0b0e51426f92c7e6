//! Lends an exchange to Python objects for one call, and revokes it.
//! The application may keep those objects for ever and use them from any thread: what they hold is a lease, and after
//! the call every use of it fails.
//!
//! Rules that keep this free of deadlocks, with the GIL and without it: no thread waits for the lock while it is
//! attached, none waits to be attached while it has the lock, and nothing under the lock runs Python code.

use crate::child::Birthplace;
use crate::error;
use crate::input::Intake;
use pyo3::prelude::*;
use std::io;
use std::mem;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use whiskyjack_proto::head::ResponseHead;
use whiskyjack_server::exchange::Exchange;

/// What is known of the response and the request's body while the application is at work.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// what start_response returns, while the application is at work
    pub(crate) write: Option<Py<PyAny>>,
    /// the head that start_response was given; its status is 0 before
    pub(crate) head: ResponseHead,
    /// body bytes that were read from the exchange and not yet by the application
    pub(crate) intake: Intake,
    /// the peer's fault that the application was told of
    pub(crate) fault: Option<io::Error>,
    /// the process that answers
    pub(crate) birthplace: Birthplace,
}

impl Draft {
    /// Whether start_response was called.
    pub(crate) fn is_started(&self) -> bool {
        self.head.status() != 0
    }

    /// Makes it ready for another request. The head's memory stays; thousands of idle connections with an input buffer
    /// each would be too much.
    pub(crate) fn clear(&mut self) {
        self.write = None;
        self.head.clear();
        self.intake = Intake::default();
        self.fault = None;
    }

    /// Makes it one of this process, whatever was forked since the last request.
    pub(crate) fn settle(&mut self) {
        self.birthplace = Birthplace::here();
    }
}

/// An exchange that may be lent at the moment.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// guards the exchange: one thread at a time
    loan: Mutex<Option<Loan>>,
}

#[derive(Debug)]
struct Loan {
    /// Valid while it stands here: `lend` takes it out before its borrow ends.
    exchange: Erased,
    draft: Box<Draft>,
}

struct Erased(NonNull<dyn Exchange>);

// SAFETY: an Exchange is Send, and the pointer is the only way to it while it is lent: whoever has it has it alone.
unsafe impl Send for Erased {}

impl std::fmt::Debug for Erased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange")
    }
}

impl Loan {
    fn parts(&mut self) -> (&mut dyn Exchange, &mut Draft) {
        // SAFETY: the loan stands in its lease's mutex, which the caller has locked. So the borrow that `lend` was given
        // has not ended (it ends after the loan was taken out under that lock) and nobody else uses it.
        (unsafe { self.exchange.0.as_mut() }, &mut self.draft)
    }
}

impl Lease {
    /// Runs `call` with the exchange lent, and gives the draft back when the exchange is revoked. Waits for whoever
    /// uses the exchange at that moment.
    pub(crate) fn lend<R>(
        &self,
        py: Python<'_>,
        exchange: &mut dyn Exchange,
        draft: Box<Draft>,
        call: impl FnOnce() -> R,
    ) -> (R, Option<Box<Draft>>) {
        let exchange: NonNull<dyn Exchange + '_> = NonNull::from(exchange);
        // SAFETY: only the lifetime changes. The pointer is used through `Loan::parts` alone, and `Revocation` takes the
        // loan out before this function ends, also by unwinding.
        let exchange = Erased(unsafe {
            mem::transmute::<NonNull<dyn Exchange + '_>, NonNull<dyn Exchange + 'static>>(exchange)
        });
        let revocation = Revocation { lease: self, py };
        *self.lock(py) = Some(Loan { exchange, draft });
        let result = call();
        let draft = revocation.lease.revoke(py);
        // There is nothing left for it to do.
        mem::forget(revocation);
        (result, draft)
    }

    /// Uses the exchange, attached to Python. `act` must neither wait nor run Python code.
    pub(crate) fn with<R>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut dyn Exchange, &mut Draft) -> R,
    ) -> PyResult<R> {
        let mut loan = self.lock(py);
        let (exchange, draft) = loan.as_mut().ok_or_else(error::finished)?.parts();
        Ok(act(exchange, draft))
    }

    /// Uses the exchange, detached from Python. `act` may wait.
    pub(crate) fn wait<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut dyn Exchange, &mut Draft) -> R + Send,
    ) -> PyResult<R> {
        let result = py.detach(|| {
            let mut loan = self.loan.lock().unwrap_or_else(PoisonError::into_inner);
            let (exchange, draft) = loan.as_mut()?.parts();
            Some(act(exchange, draft))
        });
        result.ok_or_else(error::finished)
    }

    fn revoke(&self, py: Python<'_>) -> Option<Box<Draft>> {
        self.lock(py).take().map(|loan| loan.draft)
    }

    /// Locks while attached: where the lock is taken, waits detached and tries again.
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Option<Loan>> {
        loop {
            match self.loan.try_lock() {
                Ok(loan) => return loan,
                // A panic of an exchange leaves it to its owner to see what it is worth.
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.loan.lock())),
            }
        }
    }
}

/// Revokes what was lent when it goes, however that comes.
struct Revocation<'a, 'py> {
    lease: &'a Lease,
    py: Python<'py>,
}

impl Drop for Revocation<'_, '_> {
    fn drop(&mut self) {
        self.lease.revoke(self.py);
    }
}
