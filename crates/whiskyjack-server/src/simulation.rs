//! Plays connections against scripted sockets and a driven clock, from a seed: bytes come in pieces of any size, the peer reads
//! slowly, stalls, half-closes or resets, applications stream, fail and lie about lengths. Whatever happens, what went out must be
//! the right responses in the right order, the last one cut short at the most, and the connection must come to an end.
//!
//! `SIMULATION_SEEDS=100000 cargo test --release -p whiskyjack-server simulation` plays more of them; `SIMULATION_SEED=7` one.

mod chance;
mod pieces;
mod wire;

use self::chance::Chance;
use self::wire::Script;
pub(crate) use self::wire::Wire;
use crate::call::Call;
use crate::config::Config;
use crate::exchange::{Address, Application, Exchange, Failure, Origin, Sent};
use crate::http1::{Common, Connection, Stages, Turn, Workspace};
use crate::reactor::lock;
use crate::succession::{Followed, Succession};
use crate::transport::{Interest, Transport};
use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use whiskyjack_proto::body::BodyLimits;
use whiskyjack_proto::head::{RequestHead, ResponseHead};
use whiskyjack_proto::parse::HeadLimits;
use whiskyjack_proto::proxy::Versions;
use whiskyjack_proto::write::{self, Defaults};

/// A request of the script, with what the application is to do about it.
#[derive(Clone, Debug)]
struct Asked {
    number: usize,
    act: Act,
    method: &'static str,
    is_last: bool,
    body: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// reads the body and answers with its length
    Whole,
    /// answers in pieces of unknown length
    Pieces(usize),
    /// answers with one large piece
    Large(usize),
    /// does not read the body
    Unread,
    /// reads its beginning
    Partly,
    /// fails before the response
    Fails,
    /// fails in the middle of it
    FailsMidway,
    /// panics
    Panics,
    /// promises more than it gives
    Short,
    /// gives more than it promises
    Long,
    /// is past its deadline before the response, which it tries to give all the same
    Expires,
    /// is past its deadline in the middle of it
    ExpiresMidway,
    /// is no request that the application may see
    Refused(u16),
}

impl Asked {
    fn may_be_too_much_to_skip(&self) -> bool {
        matches!(self.act, Act::Unread | Act::Partly | Act::Fails) && self.body > 500
    }
}

impl Act {
    /// Whether the connection ends by it.
    fn ends(self) -> bool {
        !matches!(
            self,
            Act::Whole
                | Act::Pieces(_)
                | Act::Large(_)
                | Act::Unread
                | Act::Partly
                | Act::Fails
                | Act::Long
        )
    }
}

/// Does what the script says, by the number in the request's target.
struct Actor {
    script: Vec<Asked>,
    called: Mutex<Vec<usize>>,
    /// whose connection it is
    client: Address,
    /// what the monitor sees
    call: Arc<Call>,
}

impl Actor {
    /// Does what the monitor does at the deadline.
    fn expire(&self) {
        let progress = self.call.progress().expect("a call is under way");
        let page = |head: &RequestHead| {
            let mut page = Vec::new();
            let fields = Defaults { date: b"Thu, 01 Jan 1970 00:00:00 GMT", server: None };
            let length = write::refusal(&mut page, 504, write::Asked::of(head, false), fields);
            (page, length as u64)
        };
        self.call.expire(progress, page).expect("nothing else has ended it");
    }
}

fn text(number: usize, length: usize) -> Vec<u8> {
    format!("<{number}>").into_bytes().into_iter().cycle().take(length).collect()
}

