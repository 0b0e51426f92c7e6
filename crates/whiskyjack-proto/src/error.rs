//! Which rule was broken, and the status that answers it.
//! Knows no bytes of a request: a variant is a rule.

use std::fmt;

/// A rule of RFC 9110 or 9112 that the peer broke, or a limit of this server that it went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// RFC 9112 3: the request line is not `method SP target SP version`. HTTP/0.9 ends here, too.
    RequestLine,
    /// RFC 9112 3.1: the method is not a token, or the connection does not begin as HTTP at all.
    Method,
    /// RFC 9112 3.2: the target holds a byte that no target may hold.
    TargetByte,
    /// RFC 9112 3.2: the target has none of the four forms, or one that its method does not allow.
    TargetForm,
    /// RFC 3986 2.1: a `%` in the target's path is not followed by two hexadecimal digits.
    PercentEncoding,
    /// RFC 9110 9.3.6: this server opens no tunnels.
    Connect,
    /// RFC 9110 2.5: the major version is not 1.
    Version,
    /// RFC 9112 2.2: more empty lines before a request than this server skips.
    EmptyLines,
    /// RFC 9112 2.2: a line ends in LF alone. Who takes that for a line's end disagrees with who does not.
    BareLineFeed,
    /// RFC 9112 2.2: a CR without its LF.
    BareCarriageReturn,
    /// RFC 9112 3: the request line is over the limit.
    RequestLineTooLong,
    /// RFC 9112 2.2: white space between the request line and the first field.
    LeadingSpace,
    /// RFC 9112 5.2: a field line is folded.
    Folding,
    /// RFC 9112 5.1: white space between a field's name and its colon.
    SpaceBeforeColon,
    /// RFC 9110 5.1: a field's name is not a token, or no colon follows it.
    FieldName,
    /// RFC 9110 5.5: a control byte in a field's value.
    FieldValue,
    /// RFC 9110 5.4: a field line is over the limit.
    FieldTooLong,
    /// RFC 6585 5: more field lines than the limit.
    TooManyFields,
    /// RFC 6585 5: the head is over the limit.
    HeadTooLarge,
    /// RFC 9112 3.2: an HTTP/1.1 request without Host.
    HostMissing,
    /// RFC 9112 3.2: Host more than once.
    HostRepeated,
    /// RFC 9112 3.2: Host is not `uri-host [ ":" port ]`.
    Host,
    /// RFC 9110 4.2: the authority of an absolute target is not `uri-host [ ":" port ]`; user information is refused, too (4.2.4).
    Authority,
    /// RFC 9110 8.6: Content-Length is not one number that fits 64 bits.
    ContentLength,
    /// RFC 9112 6.3: Content-Length more than once. Even equal ones are refused: no honest client sends them.
    ContentLengthRepeated,
    /// RFC 9112 6.1: a request with both must be refused, or it can be smuggled past us.
    ContentLengthWithTransferEncoding,
    /// RFC 9112 6.1: Transfer-Encoding in a message of HTTP/1.0, whose framing is faulty by that alone.
    TransferEncodingInHttp10,
    /// RFC 9112 6.3: Transfer-Encoding is malformed, or chunked is not there exactly once and last.
    TransferEncoding,
    /// RFC 9112 6.1: a transfer coding that this server does not know.
    UnknownCoding,
    /// RFC 9110 10.1.1: an expectation other than `100-continue`.
    Expectation,
    /// RFC 9112 7.1: a chunk's size is not 1 to 16 hexadecimal digits.
    ChunkSize,
    /// RFC 9112 7.1.1: a chunk extension is malformed.
    ChunkExtension,
    /// RFC 9112 7.1.1: the chunk extensions of a body are over the limit.
    ChunkExtensionsTooLong,
    /// RFC 9112 7.1: a chunk's size line does not end in CRLF.
    ChunkLineEnd,
    /// RFC 9112 7.1: a chunk's data is not followed by CRLF.
    ChunkDataEnd,
    /// RFC 9110 6.5.1: a field that may not be a trailer.
    ForbiddenTrailer,
    /// RFC 9112 7.1.2: the trailer section is over the limit.
    TrailersTooLong,
    /// RFC 9110 15.5.14: the body is over the limit.
    BodyTooLarge,
    /// RFC 9110 15.5.9: the head did not come in time.
    HeadTimeout,
    /// RFC 9110 15.5.9: the body did not come in time.
    BodyTimeout,
}

