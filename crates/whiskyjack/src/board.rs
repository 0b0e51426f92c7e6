//! What each worker is doing, in memory that all workers and the supervisor share, so that it can be read after a worker's
//! death. Atomics only: nobody waits for anybody. Knows neither processes nor the server's insides.
//!
//! A slot is a worker's. It has a few numbers in front, and for each application thread a place of its own, so that two threads never write the same
//! cache line but for the count of calls. Numbers that are not used yet have room for what is to be counted later.

use crate::sys;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};
use whiskyjack_proto::head::RequestHead;
use whiskyjack_server::config::{Board as Told, Share};

/// The memory, of all slots.
#[derive(Clone, Copy)]
pub struct Board {
    words: &'static [AtomicU64],
    threads: usize,
    epoch: Instant,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// there is no worker
    Vacant,
    /// loads the application; takes no connection
    Booting,
    /// serves
    Serving,
    /// finishes what it has
    Draining,
}

/// A request that is inside the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// `GET /path`, cut where it is long
    pub request: String,
    /// since the call began
    pub age: Duration,
}

/// Workers that there may be at once, those that replace others included.
pub const SLOTS: usize = 1024;

/// Threads of a worker whose requests are written down; what more there are is only counted.
const THREADS: usize = 512;

/// Words of a slot's head, and of a thread's place: each a multiple of a cache line (of 128 bytes, on some processors).
const WORDS: usize = 32;

// A slot's head.
const STANDING: usize = 0;
const CONNECTIONS: usize = 1;
const CALLS: usize = 2;
const BEAT: usize = 3;
const SPARE_THREADS: usize = 4;

/// instead of a beat's time
const RESTS: u64 = u64::MAX;

// A thread's place.
const SEQUENCE: usize = 0;
const REQUESTS: usize = 1;
/// nanoseconds of the epoch, and one; 0 outside the application
const BEGAN: usize = 2;
const LENGTH: usize = 3;
const TEXT: usize = 4;
/// bytes of a request's text
const TEXT_LENGTH: usize = 120;

impl Board {
    /// Makes the memory, before any process is forked that is to share it. Errors: there is none left.
    pub fn new(threads: usize) -> io::Result<Board> {
        let threads = threads.clamp(1, THREADS);
        let words = sys::shared_words(SLOTS * WORDS * (threads + 1) + 1)?;
        Ok(Board { words, threads, epoch: Instant::now() })
    }

    /// A worker's slot.
    ///
    /// # Panics
    /// If there is none of this number: numbers are below [`SLOTS`].
    pub fn slot(self, number: usize) -> Slot {
        assert!(number < SLOTS, "slots are numbered below {SLOTS}");
        Slot { board: self, number }
    }

    fn span(self, number: usize) -> &'static [AtomicU64] {
        let length = WORDS * (self.threads + 1);
        &self.words[number * length..(number + 1) * length]
    }

    /// Behind the slots: the first number that no worker has had yet.
    fn bound(self) -> &'static AtomicU64 {
        &self.words[self.words.len() - 1]
    }

    fn nanoseconds(self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One worker's part of the board.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    board: Board,
    number: usize,
}

