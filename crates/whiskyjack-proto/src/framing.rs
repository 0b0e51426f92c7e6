//! Where a body ends. The only reader of Content-Length and Transfer-Encoding.
//! Knows no socket and no connection state: a head comes in, a decision goes out.

use crate::error::Error;
use crate::head::RequestHead;

/// How a request's body is delimited (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// no body
    Empty,
    /// exactly this many bytes (1 or more)
    Length(u64),
    /// the chunked transfer coding
    Chunked,
}

/// Decides how the body of this request is delimited.
pub fn request_framing(head: &RequestHead) -> Result<RequestFraming, Error> {
    let _ = head;
    todo!()
}

/// How a response's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// no body may follow (HEAD, 1xx, 204, 304)
    None,
    /// exactly this many bytes
    Length(u64),
    /// the chunked transfer coding
    Chunked,
    /// until the connection closes (HTTP/1.0)
    Close,
}
