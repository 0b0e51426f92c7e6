//! What may come next on a connection: persistence, expectations, and the request's other connection options.

use crate::error::Error;
use crate::framing::RequestFraming;
use crate::head::RequestHead;

/// What the head of a request decides about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// how the body is delimited
    pub framing: RequestFraming,
    /// the peer lets the connection serve another request (RFC 9112 9.3)
    pub persistent: bool,
    /// the peer waits for `100 Continue` (RFC 9110 10.1.1; never on HTTP/1.0, never without a body)
    pub expects_continue: bool,
}

/// Checks what a parsed head must hold as a whole (Host, framing, Expect, Connection, target form) and says what follows from it.
pub fn intent(head: &RequestHead) -> Result<Intent, Error> {
    let _ = head;
    todo!()
}
