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
use std::time::Instant;
use whiskyjack_proto::head::ResponseHead;

/// Answers in pieces, and notes how many writes there have been after each.
struct Piecewise {
    pieces: &'static [&'static [u8]],
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
        for piece in self.pieces {
            exchange.write(piece)?;
            lock(&self.writes).push(lock(&self.wire.0).writes);
            (self.between)(&self.call);
        }
        Ok(())
    }
}

/// What a thread that answers is told.
struct Around {
    /// somebody sends what is gathered should it not
    watched: bool,
    /// others can go on behind this connection
    company: bool,
    /// what happens after each piece
    between: fn(&Call),
}

const WATCHED: Around = Around { watched: true, company: false, between: |_| {} };
const THREE: &[&[u8]] = &[b"one", b"two", b"three"];

/// The writes after each piece of a response and after its end, and whether it is held back for those of others.
fn answer(
    pieces: &'static [&'static [u8]],
    succession: &Succession,
    around: &Around,
) -> (Vec<usize>, bool) {
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
    let (between, writes) = (around.between, Mutex::default());
    let application =
        Piecewise { pieces, wire: wire.clone(), between, call: Arc::clone(&call), writes };
    let (config, no, watched) = (config(), AtomicBool::new(false), || around.watched);
    let stages = Stages { closing: &no, draining: &no };
    let common = Common { config: &config, stages, succession };
    let mut workspace = Workspace::new(common, &call, &watched);
    workspace.company = around.company;
    let address = Address::Unix(None);
    let origin = Origin { peer: address.clone(), local: address, secure: false, claimed: false };
    let mut connection = Connection::new(Transport::Scripted(wire.clone()), origin, None);
    connection.readable(false);
    assert!(matches!(connection.advance(&mut workspace), Turn::Call));
    connection.call(&application, &mut workspace);
    let turn = connection.advance(&mut workspace);
    let mut writes = lock(&application.writes).clone();
    writes.push(lock(&wire.0).writes);
    connection.send_held();
    let mut body: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
        .collect();
    body.extend(b"0\r\n\r\n");
    assert!(lock(&wire.0).sent.ends_with(&[b"\r\n\r\n", &body[..]].concat()));
    (writes, matches!(turn, Turn::Hold))
}

fn expecting() -> Succession {
    let succession = Succession::default();
    while !succession.is_expected() {
        succession.tell(Followed::AtOnce);
    }
    succession
}

/// Whether a response comes out like this. A thread that is kept from its processor between two pieces is tried again.
fn comes<T: PartialEq>(attempt: impl Fn() -> T, expected: &T) -> bool {
    (0..1000).any(|_| attempt() == *expected)
}

#[test]
fn the_first_piece_leaves_at_once_and_those_behind_it_together() {
    let attempt = || answer(THREE, &Succession::default(), &WATCHED).0;
    assert_eq!(attempt()[0], 1);
    assert!(comes(attempt, &vec![1, 1, 1, 2]));
}

#[test]
fn all_pieces_leave_together_where_they_are_expected_to_come_together() {
    assert!(comes(|| answer(THREE, &expecting(), &WATCHED), &(vec![0, 0, 0, 1], false)));
}

#[test]
fn pieces_leave_at_once_where_nobody_watches() {
    let unwatched = Around { watched: false, ..WATCHED };
    assert_eq!(answer(THREE, &expecting(), &unwatched).0, [1, 2, 3, 4]);
}

#[test]
fn a_response_is_held_back_for_others_if_it_is_small_or_was_gathered() {
    let company = Around { company: true, ..WATCHED };
    assert!(comes(|| answer(&[&[b'x'; 9000]], &expecting(), &company), &(vec![0, 0], true)));
    let attempt = || answer(&[&[b'x'; 2000], &[b'x'; 7000]], &expecting(), &company);
    assert!(comes(attempt, &(vec![0, 0, 0], true)));
    assert_eq!(answer(&[&[b'x'; 17_000]], &expecting(), &company).0[0], 1);
}

#[test]
fn a_piece_that_another_thread_had_to_send_makes_the_next_response_s_leave_at_once() {
    let succession = expecting();
    let between = |call: &Call| {
        assert!(call.gathering.send());
        let since = Instant::now();
        while since.elapsed().as_micros() < 300 {
            std::hint::spin_loop();
        }
    };
    assert_eq!(answer(THREE, &succession, &Around { between, ..WATCHED }).0[0], 0);
    (0..9_999).for_each(|_| succession.tell(Followed::AtOnce));
    assert!(!succession.is_expected());
}
