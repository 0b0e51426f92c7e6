//! From a response head to bytes, with the framing that the request, the status and the known length call for.

use crate::framing::ResponseFraming;
use crate::head::{RequestHead, ResponseHead, Version};

/// What of a request decides how its response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// the version of the request
    pub version: Version,
    /// the method is HEAD
    pub head_only: bool,
    /// the request and the server both allow another request after this one
    pub persistent: bool,
}

impl Asked {
    /// What this request asked, where `persistent` is the connection's answer to it.
    pub fn of(head: &RequestHead, persistent: bool) -> Asked {
        Asked { version: head.version(), head_only: head.method() == b"HEAD", persistent }
    }
}

/// The fields that the server adds where the application has not set them.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// the Date field's value
    pub date: &'a [u8; 29],
    /// the Server field's value; `None` sends none
    pub server: Option<&'a [u8]>,
}

/// How a response goes on after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// how its body is delimited
    pub framing: ResponseFraming,
    /// whether the connection may serve another request afterwards
    pub persistent: bool,
    /// the head had a hop-by-hop field that was left out (its index among the fields), for one log line
    pub dropped: Option<usize>,
}

/// Appends the head's bytes to `out` and says how to go on. `length` is the body's length where the server knows it
/// although the application did not set Content-Length.
pub fn response_head(
    out: &mut Vec<u8>,
    asked: Asked,
    response: &ResponseHead,
    length: Option<u64>,
    defaults: Defaults<'_>,
) -> Plan {
    let _ = (out, asked, response, length, defaults);
    todo!()
}

/// Appends an interim response (RFC 9110 15.2), for example 100 or 103, with its fields.
pub fn interim_head(out: &mut Vec<u8>, response: &ResponseHead) {
    let _ = (out, response);
    todo!()
}

/// What goes out when a request is refused before the application sees it: a whole response, `Connection: close` included.
/// `head_only` leaves the body out.
pub fn refusal(out: &mut Vec<u8>, status: u16, head_only: bool, defaults: Defaults<'_>) {
    let _ = (out, status, head_only, defaults);
    todo!()
}

/// The standard reason phrase of a status code, empty for an unknown one.
pub fn reason(status: u16) -> &'static str {
    let _ = status;
    todo!()
}
