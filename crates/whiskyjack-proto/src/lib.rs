//! The rules of HTTP/1.1 (RFC 9110, RFC 9112): bytes in, decisions out.
//! Knows no socket, no clock and no thread: input is a slice, time is an argument.
#![forbid(unsafe_code)]

pub mod body;
pub mod connection;
pub mod date;
pub mod error;
pub mod framing;
pub mod grammar;
pub mod head;
pub mod parse;
mod target;
pub mod write;
