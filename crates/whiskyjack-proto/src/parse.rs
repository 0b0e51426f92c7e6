//! From bytes to a request head: incremental, strict, and with the same verdict however the bytes are cut.
//! That holds because a verdict is a function of a line: a line is judged when its LF is there, and before that only by its length
//! and, for the request line, its first byte.

use crate::error::Error;
use crate::grammar;
use crate::head::{FieldSpan, LARGEST, RequestHead, Span, Version};

/// What a head may weigh. Every limit is a count of bytes but `fields`, a count of lines.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// the request line without its CRLF; more is 414
    pub line: usize,
    /// field lines; more is 431
    pub fields: usize,
    /// one field line without its CRLF; more is 431
    pub field: usize,
    /// the whole head; more is 431
    pub head: usize,
}

/// How far a call of [`HeadParser::parse`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The head is whole; it took this many bytes of the input.
    Complete(usize),
    /// More bytes are needed. The input must be given again from its start, with more behind it.
    Partial,
}

/// Where in a head the parser is.
///
/// ```text
/// Before -- a token's byte --> RequestLine -- CRLF --> Fields -- empty line --> complete
///   `-- CRLF (a few) --'                                 `-- a field's CRLF --'
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// before the request line
    #[default]
    Before,
    /// in the request line
    RequestLine,
    /// in the field lines, the last, empty one included
    Fields,
}

/// Parses one head at a time; remembers how far it has looked, so that bytes that come one by one are not read twice.
#[derive(Debug, Default)]
pub struct HeadParser {
    place: Place,
    /// where the head starts in the input, after the empty lines before it
    start: usize,
    /// where the line starts that is being read
    line: usize,
    /// up to where its LF has been looked for
    seen: usize,
}

/// RFC 9112 2.2 has us skip at least one empty line before a request. Old clients send one after a body, no client sends many.
const EMPTY_LINES: usize = 4;

