//! The head of a request and of a response: ordered raw fields over one buffer of their own.
//! Knows nothing of how a head is read from or written to a connection.

use crate::error::ResponseError;
use std::ops::Range;

/// The HTTP version of a message, as far as this server speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, and any later 1.x, which RFC 9110 2.5 has us treat as the highest minor version we speak
    Http11,
}

/// Where a piece of a head stands in the head's own bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One field line: its name as it came and its value without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSpan {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// A request's head. It owns its bytes, so that the read buffer is free for what follows, and keeps
/// its allocations when it is cleared for the next request.
#[derive(Debug)]
pub struct RequestHead {
    pub(crate) bytes: Vec<u8>,
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) version: Version,
    pub(crate) fields: Vec<FieldSpan>,
}

impl Default for RequestHead {
    fn default() -> Self {
        RequestHead {
            bytes: Vec::new(),
            method: Span::default(),
            target: Span::default(),
            version: Version::Http11,
            fields: Vec::new(),
        }
    }
}

impl RequestHead {
    /// The method token, case kept.
    pub fn method(&self) -> &[u8] {
        &self.bytes[self.method.range()]
    }

    /// The request target as it came.
    pub fn target(&self) -> &[u8] {
        &self.bytes[self.target.range()]
    }

    /// The version of the message.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The field lines in order: names as they came (case kept), values trimmed.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.fields
            .iter()
            .map(|field| (&self.bytes[field.name.range()], &self.bytes[field.value.range()]))
    }

    /// The values of every field line of this name (any case), in order.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Forgets the request and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.method = Span::default();
        self.target = Span::default();
        self.version = Version::Http11;
    }
}

/// The head of a response as the application gave it: nothing in it can break the wire, because
/// the setters refuse what would.
#[derive(Debug, Default)]
pub struct ResponseHead {
    pub(crate) bytes: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) status_line: Span,
    pub(crate) fields: Vec<FieldSpan>,
}

impl ResponseHead {
    /// Sets the status from PEP 3333's form, `b"200 OK"`: three digits (100 to 999), one space, a reason (which may be empty).
    pub fn set_status(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let _ = line;
        todo!()
    }

    /// Adds a field after those already there.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        let _ = (name, value);
        todo!()
    }

    /// The status code; 0 while none is set.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Code and reason as they go on the wire, for example `200 OK`.
    pub fn status_line(&self) -> &[u8] {
        &self.bytes[self.status_line.range()]
    }

    /// The fields in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.fields
            .iter()
            .map(|field| (&self.bytes[field.name.range()], &self.bytes[field.value.range()]))
    }

    /// The value of the first field of this name (any case).
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Forgets the response and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.status = 0;
        self.status_line = Span::default();
    }
}
