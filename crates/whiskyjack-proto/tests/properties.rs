//! What holds for every input, tried on many.

mod driver;

use driver::{End, feed, feed_within};
use proptest::collection::vec;
use proptest::prelude::*;
use whiskyjack_proto::body::{BodyLimits, CHUNK_PREFIX, CHUNK_SUFFIX, LAST_CHUNK, chunk_prefix};
use whiskyjack_proto::framing::ResponseFraming;
use whiskyjack_proto::head::{RequestHead, ResponseHead, Version};
use whiskyjack_proto::parse::HeadLimits;
use whiskyjack_proto::write::{Asked, Defaults, Plan, interim_head, refusal, response_head};

/// Cuts the bytes at these places, wherever they fall.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for place in places.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[start..place]);
        start = place;
    }
    pieces
}

/// Bytes that look like HTTP often enough to come far, and break its rules often enough to be refused.
fn almost_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.1\r\n", "HEAD http://a/ HTTP/1.0\r\n",
            "Host: a\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n",
            "Connection: close\r\n", "Connection: keep-alive\r\n", "A: b\r\n", "\r\n", "hello", "5\r\nhello\r\n",
            "5;a=\"b\"\r\nhello\r\n", "0\r\n\r\n", "0\r\nA: b\r\n\r\n", "0\r\n", "5\r\n", "5 ;a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::sample::select(vec![" ", "\t", "\r", "\n", "\0", ":", ";", ",", "\"", "\\", "+", "5", "a", "%", "é"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}".prop_map(String::into_bytes)
}

