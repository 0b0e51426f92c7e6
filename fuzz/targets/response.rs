//! Response heads: whatever an application says, what goes out is one head, and a client finds the body's end where the plan has it.
//!
//! An input is what the request asked (a byte), then pieces between 0xff: the Server field's default, the status, and by turns
//! names and values.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whiskyjack_proto::framing::ResponseFraming;
use whiskyjack_proto::head::{ResponseHead, Version};
use whiskyjack_proto::write::{Asked, Defaults, Plan, interim_head, refusal, response_head};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// What is the server's, and left out or written anew (RFC 9110 7.6.1).
const OWN: [&[u8]; 9] = [
    b"Connection",
    b"Content-Length",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"TE",
    b"Trailer",
    b"Transfer-Encoding",
    b"Upgrade",
    b"Date",
];

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A head as a client reads it.
struct Read {
    status: u16,
    fields: Fields,
    length: usize,
}

impl Read {
    fn values<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    fn one<'a>(&'a self, name: &[u8]) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let value = values.next();
        assert!(values.next().is_none(), "more than one {}", name.escape_ascii());
        value
    }

    /// RFC 9112 6.3, from the client's side.
    fn framing(&self, head_only: bool) -> ResponseFraming {
        let length = self.one(b"Content-Length").map(|digits| {
            let digits = str::from_utf8(digits).expect("digits");
            digits.parse().expect("a number")
        });
        match (self.one(b"Transfer-Encoding"), length) {
            (Some(_), Some(_)) => panic!("both Content-Length and Transfer-Encoding"),
            _ if head_only || matches!(self.status, 100..200 | 204 | 304) => ResponseFraming::None,
            (Some(coding), None) => {
                assert_eq!(coding, b"chunked");
                ResponseFraming::Chunked
            }
            (None, Some(length)) => ResponseFraming::Length(length),
            (None, None) => ResponseFraming::Close,
        }
    }
}

/// Reads with another parser than ours, and line by line.
fn read(bytes: &[u8]) -> Read {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an empty line") + 4;
    let text = &bytes[..end];
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(text[at + 1], b'\n', "CR without LF"),
            b'\n' => assert_eq!(text[at - 1], b'\r', "LF without CR"),
            b'\t' => {}
            byte => assert!(byte >= b' ' && byte != 0x7f, "a control byte"),
        }
    }
    let mut room = [httparse::EMPTY_HEADER; 256];
    let mut response = httparse::Response::new(&mut room);
    let parsed = response.parse(bytes).expect("a head that others accept");
    assert_eq!(parsed, httparse::Status::Complete(end));
    Read {
        status: response.code.expect("a status"),
        fields: response
            .headers
            .iter()
            .map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec()))
            .collect(),
        length: end,
    }
}

/// The fields that are the application's business, in order.
fn end_to_end<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Fields {
    fields
        .filter(|(name, _)| !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)))
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

/// RFC 9112 9.6
fn says_close<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
    fields
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"Connection"))
        .any(|(_, value)| value.eq_ignore_ascii_case(b"close"))
}

fn check_framing(read: &Read, asked: Asked, plan: Plan) {
    let seen = read.framing(asked.head_only);
    match plan.framing {
        // RFC 9110 15.3.6: a 205 says that it has no content.
        ResponseFraming::None if read.status == 205 && !asked.head_only => {
            assert_eq!(seen, ResponseFraming::Length(0));
        }
        ResponseFraming::Close => {
            assert_eq!(seen, ResponseFraming::Close);
            assert!(!plan.persistent);
        }
        planned => assert_eq!(seen, planned),
    }
    if matches!(read.status, 100..200 | 204) {
        // RFC 9110 8.6 and RFC 9112 6.1
        assert!(read.one(b"Content-Length").is_none());
        assert!(read.one(b"Transfer-Encoding").is_none());
    }
    if asked.version == Version::Http10 {
        assert!(read.one(b"Transfer-Encoding").is_none());
    }
    // RFC 9112 9.3
    let connection = read.one(b"Connection");
    let stays = match asked.version {
        Version::Http11 => connection.is_none(),
        Version::Http10 => connection == Some(b"keep-alive"),
    };
    assert_eq!(plan.persistent, stays);
    assert!(stays || connection == Some(b"close"));
    assert!(asked.persistent || !plan.persistent);
    assert!(read.values(b"Date").next().is_some());
}

fuzz_target!(|data: &[u8]| {
    let Some((&flags, rest)) = data.split_first() else { return };
    let mut pieces = rest.split(|&byte| byte == 0xff);
    let server = pieces.next().filter(|_| flags & 1 != 0);
    let asked = Asked {
        version: if flags & 2 != 0 { Version::Http11 } else { Version::Http10 },
        head_only: flags & 4 != 0,
        persistent: flags & 8 != 0,
    };
    let length = (flags & 16 != 0).then_some(u64::from(flags >> 5) * 1_000_003);
    let defaults = Defaults { date: DATE, server };

    let mut head = ResponseHead::default();
    if pieces.next().is_none_or(|status| head.set_status(status).is_err()) {
        head.set_status(b"200 OK").expect("a good status");
    }
    while let (Some(name), Some(value)) = (pieces.next(), pieces.next()) {
        let before = (head.fields().len(), head.content_length());
        if before.0 < 200 && head.push(name, value).is_err() {
            let after = (head.fields().len(), head.content_length());
            assert_eq!(before, after, "what is refused leaves nothing behind");
        }
    }

    let mut out = Vec::new();
    let plan = response_head(&mut out, asked, &head, length, defaults);
    let found = read(&out);
    assert_eq!((found.status, found.length), (head.status(), out.len()));
    check_framing(&found, asked, plan);
    if says_close(head.fields()) {
        assert!(!plan.persistent);
    }
    let mut sent = end_to_end(found.fields.iter().map(|(n, v)| (&n[..], &v[..])));
    if head.value(b"Server").is_none() && found.values(b"Server").next().is_some() {
        sent.retain(|(name, _)| name != b"Server");
    }
    assert_eq!(sent, end_to_end(head.fields()));

    out.clear();
    interim_head(&mut out, &head);
    let found = read(&out);
    assert_eq!(found.length, out.len());
    for own in &OWN[..8] {
        assert!(found.values(own).next().is_none(), "{}", own.escape_ascii());
    }

    out.clear();
    let body = refusal(&mut out, head.status(), Asked { persistent: false, ..asked }, defaults);
    let found = read(&out);
    assert_eq!(found.length + body, out.len());
    assert_eq!(found.one(b"Connection"), Some(&b"close"[..]));
    assert!(asked.head_only == (body == 0));
});