impl HeadParser {
    /// Reads a head from the start of `input` into `head` (cleared first). After `Complete` or an error the parser is as new.
    /// After `Partial` the next call takes the same `head`, untouched.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Progress, Error> {
        // A caller who changed head or input in between makes the parser begin anew: slower, but never wrong.
        if head.bytes.len() != self.line - self.start || input.len() < self.seen {
            *self = HeadParser::default();
        }
        if self.place == Place::Before {
            head.clear();
        }
        let progress = self.advance(input, limits, head);
        match progress {
            Ok(Progress::Partial) => self.copy(input, head),
            Ok(Progress::Complete(_)) => {
                self.copy(input, head);
                *self = HeadParser::default();
            }
            Err(_) => {
                head.clear();
                *self = HeadParser::default();
            }
        }
        progress
    }

    /// Whether bytes of a head (not only the empty lines that RFC 9112 2.2 lets precede one) have been seen.
    pub fn is_begun(&self) -> bool {
        self.place != Place::Before
    }

    /// Takes over the lines that are done with, so that every span in the head has its bytes. One copy for a head that came whole.
    fn copy(&self, input: &[u8], head: &mut RequestHead) {
        head.bytes.extend_from_slice(&input[self.start + head.bytes.len()..self.line]);
    }

    fn advance(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Progress, Error> {
        if self.place == Place::Before && !self.skip_empty_lines(input)? {
            return Ok(Progress::Partial);
        }
        if self.place == Place::RequestLine {
            let most = (limits.line, Error::RequestLineTooLong);
            let Some(line) = self.take_line(input, most, limits.head)? else {
                return Ok(Progress::Partial);
            };
            let line = without_end(line)?;
            let (method, target, version) = request_line(line)?;
            head.method = Span::new(0, method);
            head.target = Span::new(method + 1, target);
            head.version = version;
            self.place = Place::Fields;
        }
        loop {
            let start = self.line - self.start;
            let most = (limits.field, Error::FieldTooLong);
            let Some(line) = self.take_line(input, most, limits.head)? else {
                return Ok(Progress::Partial);
            };
            let line = without_end(line)?;
            if line.is_empty() {
                return Ok(Progress::Complete(self.line));
            }
            if head.fields.len() >= limits.fields {
                return Err(Error::TooManyFields);
            }
            let field = field_line(line, start).map_err(|error| match error {
                Error::Folding if head.fields.is_empty() => Error::LeadingSpace,
                error => error,
            })?;
            head.fields.push(field);
        }
    }

    /// Moves to the first byte of the request line, which must be one that a method can begin with: what speaks TLS or nothing known
    /// is not waited for. `false` if that byte has not come.
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<bool, Error> {
        self.line = 0;
        loop {
            match input[self.line..] {
                [] | [b'\r'] => {
                    self.line = 0;
                    return Ok(false);
                }
                [b'\r', b'\n', ..] if self.line == 2 * EMPTY_LINES => {
                    return Err(Error::EmptyLines);
                }
                [b'\r', b'\n', ..] => self.line += 2,
                [b'\r', ..] => return Err(Error::BareCarriageReturn),
                [b'\n', ..] => return Err(Error::BareLineFeed),
                [first, ..] if !grammar::is_token_byte(first) => return Err(Error::Method),
                _ => {
                    self.place = Place::RequestLine;
                    self.start = self.line;
                    self.seen = self.line;
                    return Ok(true);
                }
            }
        }
    }

    /// The next line with its LF, once that is there, and within both limits whether it is there or not.
    fn take_line<'i>(
        &mut self,
        input: &'i [u8],
        (most, too_long): (usize, Error),
        head: usize,
    ) -> Result<Option<&'i [u8]>, Error> {
        let found = memchr::memchr(b'\n', &input[self.seen..]);
        let end = found.map_or(input.len(), |at| self.seen + at + 1);
        let line = &input[self.line..end];
        // Both limits may be crossed in one call here and one after the other elsewhere: the one that is crossed first counts.
        let most = most.saturating_add(2);
        let is_too_long = line.len() > most || (line.len() == most && !line.ends_with(b"\r\n"));
        let head_end = self.start.saturating_add(head.min(LARGEST));
        if is_too_long && self.line.saturating_add(most) <= head_end.saturating_add(1) {
            return Err(too_long);
        }
        if end > head_end {
            return Err(Error::HeadTooLarge);
        }
        if is_too_long {
            return Err(too_long);
        }
        self.seen = end;
        if found.is_none() {
            return Ok(None);
        }
        self.line = end;
        Ok(Some(line))
    }
}

/// Reads one whole head with one call, for what needs no parser of its own. `None` if there is more to come.
pub fn parse_whole(
    input: &[u8],
    limits: &HeadLimits,
) -> Result<Option<(RequestHead, usize)>, Error> {
    let mut head = RequestHead::default();
    match HeadParser::default().parse(input, limits, &mut head)? {
        Progress::Complete(length) => Ok(Some((head, length))),
        Progress::Partial => Ok(None),
    }
}

/// The line without the CRLF that ends it (RFC 9112 2.2: it may be taken for a line end without the CR; here it may not).
fn without_end(line: &[u8]) -> Result<&[u8], Error> {
    line.strip_suffix(b"\r\n").ok_or(Error::BareLineFeed)
}

/// What is wrong with a line: a CR in it, or else this.
fn fault(line: &[u8], otherwise: Error) -> Error {
    if memchr::memchr(b'\r', line).is_some() { Error::BareCarriageReturn } else { otherwise }
}

/// Where in a request line (RFC 9112 3) the method and the target end, and its version.
fn request_line(line: &[u8]) -> Result<(usize, usize, Version), Error> {
    let method = grammar::token_length(line);
    if line.get(method) != Some(&b' ') {
        return Err(fault(
            line,
            if method == line.len() { Error::RequestLine } else { Error::Method },
        ));
    }
    let start = method + 1;
    let target = start + grammar::target_length(&line[start..]);
    match line.get(target) {
        Some(b' ') if target > start => {}
        None | Some(b' ' | b'\t') => return Err(fault(line, Error::RequestLine)),
        Some(_) => return Err(fault(line, Error::TargetByte)),
    }
    let version = match &line[target + 1..] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'] => Version::Http11,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Error::Version);
        }
        _ => return Err(fault(line, Error::RequestLine)),
    };
    Ok((method, target, version))
}

