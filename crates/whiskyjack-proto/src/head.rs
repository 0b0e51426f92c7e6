//! The head of a request and of a response: ordered raw fields over one buffer of their own.
//! Knows nothing of how a head is read from or written to a connection.

use crate::error::{Error, ResponseError};
use crate::framing;
use crate::grammar;
use crate::target::{self, Form};
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
    /// The span of these bytes. Callers keep a head's bytes within 32 bits: the parser by its limit, the setters by a check.
    pub(crate) fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= LARGEST);
        Span { start: start as u32, end: end as u32 }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The most bytes that a head can hold.
pub(crate) const LARGEST: usize = u32::MAX as usize;

/// One field line: its name as it came and its value without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSpan {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl FieldSpan {
    /// Where the whole line of a response's field stands.
    pub(crate) fn line(self) -> Range<usize> {
        self.name.start as usize..self.value.end as usize + LINE_END.len()
    }
}

/// What every line of a head ends with.
const LINE_END: &[u8] = b"\r\n";
/// What a response's status line begins with. RFC 9110 2.5: the version is the highest that this server speaks, not the request's.
const PROTOCOL: &[u8] = b"HTTP/1.1 ";
/// What stands between the name and the value of a response's field.
const COLON: &[u8] = b": ";

/// A request's head. It owns its bytes, so that the read buffer is free for what follows, and keeps
/// its allocations when it is cleared for the next request.
#[derive(Clone, Debug)]
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
    /// A head that did not come as bytes of HTTP/1, held to the same grammar. White space around values is left out.
    pub fn from_parts<'a>(
        method: &[u8],
        target: &[u8],
        version: Version,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<RequestHead, Error> {
        if !grammar::is_token(method) {
            return Err(Error::Method);
        }
        if !grammar::is_target(target) {
            return Err(Error::TargetByte);
        }
        let mut head = RequestHead { version, ..RequestHead::default() };
        head.method = append(&mut head.bytes, method).ok_or(Error::HeadTooLarge)?;
        head.target = append(&mut head.bytes, target).ok_or(Error::HeadTooLarge)?;
        for (name, value) in fields {
            if !grammar::is_token(name) {
                return Err(Error::FieldName);
            }
            if !grammar::is_value(value) {
                return Err(Error::FieldValue);
            }
            let name = append(&mut head.bytes, name).ok_or(Error::HeadTooLarge)?;
            let value = append(&mut head.bytes, grammar::trim(value)).ok_or(Error::HeadTooLarge)?;
            head.fields.push(FieldSpan { name, value });
        }
        Ok(head)
    }

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

    /// What of the target names the resource on this server: from the first `/` after the authority where there is one, `/` where
    /// nothing follows it; `*` stays. `http://host?query`, without any path, gives `?query`: [`RequestHead::path`] gives `/` there, too.
    pub fn path_and_query(&self) -> &[u8] {
        target::path_and_query(self.target())
    }

    /// The path of the target as it came, percent-encoding and all.
    pub fn path(&self) -> &[u8] {
        target::split(self.target()).0
    }

    /// The query of the target, without its `?`; `None` where there is no `?`.
    pub fn query(&self) -> Option<&[u8]> {
        target::split(self.target()).1
    }

    /// Whether the target is an https URI, which RFC 9110 7.4 lets nobody ask for over a connection that is not secured.
    pub fn is_https(&self) -> bool {
        target::is_https(self.target())
    }

    /// The authority of an absolute target; `None` for every other form.
    pub fn authority(&self) -> Option<&[u8]> {
        match target::form(self.target()) {
            Form::Absolute(authority) => Some(&self.target()[authority]),
            Form::Origin | Form::Asterisk | Form::Other => None,
        }
    }

    /// Host and port that the request is for: the absolute target's authority, which wins (RFC 9112 3.2.2), else the Host field.
    pub fn host(&self) -> Option<&[u8]> {
        self.authority().or_else(|| self.values(b"Host").next())
    }

    /// Becomes the same as another head, in the memory that is there already.
    pub fn copy(&mut self, other: &RequestHead) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&other.bytes);
        self.fields.clear();
        self.fields.extend_from_slice(&other.fields);
        self.method = other.method;
        self.target = other.target;
        self.version = other.version;
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

