//! A leader that is held up inside a call after many that were short, with answers to others in its hands.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use support::{Answer, Peer, Running, config, serve};
use whiskyjack_server::exchange::Exchange;
use whiskyjack_server::server::Ended;

/// Needs the processor for so long, or at `/stays` waits until it is let go.
fn busy(threads: usize, each: Duration) -> (Running, mpsc::Sender<()>) {
    let (let_go, outside) = mpsc::channel::<()>();
    let outside = Mutex::new(outside);
    let application = Answer(move |exchange: &mut dyn Exchange| {
        if exchange.head().target() == b"/stays" {
            outside.lock().unwrap().recv().unwrap();
        }
        let until = Instant::now() + each;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Ok(b"done".to_vec())
    });
    (serve(config(threads), application), let_go)
}

fn get(peer: &mut Peer, path: &str) {
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

/// Has many answered at once, and one call in the middle of them stay: all others are answered while it does.
fn others_are_answered(threads: usize, each: Duration) {
    let (server, let_go) = busy(threads, each);
    let mut peers: Vec<_> = (0..48).map(|_| server.connect()).collect();
    for stays in [47, 24, 40, 20, 33] {
        for _ in 0..3 {
            peers.iter_mut().for_each(|peer| get(peer, "/"));
            peers.iter_mut().for_each(|peer| assert_eq!(peer.response().body, b"done"));
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            get(peer, if number == stays { "/stays" } else { "/" });
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            if number != stays {
                assert_eq!(peer.response().body, b"done");
            }
        }
        let_go.send(()).unwrap();
        assert_eq!(peers[stays].response().body, b"done");
    }
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn others_are_answered_behind_calls_that_are_quick() {
    others_are_answered(4, Duration::from_micros(20));
}

#[test]
fn others_are_answered_behind_calls_of_a_millisecond() {
    others_are_answered(4, Duration::from_millis(1));
}

#[test]
fn the_only_thread_sends_what_it_holds_though_its_call_stays() {
    let (server, let_go) = busy(1, Duration::from_millis(1));
    let mut peers: Vec<_> = (0..48).map(|_| server.connect()).collect();
    for _ in 0..3 {
        peers.iter_mut().for_each(|peer| get(peer, "/"));
        peers.iter_mut().for_each(|peer| assert_eq!(peer.response().body, b"done"));
    }
    // The one that stays comes last: what was answered before it is in the thread's hands by then.
    let (first, last) = peers.split_at_mut(40);
    first.iter_mut().for_each(|peer| get(peer, "/"));
    get(&mut last[0], "/stays");
    first.iter_mut().for_each(|peer| assert_eq!(peer.response().body, b"done"));
    let_go.send(()).unwrap();
    assert_eq!(last[0].response().body, b"done");
    assert_eq!(server.drain(), Ended::Drained);
}
