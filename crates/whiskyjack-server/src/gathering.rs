//! Responses to pipelined requests on their way into one write. Should their thread be held up by the next request, another sends them.

use crate::output::Framed;
use crate::reactor::lock;
use crate::transport::Transport;
use std::io::{self, IoSlice};
use std::sync::Mutex;

/// What one thread has gathered, for the one connection that it has in hand.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// Held for a few lines and a write that does not wait.
    gathered: Mutex<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// how many of them the socket has
    sent: usize,
    /// the connection's transport, so that its descriptor lives while somebody else writes to it
    transport: Option<Transport>,
}

/// More is not gathered: a write of so many bytes costs more than its system call.
const MOST: usize = 16 * 1024;

impl Gathering {
    /// Takes a piece of a response, if it is small and `watched` says that somebody will send it should this thread not.
    pub(crate) fn add(
        &self,
        transport: &Transport,
        framed: &Framed<'_>,
        watched: impl FnOnce() -> bool,
    ) -> io::Result<bool> {
        let data = &framed.block.bytes()[..framed.length];
        let length = framed.before.len() + data.len() + framed.after.len();
        let mut gathered = lock(&self.gathered);
        // Asked under the lock: who stops watching looks here once more, after that.
        if gathered.bytes.len() + length > MOST || !watched() {
            return Ok(false);
        }
        if gathered.transport.is_none() {
            gathered.transport = Some(transport.duplicate()?);
        }
        gathered.bytes.extend_from_slice(framed.before);
        gathered.bytes.extend_from_slice(data);
        gathered.bytes.extend_from_slice(framed.after);
        Ok(true)
    }

    /// Sends what the socket takes, in place of the thread that gathered it. True if nothing is left.
    pub(crate) fn send(&self) -> bool {
        let mut gathered = lock(&self.gathered);
        let Gathered { bytes, sent, transport } = &mut *gathered;
        if let Some(transport) = transport
            && *sent < bytes.len()
            // A fault is found by the thread whose connection it is.
            && let Ok(count) = transport.write(&[IoSlice::new(&bytes[*sent..])])
        {
            *sent += count;
        }
        *sent == bytes.len()
    }

    /// What is left to send, for the thread that gathered it.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut gathered = lock(&self.gathered);
        let Gathered { mut bytes, sent, .. } = std::mem::take(&mut *gathered);
        bytes.drain(..sent);
        bytes
    }
}
