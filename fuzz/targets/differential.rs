//! Our parser of heads against httparse: what we accept it accepts, and reads the same; what we refuse and it accepts is one of a few
//! strictnesses that we mean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whiskyjack_fuzz::{HEADS, Input};
use whiskyjack_proto::error::Error;
use whiskyjack_proto::head::{RequestHead, Version};
use whiskyjack_proto::parse::{HeadLimits, parse_whole};

/// Whether this refusal of what httparse accepts is meant, and right for these bytes.
fn is_meant(error: Error, bytes: &[u8], limits: &HeadLimits) -> bool {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    match error {
        // RFC 9112 2.2 only permits to take LF for a line's end, and who does disagrees with who does not.
        Error::BareLineFeed => {
            bytes.first() == Some(&b'\n')
                || bytes.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r')
        }
        // RFC 9112 2.2 asks for one empty line at least to be skipped; we skip four.
        Error::EmptyLines => bytes.starts_with(b"\r\n\r\n\r\n\r\n\r\n"),
        // RFC 9112 3.2 and RFC 3986 2: no URI holds these; httparse lets them through.
        Error::TargetByte => {
            let line = lines.find(|line| !line.is_empty() && *line != b"\r").unwrap_or_default();
            let target = line.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
            target.iter().any(|&byte| matches!(byte, b'"' | b'#' | b'<' | b'>' | 0x7f..))
        }
        // RFC 9112 3 and RFC 6585 5: limits of ours.
        Error::RequestLineTooLong => lines.any(|line| line.len() > limits.line),
        Error::FieldTooLong => lines.any(|line| line.len() > limits.field),
        Error::TooManyFields => lines.count() > limits.fields,
        Error::HeadTooLarge => bytes.len() > limits.head,
        _ => false,
    }
}

/// RFC 9110 2.5: we take HTTP/1.2 and later for 1.1, which httparse refuses. It gets to see a 1.1 in its place.
fn with_known_version(bytes: &[u8], head: &RequestHead) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if head.version() == Version::Http11 {
        let start = bytes.iter().position(|&byte| byte != b'\r' && byte != b'\n').unwrap_or(0);
        bytes[start + head.method().len() + head.target().len() + " HTTP/1. ".len()] = b'1';
    }
    bytes
}

fn check_same(head: &RequestHead, length: usize, bytes: &[u8]) {
    let bytes = with_known_version(bytes, head);
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut room);
    let parsed = request.parse(&bytes).expect("what we accept");
    assert_eq!(parsed, httparse::Status::Complete(length));
    assert_eq!(request.method.map(str::as_bytes), Some(head.method()));
    assert_eq!(request.path.map(str::as_bytes), Some(head.target()));
    assert_eq!(request.version, Some(u8::from(head.version() == Version::Http11)));
    let fields: Vec<_> =
        request.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(fields, head.fields().collect::<Vec<_>>());
}

fuzz_target!(|data: &[u8]| {
    let bytes = Input::new(data).bytes;
    for limits in &HEADS {
        match parse_whole(bytes, limits) {
            Ok(Some((head, length))) => check_same(&head, length, bytes),
            refused_or_partial => {
                let mut room = [httparse::EMPTY_HEADER; 1024];
                let mut request = httparse::Request::new(&mut room);
                // Where httparse refuses, or waits for more, it does not say what it would have us do.
                let Ok(httparse::Status::Complete(_)) = request.parse(bytes) else { continue };
                let error = refused_or_partial.expect_err("a head that is whole for httparse");
                assert!(is_meant(error, bytes, limits), "we refuse it: {error}");
            }
        }
    }
});
