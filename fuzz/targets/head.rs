//! Heads of requests: the same verdict however they are cut, and nothing in an accepted one that its grammar forbids.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whiskyjack_fuzz::{HEADS, Input};
use whiskyjack_proto::connection;
use whiskyjack_proto::error::Error;
use whiskyjack_proto::framing::RequestFraming;
use whiskyjack_proto::grammar;
use whiskyjack_proto::head::{RequestHead, Version};
use whiskyjack_proto::parse::{HeadLimits, HeadParser, Progress, parse_whole};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// All that is known of a head when its bytes end, or it does.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Complete { length: usize, method: Vec<u8>, target: Vec<u8>, version: Version, fields: Fields },
    Partial { is_begun: bool },
    Refused(Error),
}

fn fields(head: &RequestHead) -> Fields {
    head.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn complete(head: &RequestHead, length: usize) -> Verdict {
    Verdict::Complete {
        length,
        method: head.method().to_vec(),
        target: head.target().to_vec(),
        version: head.version(),
        fields: fields(head),
    }
}

fn read(pieces: &[&[u8]], limits: &HeadLimits) -> Verdict {
    let mut parser = HeadParser::default();
    let mut head = RequestHead::default();
    let mut input = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        match parser.parse(&input, limits, &mut head) {
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete(length)) => return complete(&head, length),
            Err(error) => return Verdict::Refused(error),
        }
    }
    Verdict::Partial { is_begun: parser.is_begun() }
}

/// What an accepted head may be trusted for.
fn check(head: &RequestHead) {
    assert!(grammar::is_token(head.method()));
    assert!(grammar::is_target(head.target()));
    for (name, value) in head.fields() {
        assert!(grammar::is_token(name));
        assert!(grammar::is_value(value) && grammar::trim(value) == value);
    }
    let parts =
        RequestHead::from_parts(head.method(), head.target(), head.version(), head.fields())
            .expect("the grammar is the same for parts");
    assert_eq!(complete(head, 0), complete(&parts, 0));
    let intent = connection::intent(head);
    assert_eq!(intent, connection::intent(&parts));

    let written = write(head);
    let limits =
        HeadLimits { line: usize::MAX, fields: usize::MAX, field: usize::MAX, head: usize::MAX };
    let (again, length) = parse_whole(&written, &limits)
        .expect("what was understood can be said again")
        .expect("a whole head");
    assert_eq!(complete(head, written.len()), complete(&again, length));

    if let Ok(intent) = intent {
        // RFC 9112 9.3 and 6.3
        let says = |name: &[u8], what: &[u8]| {
            head.values(name).any(|value| value.eq_ignore_ascii_case(what))
        };
        let is_list = head.values(b"Connection").any(|value| value.contains(&b','));
        if intent.persistent {
            assert!(!says(b"Connection", b"close"));
            assert!(
                head.version() == Version::Http11 || says(b"Connection", b"keep-alive") || is_list
            );
        }
        let coded = head.values(b"Transfer-Encoding").next().is_some();
        let mut lengths = head.values(b"Content-Length");
        let length = lengths.next();
        assert!(lengths.next().is_none());
        match intent.framing {
            RequestFraming::Empty => {
                let digits = length.unwrap_or(b"0");
                assert!(!coded && digits.iter().all(|&digit| digit == b'0'));
            }
            RequestFraming::Length(count) => {
                let said = length.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
                assert!(!coded && count > 0 && said == Some(count));
            }
            RequestFraming::Chunked => assert!(coded && length.is_none()),
        }
        assert!(head.path().starts_with(b"/") || head.target() == b"*");
        assert!(head.host().is_none_or(grammar::is_authority));
    }
}

fn write(head: &RequestHead) -> Vec<u8> {
    let version = match head.version() {
        Version::Http10 => &b" HTTP/1.0\r\n"[..],
        Version::Http11 => &b" HTTP/1.1\r\n"[..],
    };
    let mut out = [head.method(), b" ", head.target(), version].concat();
    for (name, value) in head.fields() {
        out.extend([name, b":", value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out
}

fuzz_target!(|data: &[u8]| {
    let input = Input::new(data);
    let pieces = input.pieces();
    for limits in &HEADS {
        let whole = read(&[input.bytes], limits);
        assert_eq!(whole, read(&pieces, limits));
        if let Ok(Some((head, length))) = parse_whole(input.bytes, limits) {
            assert_eq!(whole, complete(&head, length));
            assert!(head.fields().len() <= limits.fields && length <= limits.head + 8);
            check(&head);
        }
    }
});
