//! Bodies: decode what a request carries, frame what a response carries.
//! Knows no head: how the body is delimited was decided before.

use crate::error::Error;
use crate::framing::{self, RequestFraming};
use crate::grammar;
use crate::parse;
use std::ops::Range;

/// Bounds on what surrounds the data of a chunked body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// bytes of all chunk extensions of one body together
    pub extensions: usize,
    /// bytes of the trailer section
    pub trailers: usize,
    /// data bytes of the whole body; more is 413
    pub body: u64,
}

/// One step of decoding: of the input, `consumed` bytes are done with, and `data` (inside them) is body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// bytes of the input that need not be given again
    pub consumed: usize,
    /// which of the input's bytes are data of the body (may be empty)
    pub data: Range<usize>,
    /// the body is whole
    pub done: bool,
}

/// Decodes one request's body.
///
/// ```text
/// Length --> Done
/// Size --> SizeEnd --> Data --> DataEnd --> Size ...
///   `-> Extension -^ `-> Trailers (after the last chunk) --> Done
/// ```
#[derive(Debug)]
pub struct Decoder {
    state: State,
    limits: BodyLimits,
    /// data bytes of the chunks so far, the one that is being read included
    total: u64,
    /// bytes of chunk extensions so far
    extensions: usize,
    /// bytes of trailer lines so far
    trailers: usize,
}