impl Slot {
    fn head(&self, word: usize) -> &'static AtomicU64 {
        &self.board.span(self.number)[word]
    }

    fn thread(&self, thread: usize) -> Option<&'static [AtomicU64]> {
        let start = WORDS * (thread + 1);
        self.board.span(self.number).get(start..start + WORDS)
    }

    /// Makes it as new, for a worker that is about to be forked.
    pub fn clear(&self) {
        for word in self.board.span(self.number) {
            word.store(0, Ordering::Relaxed);
        }
        self.board.bound().fetch_max(self.number as u64 + 1, Ordering::Relaxed);
        self.stand(Standing::Booting);
        self.beat(Instant::now());
    }

    /// Says how far the worker has come.
    pub fn stand(&self, standing: Standing) {
        let number = match standing {
            Standing::Vacant => 0,
            Standing::Booting => 1,
            Standing::Serving => 2,
            Standing::Draining => 3,
        };
        self.head(STANDING).store(number, Ordering::SeqCst);
    }

    /// How far the worker has come.
    pub fn standing(&self) -> Standing {
        match self.head(STANDING).load(Ordering::SeqCst) {
            1 => Standing::Booting,
            2 => Standing::Serving,
            3 => Standing::Draining,
            _ => Standing::Vacant,
        }
    }

    /// The interpreter has answered.
    pub fn beat(&self, now: Instant) {
        self.head(BEAT).store(self.board.nanoseconds(now), Ordering::Relaxed);
    }

    /// The interpreter is asked nothing until the next beat.
    pub fn rest(&self) {
        self.head(BEAT).store(RESTS, Ordering::Relaxed);
    }

    /// When the interpreter answered last; `None` where it is not asked.
    pub fn last_beat(&self) -> Option<Instant> {
        let beat = self.head(BEAT).load(Ordering::Relaxed);
        (beat != RESTS).then(|| self.board.epoch + Duration::from_nanos(beat))
    }

    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        self.head(CONNECTIONS).load(Ordering::Relaxed)
    }

    /// Requests that are inside the application.
    pub fn calls(&self) -> u64 {
        self.head(CALLS).load(Ordering::Relaxed)
    }

    /// Requests that the application has answered.
    pub fn requests(&self) -> u64 {
        let threads = (0..self.board.threads).filter_map(|thread| self.thread(thread));
        let counted: u64 = threads.map(|place| place[REQUESTS].load(Ordering::Relaxed)).sum();
        counted + self.head(SPARE_THREADS).load(Ordering::Relaxed)
    }

    /// The requests that are inside the application, or were when the worker died; the oldest first.
    pub fn in_flight(&self, now: Instant) -> Vec<InFlight> {
        let threads = (0..self.board.threads).filter_map(|thread| self.thread(thread));
        let mut found: Vec<InFlight> =
            threads.filter_map(|place| read(place, self.board.nanoseconds(now))).collect();
        found.sort_by_key(|request| std::cmp::Reverse(request.age));
        found
    }
}

/// What a thread's place says. Who writes there at this moment is read again a few times; a dead worker's place stands still.
fn read(place: &[AtomicU64], now: u64) -> Option<InFlight> {
    for _ in 0..16 {
        let before = place[SEQUENCE].load(Ordering::Acquire);
        let began = place[BEGAN].load(Ordering::Relaxed);
        let length = place[LENGTH].load(Ordering::Relaxed).min(TEXT_LENGTH as u64) as usize;
        let mut text = [0; TEXT_LENGTH];
        for (chunk, word) in text.chunks_exact_mut(8).zip(&place[TEXT..]) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        fence(Ordering::Acquire);
        if before % 2 == 1 || place[SEQUENCE].load(Ordering::Relaxed) != before {
            std::hint::spin_loop();
            continue;
        }
        let began = began.checked_sub(1)?;
        let request = String::from_utf8_lossy(&text[..length]).into_owned();
        return Some(InFlight { request, age: Duration::from_nanos(now.saturating_sub(began)) });
    }
    // It was written when the worker died: that a request was there is known, which one is not.
    let began = place[BEGAN].load(Ordering::Relaxed).checked_sub(1)?;
    let age = Duration::from_nanos(now.saturating_sub(began));
    Some(InFlight { request: "unknown".to_owned(), age })
}

/// What the load of a worker is at least all of whose threads are inside the application.
const ALL_BUSY: u64 = 1 << 20;

/// What a worker's server is given: writes to the worker's slot, and compares it with the others'.
#[derive(Debug)]
pub struct Place {
    slot: Slot,
    threads: u64,
    /// after so many requests the worker is to be replaced; 0 is never
    most_requests: u64,
    requests: AtomicU64,
    told: AtomicBool,
    listener: Box<dyn Listens>,
}

/// Who hears what a worker's server says that others cannot read from the board.
pub trait Listens: fmt::Debug + Send + Sync {
    /// It has answered as many requests as it may. Told once.
    fn is_full(&self) {}

    /// It has nothing to do.
    fn rests(&self) {}

    /// It has something to do again.
    fn stirs(&self) {}
}

