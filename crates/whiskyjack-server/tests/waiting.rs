//! Applications that wait: the lead changes before each call, and threads read and write outside the application.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};
use support::{Answer, Peer, Running, config, head, serve};
use whiskyjack_server::exchange::{Application, Exchange, Failure};
use whiskyjack_server::server::Ended;

/// Waits, and answers with its path. After `/stays` it stays inside until it is let go; `/fast` does not wait.
struct Waits {
    outside: Mutex<mpsc::Receiver<()>>,
}

const WAIT: Duration = Duration::from_millis(5);

impl Application for Waits {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let path = exchange.head().target().to_vec();
        if path != b"/fast" {
            std::thread::park_timeout(WAIT);
        }
        exchange.start(&head(), Some(path.len() as u64));
        exchange.write(&path.as_slice())?;
        if path == b"/stays" {
            self.outside.lock().unwrap().recv().unwrap();
        }
        exchange.write_last(&&b""[..])
    }
}

fn waits(threads: usize) -> (Running, mpsc::Sender<()>) {
    let (let_go, outside) = mpsc::channel();
    (serve(config(threads), Waits { outside: Mutex::new(outside) }), let_go)
}

fn get(peer: &mut Peer, path: &str) {
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
}

/// Has so many calls wait that the next ones are taken to.
fn get_used_to_waiting(server: &Running) {
    let mut peers: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for _ in 0..20 {
        for peer in &mut peers {
            get(peer, "/waits");
        }
        for peer in &mut peers {
            assert_eq!(peer.response().body, b"/waits");
        }
    }
}

#[test]
fn an_answer_leaves_while_its_call_goes_on_waiting() {
    let (server, let_go) = waits(8);
    get_used_to_waiting(&server);
    for _ in 0..50 {
        let mut peer = server.connect();
        get(&mut peer, "/stays");
        // Inside the application its thread waits for what comes only after this.
        assert_eq!(peer.response().body, b"/stays");
        let_go.send(()).unwrap();
        get(&mut peer, "/waits");
        assert_eq!(peer.response().body, b"/waits");
    }
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn an_answer_leaves_while_its_call_goes_on_waiting_and_nothing_else_happens_for_long() {
    let (server, let_go) = waits(8);
    get_used_to_waiting(&server);
    // Long enough inside for the monitor to have fallen asleep over it.
    let mut long = server.connect();
    get(&mut long, "/stays");
    assert_eq!(long.response().body, b"/stays");
    let mut peer = server.connect();
    get(&mut peer, "/waits");
    assert_eq!(peer.response().body, b"/waits");
    let_go.send(()).unwrap();
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn pipelined_requests_to_a_waiting_application_are_answered_in_their_order() {
    let (server, _let_go) = waits(4);
    get_used_to_waiting(&server);
    let mut peers: Vec<_> = (0..6).map(|_| server.connect()).collect();
    let paths = ["/1", "/fast", "/2", "/fast", "/fast", "/3"];
    for peer in &mut peers {
        let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        peer.send(requests.concat());
    }
    for peer in &mut peers {
        for path in paths {
            assert_eq!(peer.response().body, path.as_bytes());
        }
    }
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn who_pipelines_without_end_does_not_keep_a_waiting_application_from_the_others() {
    let (server, _let_go) = waits(2);
    get_used_to_waiting(&server);
    let flood: String = "GET /waits HTTP/1.1\r\nHost: test\r\n\r\n".repeat(1000);
    let floods: Vec<_> =
        (0..4).map(|_| server.connect().flood(flood.clone().into_bytes())).collect();
    for _ in 0..10 {
        assert_eq!(server.ask("/waits").body, b"/waits");
    }
    for flood in floods {
        flood.stop();
    }
}

#[test]
fn an_application_that_ceases_to_wait_is_answered_as_before() {
    let (server, _let_go) = waits(4);
    get_used_to_waiting(&server);
    let mut peers: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for _ in 0..500 {
        for peer in &mut peers {
            get(peer, "/fast");
        }
        for peer in &mut peers {
            assert_eq!(peer.response().body, b"/fast");
        }
    }
    get_used_to_waiting(&server);
    assert_eq!(server.drain(), Ended::Drained);
}

#[test]
fn a_server_of_a_waiting_application_drains_with_answers_under_way() {
    for _ in 0..2 {
        let (server, _let_go) = waits(8);
        get_used_to_waiting(&server);
        let mut peers: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for peer in &mut peers {
            get(peer, "/waits");
        }
        for peer in &mut peers {
            assert_eq!(peer.response().body, b"/waits");
            get(peer, "/waits");
        }
        assert_eq!(server.drain(), Ended::Drained);
        for peer in &mut peers {
            assert_eq!(peer.response().body, b"/waits");
        }
    }
}

/// How many of 400 calls began while another was under way, where they are too short for anybody to find them long.
fn begun_beside_another(is_parallel: bool, spend: fn()) -> usize {
    struct Spends {
        is_parallel: bool,
        spend: fn(),
        inside: AtomicUsize,
        beside: Arc<AtomicUsize>,
    }
    impl Application for Spends {
        fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
            if self.inside.fetch_add(1, Ordering::SeqCst) > 0 {
                self.beside.fetch_add(1, Ordering::SeqCst);
            }
            (self.spend)();
            self.inside.fetch_sub(1, Ordering::SeqCst);
            exchange.start(&head(), Some(0));
            exchange.write_last(&&b""[..])
        }

        fn is_parallel(&self) -> bool {
            self.is_parallel
        }
    }
    let beside = Arc::new(AtomicUsize::new(0));
    let spends =
        Spends { is_parallel, spend, inside: AtomicUsize::new(0), beside: Arc::clone(&beside) };
    let server = serve(config(4), spends);
    let mut peers: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for _ in 0..50 {
        for peer in &mut peers {
            get(peer, "/");
        }
        for peer in &mut peers {
            assert_eq!(peer.response().status, 200);
        }
    }
    assert_eq!(server.drain(), Ended::Drained);
    beside.load(Ordering::SeqCst)
}

fn work() {
    let until = Instant::now() + Duration::from_micros(300);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

// Elsewhere a thread can't tell that it has slept.
#[cfg(target_os = "linux")]
#[test]
fn short_calls_that_wait_do_so_at_the_same_time() {
    // Over before anybody who looks from outside would take them for held up.
    let beside =
        begun_beside_another(false, || std::thread::park_timeout(Duration::from_micros(300)));
    assert!(beside >= 200, "{beside} of 400");
}

#[test]
fn short_calls_run_at_the_same_time_where_they_can() {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let beside = begun_beside_another(true, work);
    assert!(processors == 1 || beside >= 1, "{beside} of 400 on {processors} processors");
}

#[test]
fn calls_that_wait_for_each_other_meet_however_many_there_are() {
    const CALLS: usize = 8;
    let barrier = Barrier::new(CALLS);
    let server = serve(
        config(CALLS),
        Answer(move |_: &mut dyn Exchange| {
            barrier.wait();
            Ok(b"met".to_vec())
        }),
    );
    let mut peers: Vec<_> = (0..CALLS).map(|_| server.connect()).collect();
    for _ in 0..200 {
        for peer in &mut peers {
            get(peer, "/");
        }
        for peer in &mut peers {
            assert_eq!(peer.response().body, b"met");
        }
    }
    assert_eq!(server.drain(), Ended::Drained);
}
