//! Conversations with a running server: what a peer sends, and what it must get back.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;
use support::{Answer, body, config, head, serve};
use whiskyjack_server::config::{Observer, Record};
use whiskyjack_server::exchange::{Application, Exchange, Failure, Sent};
use whiskyjack_server::server::Ended;

fn path(exchange: &dyn Exchange) -> Vec<u8> {
    exchange.head().target().to_vec()
}

fn echo_path() -> impl Application {
    Answer(|exchange: &mut dyn Exchange| Ok(path(exchange)))
}

fn echo_body() -> impl Application {
    Answer(|exchange: &mut dyn Exchange| body(exchange).map_err(Failure::Disconnected))
}

#[test]
fn requests_on_one_connection_are_answered_in_their_order() {
    let server = serve(config(4), echo_path());
    let mut peer = server.connect();
    let requests: String =
        (0..300).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    peer.send(requests);
    for n in 0..300 {
        let response = peer.response();
        assert_eq!((response.status, response.body), (200, format!("/{n}").into_bytes()));
    }
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn an_answer_does_not_wait_for_the_request_behind_it() {
    for threads in [1, 4] {
        let blocked = Arc::new(Barrier::new(2));
        let inside = Arc::clone(&blocked);
        let server = serve(
            config(threads),
            Answer(move |exchange: &mut dyn Exchange| {
                if path(exchange) == b"/blocks" {
                    inside.wait();
                }
                Ok(path(exchange))
            }),
        );
        let mut peer = server.connect();
        let requests = ["/1", "/2", "/blocks", "/3", "/4"];
        peer.send(
            requests.map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).concat(),
        );
        for path in ["/1", "/2"] {
            assert_eq!(peer.response().body, path.as_bytes());
        }
        blocked.wait();
        for path in ["/blocks", "/3", "/4"] {
            assert_eq!(peer.response().body, path.as_bytes());
        }
        assert_eq!(server.drain(), Ended::Drained);
    }
}

#[test]
fn an_answer_does_not_wait_for_the_request_of_another_peer() {
    const PEERS: usize = 16;
    for threads in [2, 8] {
        let blocked = Arc::new(Barrier::new(2));
        let inside = Arc::clone(&blocked);
        let server = serve(
            config(threads),
            Answer(move |exchange: &mut dyn Exchange| {
                if path(exchange) == b"/blocks" {
                    inside.wait();
                }
                Ok(path(exchange))
            }),
        );
        let mut peers: Vec<_> = (0..PEERS).map(|_| server.connect()).collect();
        for round in 0..100 {
            let blocks = round % PEERS;
            for (number, peer) in peers.iter_mut().enumerate() {
                let path = if number == blocks { "/blocks" } else { "/" };
                peer.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
            }
            for (number, peer) in peers.iter_mut().enumerate() {
                if number != blocks {
                    assert_eq!(peer.response().body, b"/");
                }
            }
            blocked.wait();
            assert_eq!(peers[blocks].response().body, b"/blocks");
        }
        assert_eq!(server.drain(), Ended::Drained);
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = serve(config(1), echo_body());
    let mut peer = server.connect();
    for byte in b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" {
        peer.send([*byte]);
    }
    assert_eq!(peer.response().body, b"hello");
}