#[derive(Debug)]
enum State {
    /// this many bytes of a body of known length are still to come
    Length(u64),
    /// in a chunk's size, after this many digits
    Size {
        size: u64,
        digits: u8,
    },
    /// in the extensions of a chunk of this size
    Extension {
        size: u64,
        place: Extension,
    },
    /// after the CR that ends a size line
    SizeEnd {
        size: u64,
    },
    /// this many bytes of a chunk's data are still to come
    Data(u64),
    /// after a chunk's data, before its CR
    DataCr,
    /// after a chunk's data and CR
    DataLf,
    /// in a line of the trailer section, of which this has come
    Trailer(Vec<u8>),
    /// after the CR of the empty line that ends the trailer section
    TrailersEnd,
    Done,
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS value ] )` a size line is (RFC 9112 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// in white space after the size, a name or a value; a `;` must come (or a `=`, where a name has just ended)
    BeforeSemicolon {
        may_have_value: bool,
    },
    /// after a `;`
    BeforeName,
    Name,
    /// after a `=`
    BeforeValue,
    /// in a value that is a token
    Value,
    Quoted,
    /// after a `\` in a quoted value
    Escaped,
    /// after the closing quote
    AfterQuoted,
}

/// 16 digits say every size that fits 64 bits. More, even zeros, are no honest sender's.
const SIZE_DIGITS: u8 = 16;

const SIZE_START: State = State::Size { size: 0, digits: 0 };

impl Decoder {
    /// A decoder for a body delimited by `framing`. A Content-Length over `limits.body` is an error at once.
    pub fn new(framing: RequestFraming, limits: BodyLimits) -> Result<Decoder, Error> {
        let state = match framing {
            RequestFraming::Empty | RequestFraming::Length(0) => State::Done,
            RequestFraming::Length(length) if length > limits.body => {
                return Err(Error::BodyTooLarge);
            }
            RequestFraming::Length(length) => State::Length(length),
            RequestFraming::Chunked => SIZE_START,
        };
        Ok(Decoder { state, limits, total: 0, extensions: 0, trailers: 0 })
    }

    /// Takes the next run of data from the input. A step that consumes nothing and is not done needs more input;
    /// otherwise the caller goes on with the rest of the input (and never with a done decoder).
    /// Only an empty input makes such a step: whatever comes is consumed.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Error> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let byte = rest[0];
            match &mut self.state {
                State::Length(remaining) | State::Data(remaining) => {
                    // A run longer than usize is cut by the input's length anyway.
                    let run = usize::try_from(*remaining).unwrap_or(usize::MAX).min(rest.len());
                    *remaining -= run as u64;
                    if *remaining == 0 {
                        self.state = match self.state {
                            State::Length(_) => State::Done,
                            _ => State::DataCr,
                        };
                    }
                    let consumed = at + run;
                    return Ok(Step { consumed, data: at..consumed, done: self.is_done() });
                }
                State::Size { size, digits } => {
                    self.state = match (byte, digits) {
                        (_, digits) if byte.is_ascii_hexdigit() && *digits < SIZE_DIGITS => {
                            State::Size {
                                size: *size << 4 | hexadecimal(byte),
                                digits: *digits + 1,
                            }
                        }
                        (b'\r', 1..) => State::SizeEnd { size: *size },
                        (b';' | b' ' | b'\t', 1..) => {
                            let place = Extension::BeforeSemicolon { may_have_value: false };
                            State::Extension { size: *size, place }
                        }
                        (b'\n', 1..) => return Err(Error::ChunkLineEnd),
                        _ => return Err(Error::ChunkSize),
                    };
                    // The byte that ends the digits is the first of the extensions.
                    if matches!(self.state, State::Extension { .. }) {
                        continue;
                    }
                    at += 1;
                }
                State::Extension { size, place } => {
                    if byte == b'\n' {
                        return Err(Error::ChunkLineEnd);
                    }
                    match place.after(byte) {
                        None if byte == b'\r' && place.may_end() => {
                            self.state = State::SizeEnd { size: *size };
                        }
                        None => return Err(Error::ChunkExtension),
                        Some(next) => {
                            *place = next;
                            self.extensions += 1;
                            if self.extensions > self.limits.extensions {
                                return Err(Error::ChunkExtensionsTooLong);
                            }
                        }
                    }
                    at += 1;
                }
                State::SizeEnd { size } => {
                    if byte != b'\n' {
                        return Err(Error::ChunkLineEnd);
                    }
                    self.total = self
                        .total
                        .checked_add(*size)
                        .filter(|&total| total <= self.limits.body)
                        .ok_or(Error::BodyTooLarge)?;
                    self.state = match *size {
                        0 => State::Trailer(Vec::new()),
                        size => State::Data(size),
                    };
                    at += 1;
                }
                State::DataCr => {
                    if byte != b'\r' {
                        return Err(Error::ChunkDataEnd);
                    }
                    self.state = State::DataLf;
                    at += 1;
                }
                State::DataLf => {
                    if byte != b'\n' {
                        return Err(Error::ChunkDataEnd);
                    }
                    self.state = SIZE_START;
                    at += 1;
                }
                State::Trailer(line) if line.is_empty() && byte == b'\r' => {
                    self.state = State::TrailersEnd;
                    at += 1;
                }
                State::Trailer(line) => {
                    let run = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
                    self.trailers = self.trailers.saturating_add(run);
                    if self.trailers > self.limits.trailers {
                        return Err(Error::TrailersTooLong);
                    }
                    line.extend_from_slice(&rest[..run]);
                    if line.ends_with(b"\n") {
                        check_trailer(line)?;
                        line.clear();
                    }
                    at += run;
                }
                State::TrailersEnd => {
                    if byte != b'\n' {
                        return Err(Error::BareCarriageReturn);
                    }
                    self.state = State::Done;
                    at += 1;
                }
                State::Done => break,
            }
        }
        Ok(Step { consumed: at, data: at..at, done: self.is_done() })
    }

    /// Whether the body is whole.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The bytes of data still to come, where the framing says it (Content-Length).
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(remaining) => Some(remaining),
            State::Done => Some(0),
            _ => None,
        }
    }
}

impl Extension {
    /// Where one more byte leads, if it may stand here.
    fn after(self, byte: u8) -> Option<Extension> {
        let is_space = byte == b' ' || byte == b'\t';
        match (self, byte) {
            (Extension::BeforeName, _) | (Extension::BeforeValue, _) if is_space => Some(self),
            (Extension::BeforeName | Extension::Name, _) if grammar::is_token_byte(byte) => {
                Some(Extension::Name)
            }
            (Extension::BeforeValue | Extension::Value, _) if grammar::is_token_byte(byte) => {
                Some(Extension::Value)
            }
            (Extension::BeforeValue, b'"') => Some(Extension::Quoted),
            (Extension::Quoted, b'"') => Some(Extension::AfterQuoted),
            (Extension::Quoted, b'\\') => Some(Extension::Escaped),
            (Extension::Quoted, _) if grammar::is_quoted_byte(byte) => Some(Extension::Quoted),
            (Extension::Escaped, _) if grammar::is_value_byte(byte) => Some(Extension::Quoted),
            (Extension::Name | Extension::BeforeSemicolon { may_have_value: true }, b'=') => {
                Some(Extension::BeforeValue)
            }
            (
                Extension::BeforeSemicolon { .. }
                | Extension::Name
                | Extension::Value
                | Extension::AfterQuoted,
                b';',
            ) => Some(Extension::BeforeName),
            (Extension::BeforeSemicolon { .. }, _) if is_space => Some(self),
            (Extension::Name | Extension::Value | Extension::AfterQuoted, _) if is_space => {
                let may_have_value = self == Extension::Name;
                Some(Extension::BeforeSemicolon { may_have_value })
            }
            _ => None,
        }
    }

    /// Whether the line may end here. It may not after white space: `5 ` is no size, and 7.1.1 has white space only before more.
    fn may_end(self) -> bool {
        matches!(self, Extension::Name | Extension::Value | Extension::AfterQuoted)
    }
}

fn hexadecimal(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    })
}

/// Checks a line of the trailer section (RFC 9112 7.1.2). What it says is not handed on.
fn check_trailer(line: &[u8]) -> Result<(), Error> {
    let line = line.strip_suffix(b"\r\n").ok_or(Error::BareLineFeed)?;
    let name = parse::field_line(line, 0)?.name;
    if framing::is_forbidden_trailer(&line[name.range()]) {
        return Err(Error::ForbiddenTrailer);
    }
    Ok(())
}

/// The longest prefix that [`chunk_prefix`] writes.
pub const CHUNK_PREFIX: usize = 18;

/// Writes the size line of a chunk (`1f4\r\n`) into `out` and returns how long it is. A length of 0 would end the body:
/// [`LAST_CHUNK`] does that.
pub fn chunk_prefix(length: u64, out: &mut [u8; CHUNK_PREFIX]) -> usize {
    let digits = (64 - (length | 1).leading_zeros() as usize).div_ceil(4);
    for (index, digit) in out[..digits].iter_mut().enumerate() {
        let nibble = length >> (4 * (digits - 1 - index)) & 0xf;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    out[digits..digits + 2].copy_from_slice(b"\r\n");
    digits + 2
}

/// What ends a chunk's data.
pub const CHUNK_SUFFIX: &[u8] = b"\r\n";

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BodyLimits = BodyLimits { extensions: 32, trailers: 32, body: 64 };

    /// The data of a body and what the input has beyond it; `None` where the body is not whole.
    type Decoded<'a> = Result<Option<(Vec<u8>, &'a [u8])>, Error>;

    fn run(framing: RequestFraming, input: &[u8], most: usize) -> Decoded<'_> {
        let mut decoder = Decoder::new(framing, LIMITS)?;
        let mut body = Vec::new();
        let mut rest = input;
        loop {
            let step = decoder.decode(&rest[..rest.len().min(most)])?;
            body.extend_from_slice(&rest[step.data.clone()]);
            rest = &rest[step.consumed..];
            if step.done {
                return Ok(Some((body, rest)));
            }
            if step.consumed == 0 {
                assert!(rest.is_empty());
                return Ok(None);
            }
        }
    }

    /// The outcome for a chunked body, which must be the same whole and byte by byte.
    fn decode(input: &[u8]) -> Decoded<'_> {
        let whole = run(RequestFraming::Chunked, input, usize::MAX);
        assert_eq!(whole, run(RequestFraming::Chunked, input, 1), "{}", input.escape_ascii());
        whole
    }

    fn refused(input: &[u8]) -> Option<Error> {
        decode(input).err()
    }

    #[test]
    fn a_body_of_known_length_ends_there() {
        for most in [1, 2, 100] {
            let decoded = run(RequestFraming::Length(5), b"helloGET", most);
            assert_eq!(decoded, Ok(Some((b"hello".to_vec(), &b"GET"[..]))));
        }
        assert_eq!(run(RequestFraming::Length(5), b"hell", 100), Ok(None));
        assert_eq!(run(RequestFraming::Empty, b"GET", 100), Ok(Some((vec![], &b"GET"[..]))));
    }

    #[test]
    fn what_remains_is_known_with_a_length_only() {
        let mut decoder = Decoder::new(RequestFraming::Length(5), LIMITS).expect("small");
        assert_eq!(decoder.remaining(), Some(5));
        decoder.decode(b"he").expect("data");
        assert_eq!(decoder.remaining(), Some(3));
        let decoder = Decoder::new(RequestFraming::Chunked, LIMITS).expect("chunked");
        assert_eq!(decoder.remaining(), None);
    }

    #[test]
    fn an_announced_body_over_the_limit_is_refused_before_it_comes() {
        let decoder = Decoder::new(RequestFraming::Length(65), LIMITS);
        assert_eq!(decoder.err(), Some(Error::BodyTooLarge));
        assert!(Decoder::new(RequestFraming::Length(64), LIMITS).is_ok());
    }

    #[test]
    fn chunks_are_joined() {
        let decoded = decode(b"5\r\nhello\r\n00A\r\n, 6 bytes!\r\n0\r\n\r\nGET");
        assert_eq!(decoded, Ok(Some((b"hello, 6 bytes!".to_vec(), &b"GET"[..]))));
    }

    #[test]
    fn a_run_of_data_is_one_step() {
        let mut decoder = Decoder::new(RequestFraming::Chunked, LIMITS).expect("chunked");
        let step = decoder.decode(b"5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(step, Ok(Step { consumed: 8, data: 3..8, done: false }));
        let step = decoder.decode(b"\r\n0\r\n\r\n");
        assert_eq!(step, Ok(Step { consumed: 7, data: 7..7, done: true }));
    }

    #[test]
    fn a_chunk_size_with_a_sign_is_refused() {
        assert_eq!(refused(b"+5\r\nhello\r\n0\r\n\r\n"), Some(Error::ChunkSize));
        assert_eq!(refused(b"-5\r\nhello\r\n0\r\n\r\n"), Some(Error::ChunkSize));
    }

    #[test]
    fn a_chunk_size_is_hexadecimal_digits_and_nothing_else() {
        for bad in [
            &b"\r\n"[..],
            b";a\r\n",
            b" 5\r\n",
            b"\t5\r\n",
            b"0x5\r\n",
            b"5_0\r\n",
            b"5g\r\n",
            b"5.\r\n",
            b"\n",
            b"5\x0b\r\n",
            b"\xef",
        ] {
            assert_eq!(refused(bad), Some(Error::ChunkSize), "{}", bad.escape_ascii());
        }
        for bad in [&b"5 \r\n"[..], b"5\t\r\n", b"5 5\r\n", b"5 a\r\n"] {
            assert_eq!(refused(bad), Some(Error::ChunkExtension), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_chunk_size_has_sixteen_digits_at_the_most() {
        assert!(decode(b"0000000000000005\r\nhello\r\n0\r\n\r\n").is_ok());
        assert_eq!(refused(b"00000000000000005\r\nhello\r\n"), Some(Error::ChunkSize));
        assert_eq!(refused(b"10000000000000000\r\n"), Some(Error::ChunkSize));
        assert_eq!(refused(b"ffffffffffffffff\r\n"), Some(Error::BodyTooLarge));
    }

    #[test]
    fn lines_of_a_chunked_body_end_in_crlf() {
        assert_eq!(refused(b"5\nhello\r\n"), Some(Error::ChunkLineEnd));
        assert_eq!(refused(b"5\rhello\r\n"), Some(Error::ChunkLineEnd));
        assert_eq!(refused(b"5\r\r\nhello\r\n"), Some(Error::ChunkLineEnd));
        assert_eq!(refused(b"5;a\nhello\r\n"), Some(Error::ChunkLineEnd));
        assert_eq!(refused(b"5\r\nhello\n0\r\n"), Some(Error::ChunkDataEnd));
        assert_eq!(refused(b"5\r\nhelloo\r\n0\r\n"), Some(Error::ChunkDataEnd));
        assert_eq!(refused(b"5\r\nhell\r\n0\r\n"), Some(Error::ChunkDataEnd));
        assert_eq!(refused(b"5\r\nhello\r0\r\n"), Some(Error::ChunkDataEnd));
        assert_eq!(refused(b"0\r\n\n"), Some(Error::BareLineFeed));
        assert_eq!(refused(b"0\r\n\rx"), Some(Error::BareCarriageReturn));
    }

    #[test]
    fn chunk_extensions_are_read_over() {
        for good in [
            &b"1;a"[..],
            b"1;a=b",
            b"1;a=b;c",
            b"1;a=\"b;\\\"c\"",
            b"1;a=\"\"",
            b"1 ; a = b ;c=\"d\" ; e",
            b"1;a=\"\xe9\t\\\\\"",
        ] {
            let body = [good, b"\r\nx\r\n0;end\r\n\r\n"].concat();
            assert_eq!(
                decode(&body),
                Ok(Some((b"x".to_vec(), &b""[..]))),
                "{}",
                good.escape_ascii()
            );
        }
    }

    #[test]
    fn a_malformed_chunk_extension_is_refused() {
        for bad in [
            &b"1;\r\n"[..],
            b"1;;a\r\n",
            b"1;=b\r\n",
            b"1;a=\r\n",
            b"1;a=b=c\r\n",
            b"1;a b\r\n",
            b"1;a=\"b\r\n",
            b"1;a=\"b\\\r\n",
            b"1;a=\"b\"c\r\n",
            b"1;\"a\"\r\n",
            b"1;a \r\n",
            b"1;a=b \r\n",
            b"1;a\0\r\n",
            b"1;a=\"\0\"\r\n",
            b"1;a=b c\r\n",
            b"1,a\r\n",
        ] {
            let error = refused(bad);
            let expected = if bad == b"1,a\r\n" { Error::ChunkSize } else { Error::ChunkExtension };
            assert_eq!(error, Some(expected), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn chunk_extensions_are_bounded_over_the_whole_body() {
        let chunk = b"1;aaaaaaaaaaaaaaa\r\nx\r\n";
        assert!(decode(&[&chunk.repeat(2)[..], LAST_CHUNK].concat()).is_ok());
        assert_eq!(
            refused(&[&chunk.repeat(2)[..], b"0;a"].concat()),
            Some(Error::ChunkExtensionsTooLong)
        );
    }

    #[test]
    fn a_chunked_body_is_bounded_by_its_data() {
        assert_eq!(refused(b"41\r\n"), Some(Error::BodyTooLarge));
        let half = [&b"20\r\n"[..], &[b'x'; 32], b"\r\n"].concat();
        assert!(decode(&[&half[..], &half, LAST_CHUNK].concat()).is_ok());
        assert_eq!(refused(&[&half[..], &half, b"1\r\n"].concat()), Some(Error::BodyTooLarge));
    }

    #[test]
    fn trailers_are_checked_and_thrown_away() {
        let decoded = decode(b"1\r\nx\r\n0\r\nX-Sum: 1\r\nServer-Timing:\r\n\r\nGET");
        assert_eq!(decoded, Ok(Some((b"x".to_vec(), &b"GET"[..]))));
        assert_eq!(refused(b"0\r\nHost: a\r\n"), Some(Error::ForbiddenTrailer));
        assert_eq!(refused(b"0\r\nContent-Length: 5\r\n"), Some(Error::ForbiddenTrailer));
        assert_eq!(refused(b"0\r\nA : b\r\n"), Some(Error::SpaceBeforeColon));
        assert_eq!(refused(b"0\r\nA: b\r\n c\r\n"), Some(Error::Folding));
        assert_eq!(refused(b"0\r\nA: b\n\n"), Some(Error::BareLineFeed));
        assert_eq!(refused(b"0\r\nGET / HTTP/1.1\r\n"), Some(Error::FieldName));
    }

    #[test]
    fn the_trailer_section_is_bounded() {
        assert!(decode(b"0\r\nA: 3456789012\r\nA: 3456789012\r\n\r\n").is_ok());
        assert_eq!(
            refused(b"0\r\nA: 3456789012\r\nA: 345678901234567\r\n"),
            Some(Error::TrailersTooLong)
        );
        assert_eq!(refused(&[b"0\r\n", &[b'a'; 33][..]].concat()), Some(Error::TrailersTooLong));
    }

    #[test]
    fn a_chunk_prefix_is_its_length_in_hexadecimal() {
        for (length, expected) in
            [(1, "1"), (15, "f"), (16, "10"), (500, "1f4"), (u64::MAX, "ffffffffffffffff")]
        {
            let mut out = [0; CHUNK_PREFIX];
            let end = chunk_prefix(length, &mut out);
            assert_eq!(&out[..end], [expected.as_bytes(), b"\r\n"].concat());
        }
    }
}
