//! Does one thing of proto's many times over, for callgrind to count its instructions: `whiskyjack-callgrind CASE COUNT`.
//! Measures nothing itself; bench/instructions.py runs it with two counts and divides the difference.

use std::error::Error;
use std::hint::black_box;
use whiskyjack_proto::body::{BodyLimits, Decoder};
use whiskyjack_proto::connection::{self, Intent};
use whiskyjack_proto::date::DateCache;
use whiskyjack_proto::head::{RequestHead, ResponseHead};
use whiskyjack_proto::parse::{HeadLimits, HeadParser, Progress};
use whiskyjack_proto::write::{Asked, Defaults, response_head};

/// The server's defaults.
const HEAD: HeadLimits = HeadLimits { line: 8190, fields: 100, field: 8190, head: 64 << 10 };
const BODY: BodyLimits = BodyLimits { extensions: 16 << 10, trailers: 16 << 10, body: 1 << 30 };

/// What bench/wrk/plain.lua makes wrk send.
const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
/// What bench/wrk/chrome.lua makes it send. bench/instructions.py puts the same file to the servers.
const CHROME: &[u8] = include_bytes!("../chrome.http");
const UPLOAD: &[u8] =
    b"POST /birds HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nTransfer-Encoding: chunked\r\n\r\n";
const SECOND: u64 = 1_800_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(case), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: whiskyjack-callgrind CASE COUNT".into());
    };
    let count: u32 = count.parse()?;
    match case.as_str() {
        "hello" => heads(HELLO, count),
        "chrome" => heads(CHROME, count),
        "chunked" => chunked(count),
        "response" => responses(count),
        _ => {
            Err(format!("no such case: {case}; there are hello, chrome, chunked and response")
                .into())
        }
    }
}

fn parsed(
    parser: &mut HeadParser,
    input: &[u8],
    head: &mut RequestHead,
) -> Result<Intent, Box<dyn Error>> {
    match parser.parse(black_box(input), &HEAD, head)? {
        Progress::Complete(_) => Ok(connection::intent(head)?),
        Progress::Partial => Err("the head is not whole".into()),
    }
}

/// A head, from bytes to what it asks of the connection.
fn heads(input: &[u8], count: u32) -> Result<(), Box<dyn Error>> {
    let (mut parser, mut head) = (HeadParser::default(), RequestHead::default());
    for _ in 0..count {
        black_box(parsed(&mut parser, input, &mut head)?);
    }
    Ok(())
}

/// The body of an upload: ten chunks of a kilobyte, which came together.
fn chunked(count: u32) -> Result<(), Box<dyn Error>> {
    let mut head = RequestHead::default();
    let framing = parsed(&mut HeadParser::default(), UPLOAD, &mut head)?.framing;
    let mut body = Vec::new();
    for _ in 0..10 {
        body.extend_from_slice(b"400\r\n");
        body.extend_from_slice(&[b'x'; 1024]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    for _ in 0..count {
        let mut decoder = Decoder::new(framing, BODY)?;
        let mut rest = black_box(body.as_slice());
        loop {
            let step = decoder.decode(rest)?;
            black_box(&rest[step.data.clone()]);
            rest = &rest[step.consumed..];
            if step.done {
                break;
            }
        }
    }
    Ok(())
}

/// The head of an answer with two fields, from the application's to the bytes that leave.
fn responses(count: u32) -> Result<(), Box<dyn Error>> {
    let mut head = RequestHead::default();
    let persistent = parsed(&mut HeadParser::default(), HELLO, &mut head)?.persistent;
    let mut dates = DateCache::default();
    let mut out = Vec::new();
    let mut response = ResponseHead::default();
    for _ in 0..count {
        out.clear();
        response.clear();
        response.set_status(black_box(b"200 OK"))?;
        response.push(black_box(b"Content-Type"), b"text/plain")?;
        response.push(black_box(b"Content-Length"), b"13")?;
        let defaults = Defaults { date: dates.at(SECOND), server: Some(b"whiskyjack") };
        black_box(response_head(&mut out, Asked::of(&head, persistent), &response, None, defaults));
    }
    Ok(())
}