/// Appends a piece and says where it stands; `None` if a span cannot say that.
fn append(bytes: &mut Vec<u8>, piece: &[u8]) -> Option<Span> {
    let start = bytes.len();
    let end = start.checked_add(piece.len()).filter(|&end| end <= LARGEST)?;
    bytes.extend_from_slice(piece);
    Some(Span::new(start, end))
}

/// The head of a response as the application gave it: nothing in it can break the wire, because
/// the setters refuse what would.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// the lines as they go on the wire, so that most of a head is copied there in one piece
    pub(crate) bytes: Vec<u8>,
    pub(crate) status: u16,
    /// the whole line
    pub(crate) status_line: Span,
    pub(crate) fields: Vec<FieldSpan>,
    pub(crate) content_length: Option<u64>,
}

impl ResponseHead {
    /// Sets the status from PEP 3333's form, `b"200 OK"`: three digits (100 to 599), one space, a reason (which may be empty).
    /// A code under 200 is fit for an interim response only: whoever starts the final one checks that.
    pub fn set_status(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let status =
            status_of(line).ok_or_else(|| ResponseError::Status(ResponseError::shown(line)))?;
        let start = self.bytes.len();
        let end = self.line_of([PROTOCOL, line])?;
        self.status_line = Span::new(start, end + LINE_END.len());
        self.status = status;
        Ok(())
    }

    /// Adds a field after those already there. White space around the value is left out. A Content-Length that says the same as one
    /// already there is not added again.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        if !grammar::is_token(name) {
            return Err(ResponseError::Name(ResponseError::shown(name)));
        }
        if !grammar::is_value(value) {
            return Err(ResponseError::Value {
                name: ResponseError::shown(name),
                value: ResponseError::shown(value),
            });
        }
        let value = grammar::trim(value);
        let mut length = self.content_length;
        if framing::is_content_length(name) {
            let second = framing::content_length(value)
                .ok_or_else(|| ResponseError::ContentLength(ResponseError::shown(value)))?;
            match length {
                Some(first) if first == second => return Ok(()),
                Some(first) => return Err(ResponseError::ContentLengthConflict { first, second }),
                None => length = Some(second),
            }
        }
        let end = self.line_of([name, COLON, value])?;
        let value = Span::new(end - value.len(), end);
        let start = value.start as usize - COLON.len() - name.len();
        self.content_length = length;
        self.fields.push(FieldSpan { name: Span::new(start, start + name.len()), value });
        Ok(())
    }

    /// Appends a line of these pieces, and says where it ends but for what ends it.
    fn line_of<const N: usize>(&mut self, pieces: [&[u8]; N]) -> Result<usize, ResponseError> {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>() + LINE_END.len();
        if length > LARGEST - self.bytes.len() {
            return Err(ResponseError::TooLarge);
        }
        self.bytes.reserve(length);
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        let end = self.bytes.len();
        self.bytes.extend_from_slice(LINE_END);
        Ok(end)
    }

    /// The status code; 0 while none is set.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Code and reason as they go on the wire, for example `200 OK`.
    pub fn status_line(&self) -> &[u8] {
        let line = &self.bytes[self.status_line.range()];
        line.get(PROTOCOL.len()..line.len().saturating_sub(LINE_END.len())).unwrap_or_default()
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

    /// The body's length as the application set it.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Forgets the response and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.status = 0;
        self.status_line = Span::default();
        self.content_length = None;
    }
}