impl Application for Actor {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let target = std::str::from_utf8(exchange.head().target()).expect("the script's");
        let number: usize = target[1..].parse().expect("the script's");
        lock(&self.called).push(number);
        assert_eq!(exchange.origin().peer, self.client);
        let asked = &self.script[number];
        let mut head = ResponseHead::default();
        head.set_status(b"200 OK").expect("valid");
        head.push(b"X-Number", number.to_string().as_bytes()).expect("valid");
        if asked.act == Act::Partly {
            exchange.read(&mut [0; 10]).map_err(Failure::Disconnected)?;
        } else if asked.act != Act::Unread && asked.act != Act::Fails {
            let mut count = 0;
            let mut block = [0; 777];
            loop {
                match exchange.read(&mut block) {
                    Ok(0) => break,
                    Ok(read) => {
                        assert!(block[..read].iter().all(|&byte| byte == b'b'), "only the body");
                        count += read;
                    }
                    Err(error) => return Err(Failure::Disconnected(error)),
                }
            }
            assert_eq!(count, asked.body, "the body of request {number}");
        }
        match asked.act {
            Act::Refused(_) => panic!("request {number} must not come here"),
            Act::Fails => Err(Failure::Application),
            Act::Panics => panic!("on purpose"),
            Act::Whole | Act::Unread | Act::Partly => {
                let body = text(number, 20);
                exchange.start(&head, Some(20));
                exchange.write_last(&&body[..])
            }
            Act::Expires => {
                self.expire();
                exchange.start(&head, Some(20));
                let body = text(number, 20);
                exchange.write_last(&&body[..]).expect_err("the right to answer is gone");
                Ok(())
            }
            Act::ExpiresMidway => {
                exchange.start(&head, None);
                exchange.write(&&text(number, 1000)[..])?;
                self.expire();
                exchange.write(&&text(number, 1000)[..])?;
                Ok(())
            }
            Act::Large(length) => {
                let body = text(number, length);
                exchange.start(&head, Some(length as u64));
                exchange.write_last(&&body[..])
            }
            Act::Pieces(pieces) => {
                exchange.start(&head, None);
                let body = text(number, 1000);
                for _ in 0..pieces {
                    if exchange.write(&&body[..])? == Sent::Full {
                        exchange.wait_writable()?;
                    }
                }
                Ok(())
            }
            Act::FailsMidway => {
                exchange.start(&head, None);
                exchange.write(&&text(number, 1000)[..])?;
                Err(Failure::Application)
            }
            Act::Short => {
                exchange.start(&head, Some(1000));
                exchange.write_last(&&text(number, 999)[..])
            }
            Act::Long => {
                exchange.start(&head, Some(1000));
                exchange.write_last(&&text(number, 1001)[..])
            }
        }
    }
}

pub(crate) fn config() -> Config {
    let second = Some(Duration::from_secs(1));
    Config {
        threads: 1,
        server_name: None,
        head: HeadLimits { line: 1000, fields: 20, field: 1000, head: 4000 },
        body: BodyLimits { extensions: 100, trailers: 100, body: 200_000 },
        body_in_memory: 10_000,
        streaming_uploads: false,
        head_timeout: second,
        body_timeout: second,
        body_rate: 240,
        write_timeout: second,
        write_rate: 240,
        keep_alive: Duration::from_secs(1),
        requests_per_connection: 0,
        connections: 1,
        connections_per_address: 0,
        high_water: 5_000,
        response_spool: u64::MAX,
        drain: 1_000,
        graceful_timeout: Duration::from_secs(1),
        timeout: second,
        raise: false,
        slow_log: None,
        stuck_threads: 0,
        queue_timeout: second,
        relief: None,
        proxy: None,
        tls: None,
        websockets: 0,
        observer: None,
        board: None,
    }
}

