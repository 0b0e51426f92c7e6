//! Where a body ends. The only reader of Content-Length and Transfer-Encoding.
//! Knows no socket and no connection state: a head comes in, a decision goes out.

use crate::error::Error;
use crate::grammar;
use crate::head::{RequestHead, Version};

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
    let mut length = None;
    let mut lengths = 0;
    let mut codings = 0;
    for (name, value) in head.fields() {
        if is_content_length(name) {
            lengths += 1;
            length = Some(value);
        } else if is_transfer_encoding(name) {
            codings += 1;
        }
    }
    match (codings, lengths) {
        (0, 0) => Ok(RequestFraming::Empty),
        (0, 1) => match length.and_then(content_length) {
            None => Err(Error::ContentLength),
            Some(0) => Ok(RequestFraming::Empty),
            Some(length) => Ok(RequestFraming::Length(length)),
        },
        (0, _) => Err(Error::ContentLengthRepeated),
        (_, 0) if head.version() == Version::Http10 => Err(Error::TransferEncodingInHttp10),
        (_, 0) => transfer_encoding(head.values(TRANSFER_ENCODING)),
        _ => Err(Error::ContentLengthWithTransferEncoding),
    }
}

/// Reads all Transfer-Encoding lines of a request as one list. An empty element, a parameter of chunked, and chunked anywhere
/// but once and last are refused, before it is asked whether the other codings are known.
fn transfer_encoding<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<RequestFraming, Error> {
    let mut chunked = false;
    let mut unknown = false;
    for value in values {
        for coding in value.split(|&byte| byte == b',').map(grammar::trim) {
            let (name, parameters) = coding.split_at(grammar::token_length(coding));
            if name.is_empty() || chunked || !matches!(grammar::trim(parameters), [] | [b';', ..]) {
                return Err(Error::TransferEncoding);
            }
            if name.eq_ignore_ascii_case(b"chunked") {
                if !parameters.is_empty() {
                    return Err(Error::TransferEncoding);
                }
                chunked = true;
            } else {
                unknown = true;
            }
        }
    }
    if unknown { Err(Error::UnknownCoding) } else { Ok(RequestFraming::Chunked) }
}

const TRANSFER_ENCODING: &[u8] = b"Transfer-Encoding";

/// Whether this is Content-Length's name, in any case.
pub fn is_content_length(name: &[u8]) -> bool {
    // Nearly all write it like this, and one comparison finds it.
    name == b"Content-Length" || name.eq_ignore_ascii_case(b"Content-Length")
}

/// Whether this is Transfer-Encoding's name, in any case.
pub fn is_transfer_encoding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(TRANSFER_ENCODING)
}

/// The number that a Content-Length field says: `1*DIGIT` that fits 64 bits (RFC 9110 8.6), nothing else.
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, &digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// Whether a field of this name may not be a trailer (RFC 9110 6.5.1): it says how the message is framed, routed, authenticated or read,
/// which was decided before the trailer came.
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        TRANSFER_ENCODING,
        b"Accept",
        b"Age",
        b"Authorization",
        b"Cache-Control",
        b"Connection",
        b"Cookie",
        b"Date",
        b"Expect",
        b"Expires",
        b"Forwarded",
        b"From",
        b"Host",
        b"HTTP2-Settings",
        b"Keep-Alive",
        b"Location",
        b"Max-Forwards",
        b"Origin",
        b"Pragma",
        b"Priority",
        b"Range",
        b"Referer",
        b"Retry-After",
        b"Set-Cookie",
        b"TE",
        b"Trailer",
        b"Upgrade",
        b"User-Agent",
        b"Vary",
        b"Via",
        b"Warning",
        b"WWW-Authenticate",
    ];
    const PREFIXES: &[&[u8]] =
        &[b"Accept-", b"Content-", b"If-", b"Proxy", b"Sec-", b"X-Forwarded-", b"X-Real-"];
    NAMES.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        || PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
}

