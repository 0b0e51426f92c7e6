//! The rules of HTTP/1.1 (RFC 9110, RFC 9112): bytes in, decisions out.
//! Knows no socket, no clock and no thread: input is a slice, time is an argument.
//!
//! ```
//! use whiskyjack_proto::body::{BodyLimits, Decoder};
//! use whiskyjack_proto::head::{RequestHead, ResponseHead};
//! use whiskyjack_proto::parse::{HeadLimits, HeadParser, Progress};
//! use whiskyjack_proto::write::{Asked, Defaults, response_head};
//! use whiskyjack_proto::{connection, date::DateCache};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let input = b"PUT /bird HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\njay";
//! let limits = HeadLimits { line: 8190, fields: 100, field: 8190, head: 32768 };
//! let mut head = RequestHead::default();
//! let Progress::Complete(length) = HeadParser::default().parse(input, &limits, &mut head)? else {
//!     return Err("more bytes are needed".into());
//! };
//! assert_eq!((head.method(), head.path_and_query()), (&b"PUT"[..], &b"/bird"[..]));
//!
//! let intent = connection::intent(&head)?;
//! let limits = BodyLimits { extensions: 4096, trailers: 4096, body: 1 << 20 };
//! let step = Decoder::new(intent.framing, limits)?.decode(&input[length..])?;
//! assert_eq!((&input[length..][step.data], step.done), (&b"jay"[..], true));
//!
//! let mut response = ResponseHead::default();
//! response.set_status(b"201 Created")?;
//! let mut dates = DateCache::default();
//! let defaults = Defaults { date: dates.at(784_111_777), server: None };
//! let mut out = Vec::new();
//! let plan = response_head(&mut out, Asked::of(&head, intent.persistent), &response, Some(0), defaults);
//! assert!(plan.persistent && out.starts_with(b"HTTP/1.1 201 Created\r\n"));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod body;
pub mod connection;
pub mod date;
pub mod error;
pub mod framing;
pub mod grammar;
pub mod head;
pub mod parse;
pub mod proxy;
mod target;
pub mod write;
