//! Calls that take too long, and requests that wait too long: what their peers get, and what is counted.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Answer, config, head, serve};
use whiskyjack_server::call;
use whiskyjack_server::config::{Config, Observer, Record, Relief, Why};
use whiskyjack_server::exchange::{Application, Exchange, Failure};

const SOON: Option<Duration> = Some(Duration::from_millis(50));

/// An application whose paths under `/stuck` and `/hold` wait until the test lets them go on: the first with little time to do so,
/// which begins where they are stuck, so that a slow machine is not taken for a stuck thread.
struct Stuck {
    /// tells that a call is inside
    entered: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
    /// what the late write came to
    outcomes: Mutex<Sender<Result<(), String>>>,
}

struct Control {
    entered: Receiver<()>,
    release: Sender<()>,
    outcomes: Receiver<Result<(), String>>,
}

fn stuck() -> (Stuck, Control) {
    let (entered, has_entered) = channel();
    let (release, released) = channel();
    let (outcome, outcomes) = channel();
    let stuck = Stuck {
        entered: Mutex::new(entered),
        release: Mutex::new(released),
        outcomes: Mutex::new(outcome),
    };
    (stuck, Control { entered: has_entered, release, outcomes })
}

impl Application for Stuck {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let path = exchange.head().target().to_vec();
        if !path.starts_with(b"/stuck") && path != b"/hold" {
            exchange.start(&head(), Some(4));
            return exchange.write_last(&&b"fine"[..]);
        }
        if path == b"/stuck-begun" {
            exchange.start(&head(), None);
            exchange.write(&&b"piece"[..])?;
        }
        if path == b"/stuck-given" {
            exchange.start(&head(), Some(5));
            exchange.write_last(&&b"piece"[..])?;
        }
        if path != b"/hold" {
            assert!(call::set_limit(SOON));
        }
        self.entered.lock().unwrap().send(()).unwrap();
        self.release.lock().unwrap().recv().unwrap();
        if path == b"/stuck-given" {
            return Ok(());
        }
        if !exchange.is_started() {
            exchange.start(&head(), Some(4));
        }
        let written = exchange.write(&&b"late"[..]).map(drop);
        let outcome = written.as_ref().map(drop).map_err(ToString::to_string);
        self.outcomes.lock().unwrap().send(outcome).unwrap();
        written
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

#[test]
fn a_call_past_its_deadline_is_answered_while_its_thread_is_stuck() {
    let (stuck, control) = stuck();
    let server = serve(config(1), stuck);
    let mut peer = server.connect();
    peer.send(get("/stuck"));
    let response = peer.response();
    assert_eq!((response.status, &response.body[..]), (504, &b"504 Gateway Timeout\n"[..]));
    assert!(response.head.contains("Connection: close"), "{}", response.head);
    assert!(response.head.contains("Date: "), "{}", response.head);
    // The server has ended its side although nobody has come back.
    assert_eq!(peer.rest(), b"");
    server.until(|counts| counts.stuck == 1);
    control.release.send(()).unwrap();
    let outcome = control.outcomes.recv().unwrap().unwrap_err();
    assert!(outcome.contains("deadline has passed"), "{outcome}");
    assert_eq!(server.ask("/").body, b"fine");
    assert_eq!(server.handle.counts().expired, 1);
}

#[test]
fn a_peer_that_asked_for_a_head_gets_no_body_at_the_deadline() {
    let (stuck, control) = stuck();
    let server = serve(config(1), stuck);
    let mut peer = server.connect();
    peer.send("HEAD /stuck HTTP/1.1\r\nHost: test\r\n\r\n");
    let rest = String::from_utf8(peer.rest()).unwrap();
    assert!(rest.starts_with("HTTP/1.1 504 ") && rest.ends_with("\r\n\r\n"), "{rest}");
    control.release.send(()).unwrap();
}

#[test]
fn a_response_that_has_begun_is_broken_off() {
    let (stuck, control) = stuck();
    let server = serve(config(1), stuck);
    let mut peer = server.connect();
    peer.send(get("/stuck-begun"));
    assert!(!peer.is_ended_well(), "a peer can tell that its response is not whole");
    control.release.send(()).unwrap();
    assert!(control.outcomes.recv().unwrap().is_err());
    assert_eq!(server.ask("/").body, b"fine");
}

#[test]
fn a_response_that_was_given_whole_is_not_broken_off() {
    let (stuck, control) = stuck();
    let server = serve(config(2), stuck);
    let mut peer = server.connect();
    peer.send(get("/stuck-given") + &get("/after"));
    assert_eq!(peer.response().body, b"piece");
    server.until(|counts| counts.stuck == 1);
    control.release.send(()).unwrap();
    assert_eq!(peer.response().body, b"fine");
    server.until(|counts| counts.stuck == 0);
}

#[test]
fn earlier_answers_of_the_connection_are_whole() {
    let (stuck, control) = stuck();
    let server = serve(config(1), stuck);
    let mut peer = server.connect();
    peer.send(get("/1") + &get("/2") + &get("/stuck") + &get("/never"));
    let statuses: Vec<_> = (0..3).map(|_| peer.response().status).collect();
    assert_eq!(statuses, [200, 200, 504]);
    assert_eq!(peer.rest(), b"");
    control.release.send(()).unwrap();
}

#[test]
fn a_connection_that_was_idle_for_longer_than_the_deadline_is_not_late() {
    let (stuck, control) = stuck();
    let server = serve(config(2), stuck);
    let mut idle = server.connect();
    idle.send(get("/"));
    assert_eq!(idle.response().status, 200);
    let mut other = server.connect();
    other.send(get("/stuck"));
    assert_eq!(other.response().status, 504);
    idle.send(get("/"));
    assert_eq!(idle.response().status, 200);
    control.release.send(()).unwrap();
}

#[test]
fn the_deadline_of_the_settings_holds_for_calls_that_ask_for_none() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let server = serve(
        Config { timeout: SOON, ..config(1) },
        Answer(move |_: &mut dyn Exchange| {
            released.lock().unwrap().recv().unwrap();
            Ok(Vec::new())
        }),
    );
    let mut peer = server.connect();
    peer.send(get("/"));
    assert_eq!(peer.response().status, 504);
    release.send(()).unwrap();
    assert!(!call::set_limit(None), "this thread answers nothing");
}