/// Makes up the requests of a connection and their bytes.
fn write_script(chance: &mut Chance) -> (Vec<Asked>, Vec<u8>) {
    let mut script = Vec::new();
    let mut bytes = Vec::new();
    let count = 1 + chance.below(8);
    for number in 0..count {
        let act = match chance.below(26) {
            0..=7 => Act::Whole,
            8..=10 => Act::Pieces(chance.below(30)),
            11..=12 => Act::Large(1 + chance.below(100_000)),
            13..=14 => Act::Unread,
            15 => Act::Partly,
            16 => Act::Fails,
            17 => Act::FailsMidway,
            18 => Act::Panics,
            19 => Act::Short,
            20..=21 => Act::Long,
            22 => Act::Expires,
            23 => Act::ExpiresMidway,
            24 => Act::Refused(400),
            _ => Act::Refused(413),
        };
        let method = if chance.one_in(6) { "HEAD" } else { "POST" };
        let version = if chance.one_in(8) { "1.0" } else { "1.1" };
        let closes = chance.one_in(10);
        let is_chunked = version == "1.1" && chance.one_in(3);
        let body = match chance.below(12) {
            0..=3 => 0,
            4 => 1 + chance.below(200_000),
            _ => 1 + chance.below(10_000),
        };
        bytes.extend(format!("{method} /{number} HTTP/{version}\r\nHost: simulation\r\n").bytes());
        if closes {
            bytes.extend(b"Connection: close\r\n");
        } else if version == "1.0" {
            bytes.extend(b"Connection: keep-alive\r\n");
        }
        match act {
            Act::Refused(400) => bytes.extend(b"Bad Name: x\r\n"),
            Act::Refused(_) => bytes.extend(b"Content-Length: 200001\r\n"),
            _ if is_chunked => bytes.extend(b"Transfer-Encoding: chunked\r\n"),
            _ if body > 0 || chance.one_in(2) => {
                bytes.extend(format!("Content-Length: {body}\r\n").bytes());
            }
            _ => {}
        }
        let has_body = is_chunked || body > 0;
        if has_body && version == "1.1" && chance.one_in(4) && !matches!(act, Act::Refused(_)) {
            bytes.extend(b"Expect: 100-continue\r\n");
        }
        bytes.extend(b"\r\n");
        if is_chunked {
            let mut left = body;
            while left > 0 {
                let size = 1 + chance.below(left.min(3000));
                bytes.extend(format!("{size:x}\r\n").bytes());
                bytes.extend(std::iter::repeat_n(b'b', size));
                bytes.extend(b"\r\n");
                left -= size;
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(std::iter::repeat_n(b'b', body));
        }
        let ends_by_framing = version == "1.0" && method != "HEAD" && matches!(act, Act::Pieces(_));
        // No byte is missing where none may come.
        let ends_by_act = act.ends() && !(act == Act::Short && method == "HEAD");
        let is_last = closes || ends_by_act || ends_by_framing;
        script.push(Asked { number, act, method, is_last, body });
    }
    (script, bytes)
}

/// What a proxy sends before the first request, and whom it names; `None` where that is no header.
fn proxy_header(chance: &mut Chance) -> (Vec<u8>, Option<Address>) {
    let port = 1 + chance.below(60_000);
    let inet = |host: &str| Address::Inet(format!("{host}:{port}").parse().expect("an address"));
    let block = |start: &[u8], addresses: &[u8], extension: usize| {
        let length = addresses.len() + extension;
        let rest =
            [0x04, (extension.saturating_sub(3) >> 8) as u8, (extension.saturating_sub(3)) as u8];
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend(start);
        bytes.extend((length as u16).to_be_bytes());
        bytes.extend(addresses);
        bytes.extend(rest.into_iter().chain(std::iter::repeat(0)).take(extension));
        bytes
    };
    let extension = [0, 3 + chance.below(1000)][chance.below(2)];
    let [high, low] = (port as u16).to_be_bytes();
    match chance.below(6) {
        0 => (
            format!("PROXY TCP4 192.0.2.1 198.51.100.1 {port} 80\r\n").into_bytes(),
            Some(inet("192.0.2.1")),
        ),
        1 => (b"PROXY UNKNOWN\r\n".to_vec(), Some(Address::Unix(None))),
        2 => (
            block(b"\x21\x11", &[192, 0, 2, 1, 198, 51, 100, 1, high, low, 0, 80], extension),
            Some(inet("192.0.2.1")),
        ),
        3 => (block(b"\x20\x00", b"", extension), Some(Address::Unix(None))),
        4 => (format!("PROXY TCP4 192.0.2.1 {port} 80\r\n").into_bytes(), None),
        _ => (Vec::new(), None),
    }
}

/// Plays one connection and checks what went out. Says how many responses were held back.
fn play(seed: u64) -> usize {
    let mut chance = Chance(seed);
    let (mut script, mut bytes) = write_script(&mut chance);
    let is_proxied = chance.one_in(3);
    let mut client = Address::Unix(None);
    if is_proxied {
        let (header, claimed) = proxy_header(&mut chance);
        bytes.splice(0..0, header);
        match claimed {
            Some(claimed) => client = claimed,
            // Without a header there is nobody to answer.
            None => script.clear(),
        }
    }
    let length = bytes.len();
    let resets_before = chance.one_in(5).then(|| chance.below(length + 1));
    let stalls_before = chance.one_in(5).then(|| chance.below(length + 1));
    let half_closes = chance.one_in(2);
    let wire = Wire(Arc::new(Mutex::new(Script {
        chance: Chance(chance.next()),
        to_come: bytes.into(),
        arrived: VecDeque::new(),
        room: chance.below(3) * 50_000,
        sent: Vec::new(),
        writes: 0,
        half_closes,
        ended: false,
        resets_before,
        reset: false,
        stalls_before,
        stalled: false,
        server_ended: false,
        server_aborted: false,
    })));
    let mut config = config();
    config.streaming_uploads = chance.one_in(4);
    config.response_spool = [u64::MAX, 10_000, 0][chance.below(3)];
    let call = Arc::new(Call::default());
    let actor =
        Actor { script: script.clone(), called: Mutex::default(), client, call: Arc::clone(&call) };
    let draining = AtomicBool::new(false);
    // Another thread may begin or cease to watch at any time, and send what was gathered meanwhile.
    let coin = Mutex::new(Chance(chance.next()));
    let watched = || !lock(&coin).one_in(8);
    let succession = Succession::default();
    if lock(&coin).one_in(2) {
        (0..100).for_each(|_| succession.tell(Followed::AtOnce));
    }
    let stages = Stages { closing: &draining, draining: &draining };
    let common = Common { config: &config, stages, succession: &succession };
    let mut workspace = Workspace::new(common, &call, &watched);
    let address = Address::Unix(None);
    let origin = Origin { peer: address.clone(), local: address, secure: false, claimed: false };
    let until = Some(workspace.now + Duration::from_secs(1));
    let transport = Transport::Scripted(wire.clone());
    let has_company = lock(&coin).one_in(2);
    let mut connection = if is_proxied {
        Connection::proxied(transport, origin, Versions::Both, until)
    } else {
        Connection::new(transport, origin, until)
    };
    let (mut turns, mut held) = (0, 0);
    loop {
        turns += 1;
        assert!(turns < 1_000_000, "the connection never ends");
        if lock(&coin).one_in(4) {
            call.gathering.send();
        }
        workspace.company = has_company && lock(&coin).one_in(2);
        match connection.advance(&mut workspace) {
            Turn::Close => break,
            Turn::Yield | Turn::Count(_) => {}
            Turn::Hold => {
                assert!(mem::take(&mut workspace.company), "nothing is held back for nobody");
                held += 1;
                connection.settle(&mut workspace);
                if lock(&coin).one_in(2) {
                    connection.send_held();
                }
            }
            Turn::Call => connection.call(&actor, &mut workspace),
            Turn::Park(interest, deadline) => {
                connection.settle(&mut workspace);
                if !await_event(&wire, &mut connection, interest, &mut chance) {
                    // Nothing comes any more: only the clock moves.
                    let deadline = deadline.expect("every wait has an end");
                    assert!(deadline >= workspace.now, "a deadline lies ahead");
                    assert!(
                        deadline <= workspace.now + Duration::from_secs(1000),
                        "no wait is for ever"
                    );
                    workspace.now = deadline;
                    connection.expire(&mut workspace);
                }
            }
        }
    }
    drop(connection);
    let script_end = lock(&wire.0);
    let expires = |asked: &Asked| matches!(asked.act, Act::Expires | Act::ExpiresMidway);
    let is_disturbed = script_end.reset
        || script_end.stalled
        // Where the socket has no room at the deadline, the connection is broken off, with what waits of earlier answers.
        || (script_end.server_aborted && script.iter().any(expires))
        // An unread rest over the drain limit ends the connection without notice.
        || script.iter().any(Asked::may_be_too_much_to_skip);
    let called = lock(&actor.called);
    assert!(called.windows(2).all(|pair| pair[1] == pair[0] + 1), "called in order, each once");
    check(&script, &script_end.sent, is_disturbed);
    held
}

/// Lets something happen on the wire until the connection has what it waits for. False if nothing can happen.
fn await_event(
    wire: &Wire,
    connection: &mut Connection,
    interest: Interest,
    chance: &mut Chance,
) -> bool {
    let mut script = lock(&wire.0);
    for _ in 0..100 {
        // Both sides of the peer are at work, whichever the server waits for.
        let sent = chance.one_in(2) && script.send_some();
        let read = chance.one_in(2) && script.read_some();
        if script.reset {
            connection.readable(true);
            return true;
        }
        if sent {
            connection.readable(script.ended);
        }
        if (interest == Interest::Read && sent) || (interest == Interest::Write && read) {
            return true;
        }
    }
    let (more, room) = (script.send_some(), script.read_some());
    if more {
        connection.readable(script.ended || script.reset);
    }
    script.reset || (interest == Interest::Read && more) || (interest == Interest::Write && room)
}

/// What went out must be the right answers in order, the last one cut short at the most.
fn check(script: &[Asked], sent: &[u8], is_disturbed: bool) {
    let mut rest = sent;
    for asked in script {
        while let Some(after) = rest.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
            rest = after;
        }
        let shown =
            || format!("request {} ({:?}): {}", asked.number, asked.act, rest.escape_ascii());
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
            assert!(is_disturbed, "an answer is missing: {}", shown());
            return;
        };
        let head = std::str::from_utf8(&rest[..end]).expect("ASCII");
        let status: u16 = head[9..12].parse().expect("a status");
        rest = &rest[end + 4..];
        if status == 408 {
            assert!(is_disturbed, "{}", shown());
            return;
        }
        let expected = match asked.act {
            Act::Refused(status) => status,
            Act::Fails | Act::Panics => 500,
            Act::Expires => 504,
            _ => 200,
        };
        assert_eq!(status, expected, "{}", shown());
        let field =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if status == 200 {
            let number = field("X-Number").expect("the actor's");
            assert_eq!(number, asked.number.to_string(), "answers in order");
        }
        let (promised, given) = match asked.act {
            Act::Pieces(pieces) => (pieces * 1000, text(asked.number, 1000).repeat(pieces)),
            Act::Large(length) => (length, text(asked.number, length)),
            Act::FailsMidway => (usize::MAX, text(asked.number, 1000)),
            Act::Short => (1000, text(asked.number, 999)),
            Act::Long => (1000, text(asked.number, 1000)),
            Act::Whole | Act::Unread | Act::Partly => (20, text(asked.number, 20)),
            Act::ExpiresMidway => (usize::MAX, text(asked.number, 2000)),
            Act::Fails | Act::Panics | Act::Expires | Act::Refused(_) => {
                let length = field("Content-Length").expect("the server's").parse();
                let length: usize = length.expect("digits");
                (length, rest[..length.min(rest.len())].to_vec())
            }
        };
        if asked.method == "HEAD" && !matches!(asked.act, Act::Refused(400)) {
            // No body; a cut answer can't be told from a whole one.
        } else if field("Transfer-Encoding") == Some("chunked") {
            let (body, is_whole, after) = dechunk(rest);
            rest = after;
            assert!(given.starts_with(&body), "{}", shown());
            if !is_whole {
                let is_cut = matches!(asked.act, Act::FailsMidway | Act::ExpiresMidway);
                assert!(is_cut || is_disturbed, "{}", shown());
                return;
            }
            assert!(
                !matches!(asked.act, Act::FailsMidway | Act::ExpiresMidway),
                "a failure looks complete: {}",
                shown()
            );
            assert_eq!(body.len(), promised, "{}", shown());
        } else if let Some(length) = field("Content-Length") {
            assert_eq!(length.parse(), Ok(promised), "{}", shown());
            let there = rest.len().min(given.len());
            assert_eq!(rest[..there], given[..there], "{}", shown());
            rest = &rest[there..];
            if there < promised {
                let is_cut = matches!(asked.act, Act::Short | Act::Expires);
                assert!(is_cut || is_disturbed, "{}", shown());
                assert!(rest.is_empty(), "nothing follows what is cut short: {}", shown());
                return;
            }
        } else {
            assert!(given.starts_with(rest), "the end of the connection ends it: {}", shown());
            return;
        }
        let says_close = field("Connection") == Some("close");
        if asked.is_last || says_close {
            assert!(rest.is_empty(), "nothing follows the last answer: {}", shown());
            return;
        }
    }
    assert!(rest.is_empty(), "nothing that was not asked for: {}", rest.escape_ascii());
}

/// The data of a chunked body, whether it was whole, and what follows it.
fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool, &[u8]) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, false, &[]);
        };
        let digits = std::str::from_utf8(&rest[..end]).expect("ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a chunk's size");
        rest = &rest[end + 2..];
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..rest.len().min(size)]);
            return (body, false, &[]);
        }
        body.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
        if size == 0 {
            return (body, true, rest);
        }
    }
}

#[test]
fn no_response_is_lost_doubled_reordered_or_mixed() {
    // Panics of the application are on purpose here; a failed check still ends the test.
    let setting = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let one = setting("SIMULATION_SEED");
    let mut held = 0;
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SIMULATION_SEEDS").unwrap_or(3000),
    };
    for seed in seeds {
        match std::panic::catch_unwind(|| play(seed)) {
            Ok(count) => held += count,
            Err(panic) => {
                eprintln!("SIMULATION_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(held > 0 || one.is_some(), "some responses were held back");
}