impl Place {
    /// The place of a worker with so many threads, that is full after `most_requests`.
    pub fn new(
        slot: Slot,
        threads: usize,
        most_requests: u64,
        listener: impl Listens + 'static,
    ) -> Arc<Place> {
        let (requests, told) = (AtomicU64::new(0), AtomicBool::new(false));
        let (threads, listener) = (threads as u64, Box::new(listener));
        Arc::new(Place { slot, threads, most_requests, requests, told, listener })
    }

    /// How much a worker has to do. A request inside the application weighs more than a connection that may be idle, and a worker all of whose threads
    /// are inside it comes last.
    fn load(&self, slot: Slot) -> u64 {
        const CALL: u64 = 4;
        let calls = slot.calls();
        let busy = if calls >= self.threads { ALL_BUSY } else { 0 };
        slot.connections() + calls * CALL + busy
    }

    /// How long to wait for those who have less to do: they may be unable to take a connection. One that is taken while all threads are busy
    /// has to wait for them.
    fn patience(&self, load: u64) -> Duration {
        match load {
            ALL_BUSY.. => Duration::from_secs(1),
            _ => Duration::from_millis(5),
        }
    }

    fn others(&self) -> impl Iterator<Item = Slot> {
        let (board, me) = (self.slot.board, self.slot.number);
        let bound = board.bound().load(Ordering::Relaxed) as usize;
        (0..bound)
            .filter(move |number| *number != me)
            .map(move |number| board.slot(number))
            .filter(|slot| slot.standing() == Standing::Serving)
    }
}

impl Told for Place {
    fn began(&self, thread: usize, head: &RequestHead, now: Instant) {
        self.slot.head(CALLS).fetch_add(1, Ordering::Relaxed);
        let Some(place) = self.slot.thread(thread) else { return };
        let sequence = place[SEQUENCE].load(Ordering::Relaxed);
        place[SEQUENCE].store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        place[BEGAN].store(self.slot.board.nanoseconds(now) + 1, Ordering::Relaxed);
        // A query may hold what is nobody's business, and is the longest part.
        let path = head.target().split(|byte| *byte == b'?').next().unwrap_or_default();
        let mut text = [0; TEXT_LENGTH];
        let mut length = 0;
        for part in [head.method(), b" ", path] {
            let fits = part.len().min(TEXT_LENGTH - length);
            text[length..length + fits].copy_from_slice(&part[..fits]);
            length += fits;
        }
        for (chunk, word) in text[..length.next_multiple_of(8)].chunks_exact(8).zip(&place[TEXT..])
        {
            word.store(u64::from_ne_bytes(chunk.try_into().expect("8 bytes")), Ordering::Relaxed);
        }
        place[LENGTH].store(length as u64, Ordering::Relaxed);
        place[SEQUENCE].store(sequence + 2, Ordering::Release);
    }

    fn ended(&self, thread: usize) {
        self.slot.head(CALLS).fetch_sub(1, Ordering::Relaxed);
        match self.slot.thread(thread) {
            Some(place) => {
                // The thread is the only one that writes here.
                let requests = place[REQUESTS].load(Ordering::Relaxed);
                place[REQUESTS].store(requests + 1, Ordering::Relaxed);
                place[BEGAN].store(0, Ordering::Release);
            }
            None => {
                self.slot.head(SPARE_THREADS).fetch_add(1, Ordering::Relaxed);
            }
        }
        if self.most_requests > 0 {
            let requests = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
            if requests >= self.most_requests && !self.told.swap(true, Ordering::Relaxed) {
                self.listener.is_full();
            }
        }
    }

    fn connections(&self, open: usize) {
        self.slot.head(CONNECTIONS).store(open as u64, Ordering::Relaxed);
    }

    fn rests(&self) {
        self.listener.rests();
    }

    fn stirs(&self) {
        self.listener.stirs();
    }

    fn share(&self) -> Share {
        match self.slot.standing() {
            Standing::Vacant | Standing::Booting => Share::Leave,
            Standing::Draining if self.has_heirs() => Share::Leave,
            Standing::Draining => Share::Take,
            Standing::Serving => {
                let load = self.load(self.slot);
                match self.others().any(|other| self.load(other) < load) {
                    true => Share::Yield(self.patience(load)),
                    false => Share::Take,
                }
            }
        }
    }