#[derive(Debug)]
struct Told(Mutex<Sender<(Vec<u8>, u16)>>);

impl Observer for Told {
    fn finished(&self, record: &Record<'_>) {
        let target = record.head.map_or_else(Vec::new, |head| head.target().to_vec());
        assert!(record.duration >= record.queued);
        self.0.lock().unwrap().send((target, record.status)).unwrap();
    }
}

#[test]
fn each_request_is_recorded_once() {
    let (stuck, control) = stuck();
    let (tell, told) = channel();
    let observer = Arc::new(Told(Mutex::new(tell)));
    let server = serve(Config { observer: Some(observer), ..config(1) }, stuck);
    for (path, status) in [("/stuck", 504), ("/stuck-begun", 200), ("/", 200)] {
        let mut peer = server.connect();
        peer.send(get(path));
        if path != "/" {
            assert_eq!(told.recv().unwrap(), (path.into(), status), "before the thread comes back");
            control.release.send(()).unwrap();
            control.outcomes.recv().unwrap().unwrap_err();
        }
    }
    assert_eq!(told.recv().unwrap(), (b"/".to_vec(), 200));
    server.drain();
    assert!(told.try_recv().is_err());
}

#[derive(Debug)]
struct Reliever(Mutex<Sender<Why>>);

impl Relief for Reliever {
    fn wanted(&self, why: Why) {
        self.0.lock().unwrap().send(why).unwrap();
    }
}