/// How a response's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// no body may follow (HEAD, 1xx, 204, 205, 304)
    None,
    /// exactly this many bytes
    Length(u64),
    /// the chunked transfer coding
    Chunked,
    /// until the connection closes (HTTP/1.0)
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(version: Version, fields: &[(&str, &str)]) -> Result<RequestFraming, Error> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        request_framing(&RequestHead::from_parts(b"POST", b"/", version, fields)?)
    }

    #[test]
    fn without_a_length_or_coding_there_is_no_body() {
        assert_eq!(framing(Version::Http11, &[]), Ok(RequestFraming::Empty));
        assert_eq!(framing(Version::Http10, &[]), Ok(RequestFraming::Empty));
    }

    #[test]
    fn a_content_length_is_digits_and_nothing_else() {
        let length = |value| framing(Version::Http11, &[("content-LENGTH", value)]);
        assert_eq!(length("5"), Ok(RequestFraming::Length(5)));
        assert_eq!(length("005"), Ok(RequestFraming::Length(5)));
        assert_eq!(length("0"), Ok(RequestFraming::Empty));
        assert_eq!(length("18446744073709551615"), Ok(RequestFraming::Length(u64::MAX)));
        for bad in [
            "",
            "+5",
            "-5",
            "5,5",
            "5, 5",
            "5 5",
            "0x5",
            "5.0",
            "1e3",
            "five",
            "18446744073709551616",
        ] {
            assert_eq!(length(bad), Err(Error::ContentLength), "{bad}");
        }
    }

    #[test]
    fn a_content_length_is_not_repeated_even_with_the_same_value() {
        let repeated =
            framing(Version::Http11, &[("Content-Length", "5"), ("Content-Length", "5")]);
        assert_eq!(repeated, Err(Error::ContentLengthRepeated));
    }

    #[test]
    fn a_request_with_both_is_refused_whatever_they_say() {
        for coding in ["chunked", "gzip", ""] {
            let both = [("Transfer-Encoding", coding), ("Content-Length", "0")];
            assert_eq!(
                framing(Version::Http11, &both),
                Err(Error::ContentLengthWithTransferEncoding)
            );
        }
    }

    #[test]
    fn chunked_stands_once_and_last() {
        let coding = |value| framing(Version::Http11, &[("Transfer-Encoding", value)]);
        assert_eq!(coding("chunked"), Ok(RequestFraming::Chunked));
        assert_eq!(coding("CHUNKED"), Ok(RequestFraming::Chunked));
        for bad in [
            "",
            ",",
            "chunked,",
            ",chunked",
            "chunked, chunked",
            "chunked, gzip",
            "chunked;q=1",
            "chunked ;",
            "\"chunked\"",
            "chunked foo",
            "gzip,,chunked",
        ] {
            assert_eq!(coding(bad), Err(Error::TransferEncoding), "{bad}");
        }
        for unknown in
            ["gzip", "gzip, chunked", "identity", "xchunked", "chunked-x", "gzip;q=1, chunked"]
        {
            assert_eq!(coding(unknown), Err(Error::UnknownCoding), "{unknown}");
        }
    }

    #[test]
    fn chunked_in_two_lines_is_chunked_twice() {
        let twice = [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")];
        assert_eq!(framing(Version::Http11, &twice), Err(Error::TransferEncoding));
    }

    #[test]
    fn http_1_0_has_no_transfer_codings() {
        let chunked = [("Transfer-Encoding", "chunked")];
        assert_eq!(framing(Version::Http10, &chunked), Err(Error::TransferEncodingInHttp10));
    }

    #[test]
    fn what_frames_or_routes_is_no_trailer() {
        for name in [
            &b"Content-length"[..],
            b"transfer-encoding",
            b"HOST",
            b"content-type",
            b"X-Forwarded-For",
            b"proxy",
        ] {
            assert!(is_forbidden_trailer(name), "{}", name.escape_ascii());
        }
        for name in [&b"Server-Timing"[..], b"X-Checksum", b"Digest", b"Hos", b"ETag"] {
            assert!(!is_forbidden_trailer(name), "{}", name.escape_ascii());
        }
    }
}