    fn has_heirs(&self) -> bool {
        self.others().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whiskyjack_proto::parse::{HeadLimits, HeadParser};

    fn head(request: &[u8]) -> RequestHead {
        let limits = HeadLimits { line: 8190, fields: 10, field: 8190, head: 65_536 };
        let mut head = RequestHead::default();
        HeadParser::default().parse(request, &limits, &mut head).expect("right");
        head
    }

    fn place(board: Board, number: usize) -> Arc<Place> {
        let slot = board.slot(number);
        slot.clear();
        slot.stand(Standing::Serving);
        Place::new(slot, 2, 0, Nobody)
    }

    #[derive(Debug)]
    struct Nobody;

    impl Listens for Nobody {}

    #[derive(Debug)]
    struct Counts(Arc<AtomicU64>);

    impl Listens for Counts {
        fn is_full(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_request_can_be_read_while_it_is_inside_the_application_and_not_after() {
        let board = Board::new(2).expect("memory");
        let place = place(board, 0);
        let began = Instant::now();
        place.began(1, &head(b"GET /slow/thing?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n"), began);
        let found = board.slot(0).in_flight(began + Duration::from_secs(3));
        assert_eq!(
            found,
            [InFlight { request: "GET /slow/thing".into(), age: Duration::from_secs(3) }]
        );
        assert_eq!((board.slot(0).calls(), board.slot(0).requests()), (1, 0));
        place.ended(1);
        assert_eq!(board.slot(0).in_flight(began), []);
        assert_eq!((board.slot(0).calls(), board.slot(0).requests()), (0, 1));
    }

    #[test]
    fn a_long_path_is_cut_and_a_thread_without_a_place_is_counted() {
        let board = Board::new(1).expect("memory");
        let place = place(board, 5);
        let request = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(300));
        place.began(0, &head(request.as_bytes()), Instant::now());
        place.began(7, &head(request.as_bytes()), Instant::now());
        place.ended(7);
        let found = board.slot(5).in_flight(Instant::now());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].request.len(), TEXT_LENGTH);
        assert_eq!((board.slot(5).calls(), board.slot(5).requests()), (1, 1));
    }

    #[test]
    fn who_has_less_to_do_takes_the_next_connection() {
        const SHORT: Share = Share::Yield(Duration::from_millis(5));
        const LONG: Share = Share::Yield(Duration::from_secs(1));
        let board = Board::new(2).expect("memory");
        let (one, other) = (place(board, 0), place(board, 1));
        assert_eq!((one.share(), other.share()), (Share::Take, Share::Take));
        one.connections(1);
        assert_eq!((one.share(), other.share()), (SHORT, Share::Take));
        other.connections(3);
        assert_eq!((one.share(), other.share()), (Share::Take, SHORT));
        let asked = head(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        one.began(0, &asked, Instant::now());
        one.began(1, &asked, Instant::now());
        other.connections(90);
        assert_eq!((one.share(), other.share()), (LONG, Share::Take), "all threads busy");
    }

    #[test]
    fn only_who_serves_is_an_heir_or_counts() {
        let board = Board::new(1).expect("memory");
        let (one, other) = (place(board, 3), place(board, 4));
        assert!(one.has_heirs());
        one.connections(5);
        board.slot(4).stand(Standing::Draining);
        assert!(!one.has_heirs());
        assert_eq!((one.share(), other.share()), (Share::Take, Share::Leave));
        board.slot(3).stand(Standing::Draining);
        assert_eq!(other.share(), Share::Take, "the last one takes what waits");
        board.slot(4).stand(Standing::Booting);
        assert_eq!(other.share(), Share::Leave);
    }

    #[test]
    fn a_worker_that_has_answered_enough_says_so_once() {
        let board = Board::new(1).expect("memory");
        let slot = board.slot(0);
        slot.clear();
        let told = Arc::new(AtomicU64::new(0));
        let place = Place::new(slot, 1, 3, Counts(Arc::clone(&told)));
        for _ in 0..7 {
            place.ended(0);
        }
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
