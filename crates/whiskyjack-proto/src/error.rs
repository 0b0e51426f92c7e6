//! Which rule was broken, and the status that answers it.
//! Knows no bytes: a variant is a rule.

use std::fmt;

/// A rule of RFC 9110 or 9112 that the peer broke, or a limit of this server that it went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// RFC 9112 3: the request line is not `method SP target SP version`.
    RequestLine,
}

impl Error {
    /// The status code that answers this fault (400, 413, 414, 417, 431, 501 or 505).
    pub fn status(self) -> u16 {
        400
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request line is malformed")
    }
}

impl std::error::Error for Error {}

/// What an application put into a response head that must not go on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// PEP 3333: the status is not three digits, a space and a reason.
    Status,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("status is malformed")
    }
}

impl std::error::Error for ResponseError {}
