//! In how many writes the pieces of a response leave.

use super::config;
use super::wire::{Script, Wire};
use crate::call::Call;
use crate::exchange::{Address, Application, Exchange, Failure, Origin};
use crate::http1::{Common, Connection, Stages, Turn, Workspace};
use crate::reactor::lock;
use crate::simulation::chance::Chance;
use crate::succession::{Followed, Succession};
use crate::transport::Transport;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use whiskyjack_proto::head::ResponseHead;

/// Answers in three pieces, and notes how many writes there have been after each and after the last.
struct Piecewise {
    wire: Wire,
    between: fn(&Call),
    call: Arc<Call>,
    writes: Mutex<Vec<usize>>,
}

impl Application for Piecewise {
    fn call(&self, exchange: &mut dyn Exchange) -> Result<(), Failure> {
        let mut head = ResponseHead::default();
        head.set_status(b"200 OK").expect("valid");
        exchange.start(&head, None);
        for piece in [&b"one"[..], b"two", b"three"] {
            exchange.write(&piece)?;
            lock(&self.writes).push(lock(&self.wire.0).writes);
            (self.between)(&self.call);
        }
        Ok(())
    }
}

/// The writes after each piece of a response, and after its end.
fn writes(succession: &Succession, watched: bool, between: fn(&Call)) -> Vec<usize> {
    let wire = Wire(Arc::new(Mutex::new(Script {
        chance: Chance(1),
        to_come: VecDeque::new(),
        arrived: b"GET / HTTP/1.1\r\nHost: simulation\r\n\r\n".iter().copied().collect(),
        room: 1_000_000,
        sent: Vec::new(),
        writes: 0,
        half_closes: false,
        ended: false,
        resets_before: None,
        reset: false,
        stalls_before: None,
        stalled: false,
        server_ended: false,
        server_aborted: false,
    })));
    let call = Arc::new(Call::default());
    let application = Piecewise {
        wire: wire.clone(),
        between,
        call: Arc::clone(&call),
        writes: Mutex::default(),
    };
    let (config, no, watched) = (config(), AtomicBool::new(false), || watched);
    let stages = Stages { closing: &no, draining: &no };
    let common = Common { config: &config, stages, succession };
    let mut workspace = Workspace::new(common, &call, &watched);
    let address = Address::Unix(None);
    let origin = Origin { peer: address.clone(), local: address, secure: false, claimed: false };
    let mut connection = Connection::new(Transport::Scripted(wire.clone()), origin, None);
    connection.readable(false);
    assert!(matches!(connection.advance(&mut workspace), Turn::Call));
    connection.call(&application, &mut workspace);
    assert!(matches!(connection.advance(&mut workspace), Turn::Park(..)));
    let mut writes = lock(&application.writes).clone();
    writes.push(lock(&wire.0).writes);
    let sent = lock(&wire.0).sent.clone();
    assert!(sent.ends_with(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"));
    writes
}

fn expecting() -> Succession {
    let succession = Succession::default();
    while !succession.is_expected() {
        succession.tell(Followed::AtOnce);
    }
    succession
}

/// Whether a response leaves like this. A thread that is kept from its processor between two pieces is tried again.
fn leaves(attempt: impl Fn() -> Vec<usize>, expected: &[usize]) -> bool {
    (0..1000).any(|_| attempt() == expected)
}

#[test]
fn the_first_piece_leaves_at_once_and_those_behind_it_together() {
    let attempt = || writes(&Succession::default(), true, |_| {});
    assert_eq!(attempt()[0], 1);
    assert!(leaves(attempt, &[1, 1, 1, 2]));
}

#[test]
fn all_pieces_leave_together_where_they_are_expected_to_come_together() {
    assert!(leaves(|| writes(&expecting(), true, |_| {}), &[0, 0, 0, 1]));
}

#[test]
fn pieces_leave_at_once_where_nobody_watches() {
    assert_eq!(writes(&expecting(), false, |_| {}), [1, 2, 3, 4]);
}

#[test]
fn a_piece_that_another_thread_had_to_send_makes_the_next_response_s_leave_at_once() {
    let succession = expecting();
    let stall = |call: &Call| {
        assert!(call.gathering.send());
        let since = std::time::Instant::now();
        while since.elapsed().as_micros() < 300 {
            std::hint::spin_loop();
        }
    };
    assert_eq!(writes(&succession, true, stall)[0], 0);
    assert!(!succession.is_expected());
    (0..9_999).for_each(|_| succession.tell(Followed::AtOnce));
    assert!(!succession.is_expected());
}
