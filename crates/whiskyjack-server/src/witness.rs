//! Tells of calls that take too long: what was asked for, how long it has taken, and what the thread is doing.
//!
//! Two threads, because to look into the application may take as long as somebody keeps its interpreter: the *witness* writes the log and
//! waits for nobody longer than a moment, the *asker* asks the application.

use crate::call::{Asked, Expired, Expiry};
use crate::config::{Config, Record, Why};
use crate::exchange::Application;
use crate::member::{Inside, Member};
use crate::pool::Pool;
use crate::reactor::lock;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// A call that takes too long.
#[derive(Debug)]
pub(crate) struct Late {
    member: Arc<Member>,
    /// which call of that thread
    number: u64,
    asked: Asked,
    ran: Duration,
    /// from its head to this moment
    took: Duration,
    what: What,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// nothing: it is only slow
    Slow,
    Expired(Expiry),
}

impl Late {
    pub(crate) fn new(
        member: Arc<Member>,
        number: u64,
        asked: Asked,
        ran: Duration,
        what: What,
    ) -> Late {
        let took = asked.times.begun.elapsed();
        Late { member, number, asked, ran, took, what }
    }
}

#[derive(Debug)]
enum Event {
    Late(Late),
    /// what the application says of the thread of the late call with this number among all late ones
    Told(u64, Option<Testimony>),
    Relief(Why),
    Over,
}

/// What the application says of a thread.
#[derive(Debug)]
struct Testimony {
    stack: Option<String>,
    is_interrupted: bool,
}

/// A question to the application.
#[derive(Debug)]
struct Question {
    serial: u64,
    member: Arc<Member>,
    number: u64,
    interrupt: bool,
}

/// Where others bring what is to be told.
#[derive(Debug)]
pub(crate) struct Witness {
    events: Sender<Event>,
    questions: Sender<Option<Question>>,
    /// the other ends, until their threads take them
    ends: Mutex<Option<Ends>>,
}

/// The receiving ends, one for each of the two threads.
#[derive(Debug)]
pub(crate) struct Ends {
    events: Receiver<Event>,
    questions: Receiver<Option<Question>>,
}

/// How long a record waits for the stack. Threads that want the interpreter get it in turn, after CPython's switch interval of 5 ms each.
const MOMENT: Duration = Duration::from_secs(1);

impl Default for Witness {
    fn default() -> Self {
        let (events, events_end) = channel();
        let (questions, questions_end) = channel();
        let ends = Ends { events: events_end, questions: questions_end };
        Witness { events, questions, ends: Mutex::new(Some(ends)) }
    }
}

impl Witness {
    pub(crate) fn late(&self, late: Late) {
        self.send(Event::Late(late));
    }

    pub(crate) fn relief(&self, stuck: usize, threads: usize) {
        self.send(Event::Relief(Why::StuckThreads { stuck, threads }));
    }

    pub(crate) fn end(&self) {
        self.send(Event::Over);
        // The asker has gone already, or goes now.
        let _ = self.questions.send(None);
    }

    fn send(&self, event: Event) {
        // The witness has gone: the server is over.
        let _ = self.events.send(event);
    }

    /// What the two threads live on. `None` the second time.
    pub(crate) fn ends(&self) -> Option<Ends> {
        lock(&self.ends).take()
    }
}

impl Ends {
    /// The asker's part and the witness's part.
    pub(crate) fn split(self) -> (Asker, Teller) {
        (Asker(self.questions), Teller(self.events))
    }
}

/// The thread that asks the application.
#[derive(Debug)]
pub(crate) struct Asker(Receiver<Option<Question>>);

impl Asker {
    pub(crate) fn live(self, pool: &Pool, application: &dyn Application) {
        while let Ok(Some(question)) = self.0.recv() {
            let member = &question.member;
            let testimony = member.identity.get().and_then(|&identity| {
                // It may have come back meanwhile, and be inside another call.
                let is_current = || member.call.is_under_way(question.number);
                let stack = application.stack(identity, &is_current);
                let is_interrupted =
                    question.interrupt && application.interrupt(identity, &is_current);
                // What it was interrupted in it was inside of, however soon it has come back.
                (is_interrupted || is_current()).then_some(Testimony { stack, is_interrupted })
            });
            pool.witness.send(Event::Told(question.serial, testimony));
        }
    }
}

/// The witness itself.
#[derive(Debug)]
pub(crate) struct Teller(Receiver<Event>);

/// A late call that is not told of yet, or of which the stack is not known yet.
struct Pending {
    serial: u64,
    late: Late,
    /// until when its record waits; `None` once it was written without the stack
    until: Option<Instant>,
}