#[test]
fn enough_stuck_threads_ask_for_a_fresh_process_once() {
    let (stuck, control) = stuck();
    let (ask, asked) = channel();
    let relief = Some(Arc::new(Reliever(Mutex::new(ask))) as Arc<dyn Relief>);
    let server = serve(Config { relief, stuck_threads: 2, ..config(4) }, stuck);
    let mut peers: Vec<_> = (0..3).map(|_| server.connect()).collect();
    peers[0].send(get("/stuck"));
    assert_eq!(peers[0].response().status, 504);
    assert!(asked.try_recv().is_err());
    for peer in &mut peers[1..] {
        peer.send(get("/stuck"));
    }
    assert!(matches!(asked.recv().unwrap(), Why::StuckThreads { stuck: 2.., threads: 4 }));
    for peer in &mut peers[1..] {
        assert_eq!(peer.response().status, 504);
    }
    // The thread that is left answers all the others.
    assert_eq!(server.ask("/").body, b"fine");
    for _ in 0..3 {
        control.release.send(()).unwrap();
    }
    server.until(|counts| counts.stuck == 0);
    assert!(asked.try_recv().is_err());
}

#[test]
fn a_request_that_waits_too_long_for_a_thread_is_refused() {
    let (stuck, control) = stuck();
    let server = serve(Config { queue_timeout: SOON, ..config(1) }, stuck);
    let mut first = server.connect();
    first.send(get("/hold"));
    control.entered.recv().unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for peer in &mut waiting {
        peer.send(get("/"));
    }
    for peer in &mut waiting {
        let response = peer.response();
        assert_eq!(response.status, 503);
        assert!(response.head.contains("Retry-After: "), "{}", response.head);
    }
    server.until(|counts| counts.refused == 3);
    control.release.send(()).unwrap();
    assert_eq!(first.response().body, b"late");
    assert_eq!(server.ask("/").body, b"fine");
}

#[test]
fn a_request_whose_peer_has_gone_is_not_called() {
    let (stuck, control) = stuck();
    let (tell, told) = channel();
    let observer = Arc::new(Told(Mutex::new(tell)));
    let server = serve(Config { observer: Some(observer), ..config(1) }, stuck);
    let mut first = server.connect();
    first.send(get("/hold"));
    control.entered.recv().unwrap();
    let mut gone = server.connect();
    gone.send(get("/hold"));
    // Whoever is answered now was read after the request that came before it.
    let mut refused = server.connect();
    refused.send("bad\r\n\r\n");
    assert_eq!(refused.response().status, 400);
    gone.reset();
    control.release.send(()).unwrap();
    assert_eq!(first.response().body, b"late");
    assert_eq!(server.ask("/").body, b"fine");
    assert!(control.entered.try_recv().is_err());
    assert_eq!(server.handle.counts().gone, 1);
    let records: Vec<_> = told.try_iter().collect();
    assert!(records.contains(&(b"/hold".to_vec(), 0)), "{records:?}");
}

#[test]
fn the_time_in_the_queue_is_that_which_was_spent_there() {
    let (entered, has_entered) = channel();
    let (release, released) = channel::<()>();
    let (entered, released) = (Mutex::new(entered), Mutex::new(released));
    let server = serve(
        config(1),
        Answer(move |exchange: &mut dyn Exchange| {
            if exchange.head().target() == b"/hold" {
                entered.lock().unwrap().send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
            Ok(exchange.queued().as_nanos().to_string().into_bytes())
        }),
    );
    let mut first = server.connect();
    first.send(get("/hold"));
    has_entered.recv().unwrap();
    let mut second = server.connect();
    second.send(get("/"));
    let mut refused = server.connect();
    refused.send("bad\r\n\r\n");
    assert_eq!(refused.response().status, 400);
    let before = std::time::Instant::now();
    let mut third = server.connect();
    third.send("bad\r\n\r\n");
    assert_eq!(third.response().status, 400);
    let waited = before.elapsed();
    release.send(()).unwrap();
    let nanoseconds = |body: &[u8]| String::from_utf8_lossy(body).parse::<u128>().unwrap();
    let queued = nanoseconds(&second.response().body);
    assert!(queued >= waited.as_nanos(), "{queued} ns, and the test alone took {waited:?}");
}