/// Reads a field line (RFC 9112 5) that is not empty and stands at `start` in its head.
pub(crate) fn field_line(line: &[u8], start: usize) -> Result<FieldSpan, Error> {
    let colon = grammar::token_length(line);
    match line.get(colon) {
        Some(b':') if colon > 0 => {}
        Some(b' ' | b'\t') if colon == 0 => return Err(fault(line, Error::Folding)),
        Some(b' ' | b'\t') if grammar::trim(&line[colon..]).starts_with(b":") => {
            return Err(fault(line, Error::SpaceBeforeColon));
        }
        _ => return Err(fault(line, Error::FieldName)),
    }
    let value = &line[colon + 1..];
    if !grammar::is_value(value) {
        return Err(fault(line, Error::FieldValue));
    }
    let before = value.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
    let value = grammar::trim(&value[before..]);
    let value_start = start + colon + 1 + before;
    Ok(FieldSpan {
        name: Span::new(start, start + colon),
        value: Span::new(value_start, value_start + value.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { line: 64, fields: 4, field: 32, head: 160 };

    /// The verdict on these bytes, which must be the same whole and byte by byte.
    fn verdict(input: &[u8]) -> Result<Option<usize>, Error> {
        let whole = parse_whole(input, &LIMITS).map(|found| found.map(|(_, length)| length));
        let mut parser = HeadParser::default();
        let mut head = RequestHead::default();
        let mut slow = Ok(None);
        for end in 0..=input.len() {
            match parser.parse(&input[..end], &LIMITS, &mut head) {
                Ok(Progress::Partial) => {
                    let _ = (head.method(), head.target(), head.fields().count());
                }
                Ok(Progress::Complete(length)) => {
                    slow = Ok(Some(length));
                    break;
                }
                Err(error) => {
                    slow = Err(error);
                    break;
                }
            }
        }
        assert_eq!(whole, slow, "{}", input.escape_ascii());
        whole
    }

    #[test]
    fn a_head_is_taken_apart() {
        let input =
            b"GET /a?b HTTP/1.1\r\nHost: example\r\nX-Empty:\r\nAccept:\t a, b \t\r\n\r\nbody";
        let (head, length) = parse_whole(input, &LIMITS).expect("valid").expect("whole");
        assert_eq!(length, input.len() - 4);
        assert_eq!(head.method(), b"GET");
        assert_eq!(head.target(), b"/a?b");
        assert_eq!(head.version(), Version::Http11);
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields[0], (&b"Host"[..], &b"example"[..]));
        assert_eq!(fields[1], (&b"X-Empty"[..], &b""[..]));
        assert_eq!(fields[2], (&b"Accept"[..], &b"a, b"[..]));
    }

    #[test]
    fn a_few_empty_lines_before_a_request_are_skipped() {
        assert_eq!(verdict(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(22)));
        assert_eq!(verdict(b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(26)));
        assert_eq!(verdict(b"\r\n\r\n\r\n\r\n\r\n"), Err(Error::EmptyLines));
        assert_eq!(verdict(b"\nGET / HTTP/1.1\r\n\r\n"), Err(Error::BareLineFeed));
        assert_eq!(verdict(b"\rGET / HTTP/1.1\r\n\r\n"), Err(Error::BareCarriageReturn));
    }

    #[test]
    fn empty_lines_do_not_begin_a_head() {
        let mut parser = HeadParser::default();
        let mut head = RequestHead::default();
        assert_eq!(parser.parse(b"\r\n\r", &LIMITS, &mut head), Ok(Progress::Partial));
        assert!(!parser.is_begun());
        assert_eq!(parser.parse(b"\r\n\r\nG", &LIMITS, &mut head), Ok(Progress::Partial));
        assert!(parser.is_begun());
    }

    #[test]
    fn what_cannot_be_http_is_refused_at_its_first_byte() {
        for first in [&b"\x16"[..], b"\x80", b" ", b"\t", b"\0", b"{", b"(", b"<", b":"] {
            assert_eq!(verdict(first), Err(Error::Method));
        }
    }

    #[test]
    fn a_request_line_has_three_parts_and_single_spaces() {
        for bad in [
            &b"GET\r\n"[..],
            b"GET \r\n",
            b"GET /\r\n",
            b"GET / \r\n",
            b"GET  / HTTP/1.1\r\n",
            b"GET /  HTTP/1.1\r\n",
            b"GET / HTTP/1.1 \r\n",
            b"GET /\tHTTP/1.1\r\n",
            b"GET / x HTTP/1.1\r\n",
            b"GET / http/1.1\r\n",
            b"GET / HTTP/1.10\r\n",
            b"GET / HTTP/1,1\r\n",
            b"GET / HTTP/2\r\n",
            b"GET / HTTPS/1.1\r\n",
        ] {
            assert_eq!(verdict(bad), Err(Error::RequestLine), "{}", bad.escape_ascii());
        }
        assert_eq!(verdict(b"GE(T / HTTP/1.1\r\n"), Err(Error::Method));
        assert_eq!(verdict(b"GET\t/ HTTP/1.1\r\n"), Err(Error::Method));
        assert_eq!(verdict(b"GET /\xe9 HTTP/1.1\r\n"), Err(Error::TargetByte));
        assert_eq!(verdict(b"GET /\0 HTTP/1.1\r\n"), Err(Error::TargetByte));
        assert_eq!(verdict(b"GET /\rHTTP/1.1\r\n"), Err(Error::BareCarriageReturn));
        assert_eq!(verdict(b"GET / HTTP/1.1\n"), Err(Error::BareLineFeed));
    }

    #[test]
    fn later_minor_versions_are_spoken_as_1_1_and_other_major_ones_refused() {
        let version = |line: &[u8]| request_line(line).map(|(_, _, version)| version);
        assert_eq!(version(b"GET / HTTP/1.0"), Ok(Version::Http10));
        assert_eq!(version(b"GET / HTTP/1.9"), Ok(Version::Http11));
        for other in
            [&b"GET / HTTP/0.9"[..], b"GET / HTTP/2.0", b"PRI * HTTP/2.0", b"GET / HTTP/9.9"]
        {
            assert_eq!(version(other), Err(Error::Version));
        }
    }

    #[test]
    fn a_field_line_is_a_token_a_colon_and_a_value() {
        let field = |line: &[u8]| verdict(&[b"GET / HTTP/1.1\r\nA: b\r\n", line].concat());
        assert_eq!(field(b"A : b\r\n"), Err(Error::SpaceBeforeColon));
        assert_eq!(field(b"A\t: b\r\n"), Err(Error::SpaceBeforeColon));
        assert_eq!(field(b": b\r\n"), Err(Error::FieldName));
        assert_eq!(field(b"A\r\n"), Err(Error::FieldName));
        assert_eq!(field(b"A b\r\n"), Err(Error::FieldName));
        assert_eq!(field(b"A\0: b\r\n"), Err(Error::FieldName));
        assert_eq!(field(b" b\r\n"), Err(Error::Folding));
        assert_eq!(field(b"\tb: c\r\n"), Err(Error::Folding));
        assert_eq!(field(b" \r\n"), Err(Error::Folding));
        assert_eq!(field(b"A: b\0\r\n"), Err(Error::FieldValue));
        assert_eq!(field(b"A: \x7f\r\n"), Err(Error::FieldValue));
        assert_eq!(field(b"A: b\rc\r\n"), Err(Error::BareCarriageReturn));
        assert_eq!(field(b"A: b\r\r\n"), Err(Error::BareCarriageReturn));
        assert_eq!(field(b"\r\r\n"), Err(Error::BareCarriageReturn));
        assert_eq!(field(b"A: b\n"), Err(Error::BareLineFeed));
        assert_eq!(field(b"\n"), Err(Error::BareLineFeed));
    }

    #[test]
    fn white_space_before_the_first_field_is_refused() {
        assert_eq!(verdict(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"), Err(Error::LeadingSpace));
    }

    #[test]
    fn a_limit_is_the_last_length_that_is_allowed() {
        let line = |length: usize| {
            let target = vec![b'a'; length - "GET / HTTP/1.1".len()];
            [b"GET /", &target[..], b" HTTP/1.1\r\n\r\n"].concat()
        };
        assert!(verdict(&line(64)).is_ok());
        assert_eq!(verdict(&line(65)), Err(Error::RequestLineTooLong));
        assert_eq!(verdict(&[b'a'; 66]), Err(Error::RequestLineTooLong));
        assert_eq!(verdict(&[b'a'; 65]), Ok(None));
        let field = |length: usize| {
            [b"GET / HTTP/1.1\r\nA:", &vec![b'b'; length - 2][..], b"\r\n\r\n"].concat()
        };
        assert!(verdict(&field(32)).is_ok());
        assert_eq!(verdict(&field(33)), Err(Error::FieldTooLong));
        let fields = |count: usize| {
            [b"GET / HTTP/1.1\r\n", &b"A: b\r\n".repeat(count)[..], b"\r\n"].concat()
        };
        assert!(verdict(&fields(4)).is_ok());
        assert_eq!(verdict(&fields(5)), Err(Error::TooManyFields));
    }

    #[test]
    fn the_limit_that_is_crossed_first_is_the_one_named() {
        let start = line_of(64);
        let middle = [&start[..], &line_of_field(32), &line_of_field(32)].concat();
        assert_eq!(middle.len(), 134);
        assert!(verdict(&[&middle[..], b"A: 345678901234567890123\r\n", b""].concat()).is_ok());
        assert_eq!(verdict(&[&middle[..], &line_of_field(32)].concat()), Err(Error::HeadTooLarge));
        assert_eq!(verdict(&[&middle[..], &line_of_field(40)].concat()), Err(Error::HeadTooLarge));
        assert_eq!(verdict(&[&start[..], &line_of_field(200)].concat()), Err(Error::FieldTooLong));
    }

    fn line_of(length: usize) -> Vec<u8> {
        [b"GET /", &vec![b'a'; length - 14][..], b" HTTP/1.1\r\n"].concat()
    }

    fn line_of_field(length: usize) -> Vec<u8> {
        [b"A:", &vec![b'b'; length - 2][..], b"\r\n"].concat()
    }

    #[test]
    fn a_parser_serves_one_head_after_the_other() {
        let mut parser = HeadParser::default();
        let mut head = RequestHead::default();
        let input = b"GET /1 HTTP/1.1\r\nA: b\r\n\r\nGET /2 HTTP/1.0\r\n\r\n";
        let Ok(Progress::Complete(first)) = parser.parse(input, &LIMITS, &mut head) else {
            panic!("the first head is whole");
        };
        assert_eq!(head.target(), b"/1");
        assert_eq!(parser.parse(b"GET \r\n", &LIMITS, &mut head), Err(Error::RequestLine));
        let second = parser.parse(&input[first..], &LIMITS, &mut head);
        assert_eq!(second, Ok(Progress::Complete(input.len() - first)));
        assert_eq!((head.target(), head.fields().len()), (&b"/2"[..], 0));
    }

    #[test]
    fn a_head_that_was_cleared_in_between_is_read_anew() {
        let mut parser = HeadParser::default();
        let mut head = RequestHead::default();
        let input = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        assert_eq!(parser.parse(&input[..20], &LIMITS, &mut head), Ok(Progress::Partial));
        head.clear();
        let whole = parser.parse(input, &LIMITS, &mut head);
        assert_eq!(whole, Ok(Progress::Complete(input.len())));
        assert_eq!((head.method(), head.fields().len()), (&b"GET"[..], 1));
    }
}