/// The code of a status line (RFC 9112 4) that is fit to be sent. PEP 3333 wants the reason's space even where the reason is empty.
fn status_of(line: &[u8]) -> Option<u16> {
    match line {
        [hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b' ', reason @ ..]
            if grammar::is_value(reason) && !reason.starts_with(b" ") =>
        {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Some(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(line: &[u8]) -> Option<u16> {
        let mut head = ResponseHead::default();
        head.set_status(line).ok().map(|()| head.status())
    }

    #[test]
    fn a_status_is_three_digits_a_space_and_a_reason() {
        assert_eq!(status(b"200 OK"), Some(200));
        assert_eq!(status(b"200 "), Some(200));
        assert_eq!(status(b"103 Early Hints"), Some(103));
        assert_eq!(status(b"599 caf\xe9\tau lait"), Some(599));
    }

    #[test]
    fn a_status_that_would_break_its_line_is_refused() {
        for bad in [
            &b""[..],
            b"200",
            b"2000 OK",
            b"20 OK",
            b"200\tOK",
            b"200  OK",
            b" 200 OK",
            b"OK",
            b"600 X",
            b"099 X",
            b"200 OK\r\nA: b",
            b"200 a\0",
            b"200 a\x7f",
            b"200-OK",
            b"+20 OK",
        ] {
            let mut head = ResponseHead::default();
            let error = ResponseError::Status(bad.escape_ascii().to_string());
            assert_eq!(head.set_status(bad), Err(error));
            assert_eq!(head.status(), 0);
        }
    }

    #[test]
    fn a_field_that_would_break_its_line_is_refused() {
        let mut head = ResponseHead::default();
        for name in [&b""[..], b"A B", b"A:", b"A\r\nB", b"caf\xe9"] {
            assert!(matches!(head.push(name, b"x"), Err(ResponseError::Name(_))));
        }
        for value in [&b"a\r\nB: c"[..], b"a\n", b"a\r", b"a\0", b"a\x0b", b"a\x7f"] {
            assert!(matches!(head.push(b"A", value), Err(ResponseError::Value { .. })));
        }
        assert_eq!(head.fields().len(), 0);
    }

    #[test]
    fn a_value_keeps_its_bytes_but_not_the_space_around_it() {
        let mut head = ResponseHead::default();
        head.push(b"A", b" \tcaf\xe9 \t au lait\t ").expect("a good field");
        assert_eq!(head.value(b"a"), Some(&b"caf\xe9 \t au lait"[..]));
    }

    #[test]
    fn a_content_length_is_one_number() {
        let mut head = ResponseHead::default();
        assert_eq!(
            head.push(b"content-length", b"5, 5"),
            Err(ResponseError::ContentLength("5, 5".to_owned()))
        );
        head.push(b"content-length", b"5").expect("a number");
        head.push(b"Content-Length", b"5").expect("the same number");
        assert_eq!(
            head.push(b"Content-Length", b"6"),
            Err(ResponseError::ContentLengthConflict { first: 5, second: 6 })
        );
        assert_eq!((head.fields().len(), head.content_length()), (1, Some(5)));
        head.clear();
        head.push(b"Content-Length", b"6").expect("a new response");
    }

    #[test]
    fn the_pieces_of_a_target_can_be_asked_for() {
        let host = [(&b"Host"[..], &b"field"[..])];
        let head = |target| {
            RequestHead::from_parts(b"GET", target, Version::Http11, host).expect("a good head")
        };
        let absolute = head(b"http://target:80/a?b");
        assert_eq!(absolute.authority(), Some(&b"target:80"[..]));
        assert_eq!(absolute.host(), Some(&b"target:80"[..]));
        assert_eq!(absolute.path_and_query(), b"/a?b");
        assert!(!absolute.is_https() && head(b"HTTPS://target/").is_https());
        let origin = head(b"/a?b");
        assert_eq!((origin.authority(), origin.host()), (None, Some(&b"field"[..])));
        assert_eq!((origin.path(), origin.query()), (&b"/a"[..], Some(&b"b"[..])));
    }
}