impl Error {
    /// The status code that answers this fault (400, 408, 413, 414, 417, 431, 501 or 505).
    pub fn status(self) -> u16 {
        match self {
            Error::HeadTimeout | Error::BodyTimeout => 408,
            Error::BodyTooLarge | Error::ChunkExtensionsTooLong => 413,
            Error::RequestLineTooLong => 414,
            Error::Expectation => 417,
            Error::FieldTooLong
            | Error::TooManyFields
            | Error::HeadTooLarge
            | Error::TrailersTooLong => 431,
            Error::Connect | Error::UnknownCoding => 501,
            Error::Version => 505,
            _ => 400,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::RequestLine => "request line is not method, target and version",
            Error::Method => "method is not a token",
            Error::TargetByte => "request target holds a forbidden byte",
            Error::TargetForm => "request target has no form that its method allows",
            Error::PercentEncoding => "request target's path holds a malformed percent-encoding",
            Error::Connect => "method CONNECT is not served",
            Error::Version => "HTTP version is not 1.0 or 1.1",
            Error::EmptyLines => "too many empty lines before the request line",
            Error::BareLineFeed => "line ends in LF without CR",
            Error::BareCarriageReturn => "CR without LF",
            Error::RequestLineTooLong => "request line is too long",
            Error::LeadingSpace => "white space before the first header",
            Error::Folding => "header line is folded",
            Error::SpaceBeforeColon => "white space between a header's name and its colon",
            Error::FieldName => "header name is empty, not a token, or without a colon",
            Error::FieldValue => "control byte in a header's value",
            Error::FieldTooLong => "header line is too long",
            Error::TooManyFields => "too many headers",
            Error::HeadTooLarge => "request head is too large",
            Error::HostMissing => "Host header is missing",
            Error::HostRepeated => "Host header is repeated",
            Error::Host => "Host header is not a host with an optional port",
            Error::Authority => "request target's authority is not a host with an optional port",
            Error::ContentLength => "Content-Length is not a number",
            Error::ContentLengthRepeated => "Content-Length is repeated",
            Error::ContentLengthWithTransferEncoding => {
                "Content-Length and Transfer-Encoding in one request"
            }
            Error::TransferEncodingInHttp10 => "Transfer-Encoding in an HTTP/1.0 request",
            Error::TransferEncoding => "Transfer-Encoding is not chunked, once and last",
            Error::UnknownCoding => "transfer coding is unknown",
            Error::Expectation => "expectation is unknown",
            Error::ChunkSize => "chunk size is not hexadecimal or too long",
            Error::ChunkExtension => "chunk extension is malformed",
            Error::ChunkExtensionsTooLong => "chunk extensions are too long",
            Error::ChunkLineEnd => "chunk size line does not end in CRLF",
            Error::ChunkDataEnd => "chunk data is not followed by CRLF",
            Error::ForbiddenTrailer => "header is not allowed as a trailer",
            Error::TrailersTooLong => "trailers are too long",
            Error::BodyTooLarge => "request body is too large",
            Error::HeadTimeout => "request head did not arrive in time",
            Error::BodyTimeout => "request body did not arrive in time",
        })
    }
}

impl std::error::Error for Error {}

/// What an application put into a response head that must not go on the wire. Texts are escaped and cut, fit for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// PEP 3333: the status is not three digits (100 to 599), one space and a reason without control bytes.
    Status(String),
    /// RFC 9110 5.1: a field's name is not a token.
    Name(String),
    /// RFC 9110 5.5: a control byte in the value of the field of this name.
    Value {
        /// the field's name
        name: String,
        /// what it should have held
        value: String,
    },
    /// RFC 9110 8.6: Content-Length is not one number that fits 64 bits.
    ContentLength(String),
    /// RFC 9110 8.6: Content-Length is there already, with another value.
    ContentLengthConflict {
        /// the value that came first
        first: u64,
        /// the value that came later
        second: u64,
    },
    /// The head is over 4 GiB.
    TooLarge,
}

impl ResponseError {
    /// How many bytes of an offending text a message shows.
    const SHOWN: usize = 200;

    /// A text of the application's for a message: escaped, and cut if it is long.
    pub(crate) fn shown(text: &[u8]) -> String {
        match text.get(..Self::SHOWN) {
            Some(start) if text.len() > Self::SHOWN => format!("{}...", start.escape_ascii()),
            _ => text.escape_ascii().to_string(),
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseError::Status(line) => {
                write!(f, "status is not three digits, a space and a reason: \"{line}\"")
            }
            ResponseError::Name(name) => write!(f, "header name is not a token: \"{name}\""),
            ResponseError::Value { name, value } => {
                write!(f, "control byte in the value of header \"{name}\": \"{value}\"")
            }
            ResponseError::ContentLength(value) => {
                write!(f, "Content-Length is not a number: \"{value}\"")
            }
            ResponseError::ContentLengthConflict { first, second } => {
                write!(f, "Content-Length is set twice: {first} and {second}")
            }
            ResponseError::TooLarge => f.write_str("response head is larger than 4 GiB"),
        }
    }
}

impl std::error::Error for ResponseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offender_is_shown_escaped_and_cut() {
        assert_eq!(ResponseError::shown(b"a\r\nb\xff"), "a\\r\\nb\\xff");
        assert_eq!(ResponseError::shown(&[b'a'; 300]).len(), 203);
    }

    #[test]
    fn messages_start_where_a_sentence_goes_on_and_have_no_full_stop() {
        for error in [Error::RequestLine, Error::BodyTimeout, Error::Folding] {
            let text = error.to_string();
            assert!(text.starts_with(|first: char| first.is_lowercase()) && !text.ends_with('.'));
        }
    }
}
