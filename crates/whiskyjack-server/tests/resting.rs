//! When a server says that it has nothing to do.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};
use support::{Answer, config, serve};
use whiskyjack_proto::head::RequestHead;
use whiskyjack_server::config::{Board, Config, Share};
use whiskyjack_server::exchange::{Application, Exchange, Failure};
use whiskyjack_server::server::Ended;

const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than a server takes to notice.
const MOMENT: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Rests,
    Stirs,
}

#[derive(Debug)]
struct Ear(mpsc::Sender<Says>);

impl Board for Ear {
    fn began(&self, _: usize, _: &RequestHead, _: Instant) {}
    fn ended(&self, _: usize) {}
    fn connections(&self, _: usize) {}

    fn rests(&self) {
        let _ = self.0.send(Says::Rests);
    }

    fn stirs(&self) {
        let _ = self.0.send(Says::Stirs);
    }

    fn share(&self) -> Share {
        Share::Take
    }

    fn has_heirs(&self) -> bool {
        false
    }
}

/// A server's settings, and what it says.
fn heard() -> (Config, mpsc::Receiver<Says>) {
    let (says, heard) = mpsc::channel();
    (Config { board: Some(Arc::new(Ear(says))), ..config(1) }, heard)
}

/// Waits until this was the last word for a moment.
fn settles_on(word: Says, heard: &mpsc::Receiver<Says>) {
    let until = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < until {
        match heard.recv_timeout(MOMENT) {
            Ok(says) => last = Some(says),
            Err(_) if last == Some(word) => return,
            Err(_) => {}
        }
    }
    panic!("the server's last word is {last:?}, not {word:?}");
}

/// An application that threads cannot get back into while it is held, as into an interpreter that somebody keeps.
struct Held<A> {
    held: Arc<(Mutex<bool>, Condvar)>,
    application: A,
}

impl<A: Application> Application for Held<A> {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        self.application.call(exchange)
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        wait();
        let (held, changed) = &*self.held;
        drop(changed.wait_while(held.lock().unwrap(), |held| *held).unwrap());
    }
}

#[test]
fn a_server_rests_while_nothing_is_under_way() {
    let (config, heard) = heard();
    let blocked = Arc::new(Barrier::new(2));
    let inside = Arc::clone(&blocked);
    let server = serve(
        config,
        Answer(move |_: &mut dyn Exchange| {
            inside.wait();
            inside.wait();
            Ok(Vec::new())
        }),
    );
    settles_on(Says::Rests, &heard);
    let mut peer = server.connect();
    for _ in 0..2 {
        peer.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        blocked.wait();
        settles_on(Says::Stirs, &heard);
        blocked.wait();
        assert_eq!(peer.response().status, 200);
        settles_on(Says::Rests, &heard);
    }
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn a_server_whose_thread_cannot_get_back_into_the_application_does_not_rest() {
    let (config, heard) = heard();
    let held = Arc::new((Mutex::new(false), Condvar::new()));
    let application = Answer(|_: &mut dyn Exchange| Ok(Vec::new()));
    let server = serve(config, Held { held: Arc::clone(&held), application });
    settles_on(Says::Rests, &heard);
    *held.0.lock().unwrap() = true;
    let mut peer = server.connect();
    peer.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    settles_on(Says::Stirs, &heard);
    *held.0.lock().unwrap() = false;
    held.1.notify_all();
    assert_eq!(peer.response().status, 200);
    settles_on(Says::Rests, &heard);
    assert_eq!(server.drain(), Ended::Drained);
}