impl Teller {
    pub(crate) fn live(self, pool: &Pool, application: &dyn Application) {
        let mut pending: VecDeque<Pending> = VecDeque::new();
        let mut serial = 0;
        loop {
            let until = pending.iter().find_map(|pending| pending.until);
            let event = match until {
                None => self.0.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.0.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(Event::Late(late)) => {
                    record(&pool.config, &late);
                    serial += 1;
                    let interrupt = pool.config.raise && matches!(late.what, What::Expired(_));
                    let (member, number) = (Arc::clone(&late.member), late.number);
                    // The asker has gone: then the record comes without the stack.
                    let question = Question { serial, member, number, interrupt };
                    let _ = pool.witness.questions.send(Some(question));
                    let until = Some(Instant::now() + MOMENT);
                    pending.push_back(Pending { serial, late, until });
                }
                Ok(Event::Told(told, testimony)) => {
                    let place = pending.iter().position(|pending| pending.serial == told);
                    if let Some(pending) = place.and_then(|place| pending.remove(place)) {
                        tell(&pending, testimony.as_ref());
                    }
                }
                Ok(Event::Relief(why)) => ask_for_relief(pool, why),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(pending) = pending.iter_mut().find(|one| one.until.is_some()) {
                        pending.until = None;
                        tell_without(pool, application, &pending.late);
                    }
                }
                Ok(Event::Over) | Err(RecvTimeoutError::Disconnected) => {
                    for pending in pending.iter().filter(|pending| pending.until.is_some()) {
                        tell_without(pool, application, &pending.late);
                    }
                    return;
                }
            }
        }
    }
}

/// Tells the observer of a request that the monitor has ended.
fn record(config: &Config, late: &Late) {
    let (Some(observer), What::Expired(expiry)) = (&config.observer, late.what) else { return };
    if expiry.what == Expired::Late {
        // Its thread does that itself.
        return;
    }
    let (now, asked) = (SystemTime::now(), &late.asked);
    observer.finished(&Record {
        peer: &asked.peer,
        head: Some(&asked.head),
        status: expiry.status,
        bytes: expiry.bytes,
        started: now.checked_sub(late.took).unwrap_or(now),
        duration: late.took,
        queued: asked.times.queued,
    });
}

/// `GET /slow: answered with 504 after 30.0 s in the application and 0.0 s in the queue`
fn headline(late: &Late) -> String {
    let (head, times) = (&late.asked.head, late.asked.times);
    let what = match late.what {
        What::Slow => "is slow: so far",
        What::Expired(expiry) => match expiry.what {
            Expired::Answered => "answered with 504 after",
            Expired::Aborted => "broken off after",
            Expired::Late => "answered, but its thread does not come back: so far",
        },
    };
    format!(
        "{} {}: {what} {:.1} s in the application and {:.1} s in the queue",
        head.method().escape_ascii(),
        head.target().escape_ascii(),
        late.ran.as_secs_f64(),
        times.queued.as_secs_f64(),
    )
}

fn tell(pending: &Pending, testimony: Option<&Testimony>) {
    let mut line = headline(&pending.late);
    let thread = &pending.late.member.name;
    let is_first = pending.until.is_some();
    // Writing to a String cannot fail.
    let _ = match testimony {
        None if is_first => write!(line, "; its thread {thread} has come back meanwhile"),
        // That it came back is told by itself.
        None => return,
        Some(Testimony { stack: Some(stack), .. }) => {
            let when = if is_first { "is" } else { "was, once the interpreter was free again," };
            write!(line, "; its thread {thread} {when} at\n{stack}")
        }
        Some(Testimony { stack: None, .. }) => {
            write!(line, "; what its thread {thread} does cannot be seen")
        }
    };
    if testimony.is_some_and(|testimony| testimony.is_interrupted) {
        line.push_str("\nan exception was raised in the thread");
    }
    log::warn!("{line}");
}

/// The application did not say in time what the thread is doing, so its interpreter is held.
fn tell_without(pool: &Pool, application: &dyn Application, late: &Late) {
    let mut line = headline(late);
    let thread = &late.member;
    line.push_str("; the interpreter is held (by C code that does not let go of it, as a rule)");
    let calls = |member: &&Arc<Member>| matches!(member.inside(), Inside::Call(_));
    let guests = pool.guests.here();
    if pool.members.iter().chain(&guests).filter(calls).count() == 1 {
        line.push_str(": by this thread, as no other is inside the application");
    }
    if let Some(doing) = thread.watched.get().and_then(|watched| watched.describe()) {
        let _ = write!(line, "; its thread {} {doing}", thread.name);
    }
    let stack = thread.identity.get().and_then(|&identity| application.glimpse(identity));
    // It may have come back meanwhile, and be inside another call.
    match stack.filter(|_| thread.call.is_under_way(late.number)) {
        Some(stack) => {
            let _ = write!(line, ", inside what is called at\n{stack}");
        }
        None => line.push_str("; its stack cannot be seen"),
    }
    log::warn!("{line}");
}

/// The name that [`crate::server`] gives it.
pub(crate) fn thread_name(member: usize) -> String {
    match member {
        0 => "main".to_owned(),
        number => format!("app-{number}"),
    }
}

fn ask_for_relief(pool: &Pool, why: Why) {
    let Why::StuckThreads { stuck, threads } = why;
    match &pool.config.relief {
        Some(relief) => {
            log::error!(
                "{stuck} of {threads} threads do not come back from the application: asking for a fresh process"
            );
            relief.wanted(why);
        }
        None => log::error!(
            "{stuck} of {threads} threads do not come back from the application; nobody is there to replace this process: restart it"
        ),
    }
}