/// A field value as it is after trimming.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8];
    vec(byte, 0..40).prop_map(|bytes| {
        let text = bytes.as_slice();
        let start =
            text.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(text.len());
        let end =
            text.iter().rposition(|&byte| byte != b' ' && byte != b'\t').map_or(start, |at| at + 1);
        text[start..end].to_vec()
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let version = prop_oneof![Just(Version::Http10), Just(Version::Http11)];
    (version, any::<bool>(), any::<bool>()).prop_map(|(version, head_only, persistent)| Asked {
        version,
        head_only,
        persistent,
    })
}

const DEFAULTS: Defaults<'_> =
    Defaults { date: b"Sun, 06 Nov 1994 08:49:37 GMT", server: Some(b"whiskyjack") };

/// The lines of a response head; panics unless it is nothing but lines that end in CRLF, the last one empty.
fn lines(head: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\r' || byte == b'\n') {
        assert_eq!(rest.get(end..end + 2), Some(&b"\r\n"[..]), "a bare CR or LF");
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    assert!(rest.is_empty());
    assert_eq!(lines.pop(), Some(&b""[..]));
    assert!(lines.iter().all(|line| !line.is_empty()), "an empty line inside the head");
    lines
}

/// The values of a field of a written head.
fn written<'a>(lines: &[&'a [u8]], name: &str) -> Vec<&'a [u8]> {
    lines
        .iter()
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let matches = line[..colon].eq_ignore_ascii_case(name.as_bytes());
            matches.then(|| line[colon + 1..].trim_ascii())
        })
        .collect()
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_no_split_changes_the_verdict(
        bytes in vec(any::<u8>(), 0..300),
        places in vec(any::<usize>(), 0..12),
    ) {
        let whole = feed([&bytes[..]]);
        prop_assert_eq!(&feed(bytes.chunks(1)), &whole);
        prop_assert_eq!(&feed(cut(&bytes, &places)), &whole);
    }

    #[test]
    fn what_looks_like_http_gets_the_same_verdict_at_every_split(
        bytes in almost_http(),
        places in vec(any::<usize>(), 0..12),
    ) {
        let whole = feed([&bytes[..]]);
        prop_assert_eq!(&feed(bytes.chunks(1)), &whole);
        prop_assert_eq!(&feed(cut(&bytes, &places)), &whole);
    }

    #[test]
    fn small_limits_are_crossed_at_the_same_place_at_every_split(
        bytes in almost_http(),
        places in vec(any::<usize>(), 0..12),
        (line, fields, field, head) in (0..40_usize, 0..6_usize, 0..40_usize, 0..100_usize),
        (extensions, trailers, body) in (0..12_usize, 0..20_usize, 0..20_u64),
    ) {
        let head = HeadLimits { line, fields, field, head };
        let body = BodyLimits { extensions, trailers, body };
        let whole = feed_within(&head, &body, [&bytes[..]]);
        prop_assert_eq!(&feed_within(&head, &body, bytes.chunks(1)), &whole);
        prop_assert_eq!(&feed_within(&head, &body, cut(&bytes, &places)), &whole);
    }

    #[test]
    fn a_chunked_body_is_decoded_to_what_was_encoded(
        chunks in vec(vec(any::<u8>(), 1..80), 0..12),
        places in vec(any::<usize>(), 0..12),
    ) {
        let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            let mut prefix = [0; CHUNK_PREFIX];
            let length = chunk_prefix(chunk.len() as u64, &mut prefix);
            bytes.extend_from_slice(&prefix[..length]);
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(CHUNK_SUFFIX);
        }
        bytes.extend_from_slice(LAST_CHUNK);
        let verdict = feed(cut(&bytes, &places));
        prop_assert_eq!(verdict.end, End::Between);
        prop_assert_eq!(verdict.requests.len(), 1);
        prop_assert_eq!(&verdict.requests[0].body, &chunks.concat());
    }

    #[test]
    fn a_request_of_good_parts_is_read_as_these_parts(
        method in token().prop_filter("CONNECT opens a tunnel", |method| method != b"CONNECT"),
        path in "/[!$&'()*+,./:;=@_~0-9A-Za-z-]{0,40}(\\?[!-~&&[^\"#<>]]{0,20})?",
        fields in vec((token().prop_map(|name| [b"X-", &name[..]].concat()), value()), 0..20),
        body in vec(any::<u8>(), 0..100),
        places in vec(any::<usize>(), 0..6),
    ) {
        let mut bytes = [&method[..], b" ", path.as_bytes(), b" HTTP/1.1\r\nHost: a\r\n"].concat();
        for (name, value) in &fields {
            bytes.extend_from_slice(&[&name[..], b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
        let verdict = feed(cut(&bytes, &places));
        prop_assert_eq!(verdict.end, End::Between);
        let request = &verdict.requests[0];
        prop_assert_eq!(&request.method, &method);
        prop_assert_eq!(&request.target[..], path.as_bytes());
        prop_assert_eq!(&request.fields[1..=fields.len()], &fields[..]);
        prop_assert_eq!(&request.body, &body);
    }

    #[test]
    fn a_head_of_any_parts_is_refused_or_keeps_them(
        method in vec(any::<u8>(), 0..8),
        target in vec(any::<u8>(), 0..8),
        fields in vec((vec(any::<u8>(), 0..8), vec(any::<u8>(), 0..8)), 0..4),
    ) {
        let given = fields.iter().map(|(name, value)| (&name[..], &value[..]));
        if let Ok(head) = RequestHead::from_parts(&method, &target, Version::Http11, given) {
            prop_assert_eq!(head.method(), &method[..]);
            prop_assert_eq!(head.target(), &target[..]);
            prop_assert_eq!(head.fields().len(), fields.len());
            let _ = (head.host(), head.path_and_query(), head.query());
        }
    }

    #[test]
    fn no_application_breaks_a_response_head(
        asked in asked(),
        status in prop_oneof![
            "[2-5][0-9][0-9] [ -~]{0,12}".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..12),
        ],
        fields in vec(
            (
                prop_oneof![
                    token(),
                    vec(any::<u8>(), 0..8),
                    prop::sample::select(vec![
                        "Connection", "Content-Length", "Transfer-Encoding", "Date", "Server", "Upgrade", "TE",
                    ]).prop_map(|name| name.as_bytes().to_vec()),
                ],
                prop_oneof![
                    value(),
                    vec(any::<u8>(), 0..12),
                    prop::sample::select(vec!["0", "5", "close", "chunked", "keep-alive"])
                        .prop_map(|value| value.as_bytes().to_vec()),
                ],
            ),
            0..12,
        ),
        length in proptest::option::of(0..100_u64),
    ) {
        let mut head = ResponseHead::default();
        if head.set_status(&status).is_err() {
            head.set_status(b"200 OK").expect("a good status");
        }
        for (name, value) in &fields {
            // A refused field leaves the head as it was.
            let before = head.fields().len();
            if head.push(name, value).is_err() {
                prop_assert_eq!(head.fields().len(), before);
            }
        }
        let mut out = b"kept".to_vec();
        let Plan { framing, persistent, .. } = response_head(&mut out, asked, &head, length, DEFAULTS);
        let text = out.strip_prefix(b"kept").expect("what was there stays");
        let lines = lines(text);
        prop_assert_eq!(lines[0], &[b"HTTP/1.1 ", head.status_line()].concat()[..]);

        let lengths = written(&lines, "Content-Length");
        let codings = written(&lines, "Transfer-Encoding");
        let connections = written(&lines, "Connection");
        prop_assert!(lengths.len() + codings.len() <= 1);
        match framing {
            ResponseFraming::Length(length) => {
                let length = length.to_string();
                prop_assert_eq!(lengths, [length.as_bytes()]);
            }
            ResponseFraming::Chunked => {
                prop_assert_eq!(codings, [&b"chunked"[..]]);
                prop_assert_eq!(asked.version, Version::Http11);
            }
            ResponseFraming::Close => {
                prop_assert!(lengths.is_empty() && codings.is_empty() && !persistent);
                prop_assert_eq!(asked.version, Version::Http10);
            }
            ResponseFraming::None => {
                prop_assert!(codings.is_empty());
                prop_assert!(asked.head_only || matches!(head.status(), 100..200 | 204 | 205 | 304));
                prop_assert!(head.status() != 204 || lengths.is_empty());
            }
        }
        prop_assert!(!persistent || asked.persistent);
        let expected: &[&[u8]] = match (persistent, asked.version) {
            (true, Version::Http11) => &[],
            (true, Version::Http10) => &[b"keep-alive"],
            (false, _) => &[b"close"],
        };
        prop_assert_eq!(&connections[..], expected);
        prop_assert!(!written(&lines, "Date").is_empty());
        prop_assert!(!written(&lines, "Server").is_empty());

        let mut interim = Vec::new();
        interim_head(&mut interim, &head);
        self::lines(&interim);
    }

    #[test]
    fn a_refusal_of_any_status_is_a_whole_response(status in 100..1000_u16, head_only: bool, persistent: bool) {
        let mut out = Vec::new();
        let asked = Asked { version: Version::Http11, head_only, persistent };
        refusal(&mut out, status, asked, DEFAULTS);
        let end = out.windows(4).position(|window| window == b"\r\n\r\n").expect("a head's end") + 4;
        let length = written(&lines(&out[..end]), "Content-Length")[0].to_vec();
        let body = if head_only { 0 } else { out.len() - end };
        prop_assert!(head_only || length == body.to_string().as_bytes());
        prop_assert_eq!(out.len(), end + body);
    }
}
