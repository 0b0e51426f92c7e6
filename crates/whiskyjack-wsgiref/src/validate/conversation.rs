//! What has happened so far in one call of the application, as far as a rule asks for it.
//!
//! ```text
//! called -> (start_response) -> returned -> items -> over
//! ```
//! start_response may come anywhere before the first item.

use super::head::Head;
use super::rule::Rule;
use super::violation::{Breach, Journal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by the objects that one call has given out.
#[derive(Debug)]
pub(crate) struct Conversation {
    journal: Option<Arc<Journal>>,
    is_head: bool,
    // Guards the stage of the call; never held while Python is called.
    stage: Mutex<Stage>,
}

#[derive(Debug, Default)]
struct Stage {
    head: Option<Head>,
    /// bytes of the body
    given: u64,
    returned: bool,
    /// start_response has raised exc_info
    raised: bool,
    over: bool,
}

impl Conversation {
    pub(crate) fn new(journal: Option<Arc<Journal>>, is_head: bool) -> Conversation {
        Conversation { journal, is_head, stage: Mutex::default() }
    }

    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a head. The error is a second one that no exception calls for.
    pub(crate) fn start(&self, head: Head, has_exception: bool) -> Result<(), Breach> {
        let mut stage = self.stage();
        if stage.head.is_some() && !has_exception {
            return Err(Breach::new(
                Rule::StartTwice,
                "start_response was called again without an exception in exc_info",
            ));
        }
        stage.head = Some(head);
        Ok(())
    }

    /// Whether a part of the body is on its way, so that the head can't be changed any more.
    pub(crate) fn is_sent(&self) -> bool {
        self.stage().given > 0
    }

    pub(crate) fn note_raised(&self) {
        self.stage().raised = true;
    }

    pub(crate) fn note_returned(&self) {
        self.stage().returned = true;
    }

    pub(crate) fn note_over(&self) {
        self.stage().over = true;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage().over
    }

    /// Whether write() may be called.
    pub(crate) fn allow_write(&self) -> Result<(), Breach> {
        match self.stage().returned {
            false => Ok(()),
            true => Err(Breach::new(
                Rule::WriteLate,
                "write() was called after the application had returned; yield the bytes instead",
            )),
        }
    }

    /// Counts a piece of the body.
    pub(crate) fn count(&self, length: usize) -> Result<(), Breach> {
        let mut stage = self.stage();
        if length == 0 {
            return Ok(());
        }
        stage.given += length as u64;
        let Some(head) = stage.head else { return Ok(()) };
        if stage.raised {
            return Err(Breach::new(
                Rule::ErrorKept,
                "more of the body came after start_response had raised exc_info again",
            ));
        }
        if matches!(head.status, 204 | 304) {
            return Err(Breach::new(
                Rule::BodyForbidden,
                format!("a {} response has a body of {length} bytes or more", head.status),
            ));
        }
        match head.length {
            Some(promised) if stage.given > promised => Err(Breach::new(
                Rule::LengthKept,
                format!(
                    "the body has {} bytes or more, and its Content-Length is {promised}",
                    stage.given
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Whether a body may begin with an item.
    pub(crate) fn is_started(&self) -> bool {
        self.stage().head.is_some()
    }

    /// Whether it is known that no body will be sent.
    pub(crate) fn is_bodyless(&self) -> bool {
        self.is_head || self.stage().head.is_some_and(|head| matches!(head.status, 204 | 304))
    }

    /// The body has come to its end.
    pub(crate) fn end(&self) -> Result<(), Breach> {
        let stage = self.stage();
        let Some(head) = stage.head else {
            return Err(Breach::new(
                Rule::StartBefore,
                "the body has ended, and start_response was not called",
            ));
        };
        // A response to HEAD says how long the body would be, and so does a 304.
        let is_without = stage.given == 0 && (self.is_head || head.status == 304);
        match head.length {
            Some(promised) if stage.given < promised && !is_without => Err(Breach::new(
                Rule::LengthKept,
                format!("the body has {} bytes, and its Content-Length is {promised}", stage.given),
            )),
            _ => Ok(()),
        }
    }
}