#[test]
fn as_many_calls_may_block_at_once_as_there_are_threads() {
    const THREADS: usize = 8;
    let barrier = Barrier::new(THREADS);
    // Nobody is answered before all eight are inside the application together.
    let server = serve(
        config(THREADS),
        Answer(move |_: &mut dyn Exchange| {
            barrier.wait();
            Ok(b"done".to_vec())
        }),
    );
    for _ in 0..20 {
        let mut peers: Vec<_> = (0..THREADS).map(|_| server.connect()).collect();
        for peer in &mut peers {
            peer.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        for peer in &mut peers {
            assert_eq!(peer.response().body, b"done");
        }
    }
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn faults_are_answered_while_every_application_thread_is_blocked() {
    let barrier = Arc::new(Barrier::new(3));
    let inside = Arc::clone(&barrier);
    let server = serve(
        config(2),
        Answer(move |_: &mut dyn Exchange| {
            inside.wait();
            Ok(Vec::new())
        }),
    );
    let mut blocked = [server.connect(), server.connect()];
    for peer in &mut blocked {
        peer.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    let mut peer = server.connect();
    peer.send("GET / HTTP/1.1\r\nHost: test\r\nContent-Length: +1\r\n\r\n");
    assert_eq!(peer.response().status, 400);
    assert_eq!(peer.rest(), b"");
    barrier.wait();
    for peer in &mut blocked {
        assert_eq!(peer.response().status, 200);
    }
}

#[test]
fn a_peer_that_does_not_read_holds_no_thread() {
    let server = serve(
        config(1),
        Answer(|exchange: &mut dyn Exchange| {
            Ok(if path(exchange) == b"/big" { vec![b'x'; 32 << 20] } else { b"small".to_vec() })
        }),
    );
    let mut slow = server.connect();
    slow.send("GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(server.ask("/").body, b"small");
    let response = slow.response();
    assert_eq!(response.body.len(), 32 << 20);
    assert_eq!(server.ask("/").body, b"small");
}

#[test]
fn a_peer_that_sends_slowly_holds_no_thread() {
    let server = serve(config(1), echo_body());
    let mut slow: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for peer in &mut slow {
        peer.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf ");
    }
    assert_eq!(server.ask("/").status, 200);
    for peer in &mut slow {
        peer.send("whole");
        assert_eq!(peer.response().body, b"half whole");
    }
}

#[test]
fn a_large_body_is_the_same_behind_the_temporary_file() {
    let server = serve(config(2), echo_body());
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 253) as u8).collect();
    let mut peer = server.connect();
    for _ in 0..2 {
        peer.send(format!(
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
            sent.len()
        ));
        peer.send(&sent);
        assert!(peer.response().body == sent);
    }
}

#[test]
fn a_peer_that_asks_is_told_to_continue_when_the_application_reads() {
    let server = serve(config(1), echo_body());
    let mut peer = server.connect();
    peer.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(peer.response().status, 100);
    peer.send("hello");
    assert_eq!(peer.response().body, b"hello");
    peer.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(peer.response().status, 200);
}

#[test]
fn a_chunked_body_is_collected_even_from_a_peer_that_waits_to_be_asked_for_it() {
    let server = serve(
        config(1),
        Answer(|exchange: &mut dyn Exchange| Ok(format!("{:?}", exchange.upload()).into_bytes())),
    );
    let mut peer = server.connect();
    peer.send(
        "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(peer.response().status, 100);
    peer.send("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(peer.response().body, b"Collected(5)");
}

#[test]
fn a_peer_whose_body_is_not_wanted_is_not_told_to_continue() {
    let server = serve(config(1), echo_path());
    let mut peer = server.connect();
    peer.send(
        "POST /no HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let response = peer.response();
    assert_eq!((response.status, &*response.body), (200, &b"/no"[..]));
    assert!(response.head.to_ascii_lowercase().contains("connection: close"));
    peer.end_writing();
    assert_eq!(peer.rest(), b"");
}

#[test]
fn a_streamed_body_is_read_piece_by_piece_and_its_rest_is_skipped() {
    let mut streaming = config(1);
    streaming.streaming_uploads = true;
    let server = serve(
        streaming,
        Answer(|exchange: &mut dyn Exchange| {
            let mut piece = [0; 3];
            let count = exchange.read(&mut piece).map_err(Failure::Disconnected)?;
            Ok(piece[..count].to_vec())
        }),
    );
    let mut peer = server.connect();
    for _ in 0..3 {
        peer.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        peer.send("5\r\nhello\r\n");
        assert_eq!(peer.response().body, b"hel");
        peer.send("6\r\n world\r\n0\r\n\r\n");
    }
    peer.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(peer.response().body, b"hi");
}

#[test]
fn nothing_after_a_refused_request_is_read_as_a_request() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let server = serve(
        config(1),
        Answer(|_: &mut dyn Exchange| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            Ok(Vec::new())
        }),
    );
    let mut peer = server.connect();
    peer.send(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
         GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    assert_eq!(peer.response().status, 400);
    peer.end_writing();
    assert_eq!(peer.rest(), b"");
    assert_eq!(CALLS.load(Ordering::Relaxed), 0);
}

struct Pieces;

impl Application for Pieces {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let path = path(exchange);
        if path == b"/panic" {
            panic!("on purpose");
        }
        exchange.start(&head(), if path == b"/short" { Some(10) } else { None });
        for _ in 0..3 {
            if exchange.write(&&b"piece"[..])? == Sent::Full {
                exchange.wait_writable()?;
            }
            if path != b"/whole" {
                return Err(Failure::Application);
            }
        }
        Ok(())
    }
}

#[test]
fn a_body_of_unknown_length_is_chunked() {
    let server = serve(config(1), Pieces);
    assert_eq!(server.ask("/whole").body, b"piecepiecepiece");
}

#[test]
fn a_response_that_fails_midway_does_not_look_complete() {
    let server = serve(config(1), Pieces);
    for (path, end) in [("/chunked", &b"5\r\npiece\r\n"[..]), ("/short", b"piece")] {
        let mut peer = server.connect();
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let rest = peer.rest();
        assert!(rest.ends_with(end), "{}", rest.escape_ascii());
    }
}

#[test]
fn a_panic_ends_its_request_and_nothing_else() {
    let server = serve(config(1), Pieces);
    let mut other = server.connect();
    let answer = server.ask("/panic");
    assert_eq!(answer.status, 500);
    assert!(answer.head.contains("Connection: close"), "{}", answer.head);
    other.send("GET /whole HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(other.response().status, 200);
}

#[test]
fn what_is_under_way_is_finished_before_a_drained_server_ends() {
    let barrier = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&barrier);
    let server = serve(
        config(1),
        Answer(move |exchange: &mut dyn Exchange| {
            if path(exchange) == b"/slow" {
                inside.wait();
                inside.wait();
            }
            Ok(b"answered".to_vec())
        }),
    );
    let mut idle = server.connect();
    idle.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    let mut slow = server.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n");
    barrier.wait();
    server.handle.drain();
    // The idle connection is closed although the only thread is still inside the application.
    assert_eq!(idle.rest(), b"");
    barrier.wait();
    let response = slow.response();
    assert_eq!(response.body, b"answered");
    assert!(response.head.contains("Connection: close"), "{}", response.head);
    drop(slow);
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn more_connections_than_allowed_wait_and_are_not_reset() {
    let mut few = config(1);
    few.connections = 4;
    let server = serve(few, echo_path());
    let mut peers: Vec<_> = (0..12).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.send("GET /x HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    }
    for peer in &mut peers {
        assert_eq!(peer.response().body, b"/x");
    }
}

#[test]
fn one_address_has_no_more_connections_than_it_may() {
    let mut few = config(1);
    few.connections_per_address = 2;
    let server = serve(few, echo_path());
    let mut kept = [server.connect(), server.connect()];
    for peer in &mut kept {
        peer.send("GET /x HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(peer.response().body, b"/x");
    }
    assert_eq!(server.connect().rest(), b"");
    kept[0].send("GET /y HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(kept[0].response().body, b"/y");
    assert_eq!(kept[0].rest(), b"");
    assert_eq!(server.ask("/z").body, b"/z");
}

#[test]
fn a_body_that_drips_is_given_up_although_it_never_stalls() {
    let mut strict = config(1);
    // Nothing is earned by single bytes, so the first deadline stands however often they come.
    strict.body_rate = u64::MAX;
    strict.body_timeout = Some(Duration::from_millis(50));
    let server = serve(strict, echo_body());
    let mut peer = server.connect();
    peer.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000000\r\n\r\n");
    peer.drip_until_answered();
    assert_eq!(peer.response().status, 408);
}

#[test]
fn a_peer_that_never_stops_does_not_keep_the_others_waiting() {
    let mut endless = config(1);
    endless.body.body = u64::MAX;
    let server = serve(endless, echo_path());
    let request = b"GET /flood HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    let flood = server.connect().flood(request.clone());
    let upload =
        b"ffff\r\n".iter().copied().chain([b'x'; 0xffff]).chain(*b"\r\n").collect::<Vec<u8>>();
    let mut uploading = server.connect();
    uploading.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let other_flood = uploading.flood(upload);
    for _ in 0..20 {
        assert_eq!(server.ask("/other").body, b"/other");
    }
    flood.stop();
    other_flood.stop();
}

#[derive(Debug)]
struct Told(Mutex<mpsc::Sender<(Vec<u8>, u16)>>);

impl Observer for Told {
    fn finished(&self, record: &Record<'_>) {
        let target = record.head.map_or_else(Vec::new, |head| head.target().to_vec());
        self.0.lock().unwrap().send((target, record.status)).unwrap();
    }
}

#[test]
fn every_request_ends_in_one_record_whatever_ends_it() {
    let (tell, told) = mpsc::channel();
    let mut observed = config(1);
    observed.observer = Some(Arc::new(Told(Mutex::new(tell))));
    let server = serve(observed, Pieces);
    let half = "POST /half HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf";
    let mut peer = server.connect();
    peer.send("GET /whole HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(peer.response().status, 200);
    assert_eq!(told.recv().unwrap(), (b"/whole".to_vec(), 200));
    peer.send(half);
    drop(peer);
    assert_eq!(told.recv().unwrap(), (b"/half".to_vec(), 0));
    let mut peer = server.connect();
    peer.send(half);
    peer.reset();
    assert_eq!(told.recv().unwrap(), (b"/half".to_vec(), 0));
    server.ask("/panic");
    assert_eq!(told.recv().unwrap(), (b"/panic".to_vec(), 500));
    let mut peer = server.connect();
    peer.send("BAD\r\n");
    assert_eq!(peer.response().status, 400);
    assert_eq!(told.recv().unwrap(), (Vec::new(), 400));
    assert_eq!(server.drain(), Ended::Drained);
    assert!(told.try_recv().is_err(), "one record a request");
}
