//! Assembles a server, runs it and drains it.

use crate::config::Config;
use crate::exchange::{Address, Application, Origin};
use crate::listener::Listener;
use crate::member::Inside;
use crate::pool::{Pool, Stage};
use crate::reactor::Reactor;
use crate::transport::Transport;
use crate::witness::thread_name;
use socket2::Socket;
use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};

/// A server that has not started: no thread exists yet.
pub struct Server {
    pool: Arc<Pool>,
    application: Arc<dyn Application>,
    addresses: Vec<Address>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Tells a running server to end. Cheap to clone; usable from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    pool: Arc<Pool>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was under way has been answered.
    Drained,
    /// This many connections were cut off, by [`Handle::stop`] or the graceful timeout. Threads may still be inside the application.
    Cut(usize),
}

impl Server {
    /// Assembles a server. Errors: the operating system refuses a poll or a registration.
    pub fn new(
        config: Config,
        listeners: Vec<Listener>,
        application: Arc<dyn Application>,
    ) -> io::Result<Server> {
        let addresses = listeners.iter().map(|listener| listener.local().clone()).collect();
        let reactor = Reactor::new(listeners, &config)?;
        let pool = Arc::new(Pool::new(config, reactor));
        Ok(Server { pool, application, addresses })
    }

    /// A handle to stop it with.
    pub fn handle(&self) -> Handle {
        Handle { pool: Arc::clone(&self.pool) }
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Serves until the handle says otherwise. The calling thread becomes the first application thread, so it may be held
    /// up inside the application after a cut: another thread that must know of the end asks [`Handle::wait`].
    /// Of the threads that it starts, none is left when it returns but those that a cut finds inside the application.
    /// Errors: a thread can't be started.
    pub fn run(self) -> io::Result<Ended> {
        let threads = self.pool.members.len();
        if self.application.is_parallel() {
            self.pool.run_abreast(std::thread::available_parallelism().map_or(1, NonZero::get));
        }
        let started = self.start(threads);
        if started.is_err() {
            self.pool.stop();
        } else {
            let pool = &self.pool;
            let application = &*self.application;
            application.thread(&mut || pool.live(0, &self.application));
        }
        let ended = self.handle().wait();
        for (member, thread) in started? {
            // After a cut, a thread that is inside the application may never come back.
            if ended != Ended::Drained
                && member.is_some_and(|member| self.pool.is_inside_call(member))
            {
                continue;
            }
            if thread.join().is_err() {
                log::error!("a thread of the server ended by a panic");
            }
        }
        for (guest, thread) in self.pool.guests.take_handles() {
            let is_inside = matches!(guest.inside(), Inside::Call(_));
            if (ended == Ended::Drained || !is_inside) && thread.join().is_err() {
                log::error!("a thread of the server ended by a panic");
            }
        }
        Ok(ended)
    }

    /// Starts the threads: each with its place among the pool's, where it has one that calls the application.
    fn start(&self, threads: usize) -> io::Result<Vec<(Option<usize>, JoinHandle<()>)>> {
        let mut handles = Vec::with_capacity(threads);
        for number in 1..threads {
            let pool = Arc::clone(&self.pool);
            let application = Arc::clone(&self.application);
            let standby = number + 1 == threads;
            let name = if standby { "standby".into() } else { thread_name(number) };
            let handle = Builder::new().name(name).stack_size(STACK).spawn(move || {
                if standby {
                    // It must go on when the interpreter is stuck, so it never enters it.
                    pool.live(number, &application);
                } else {
                    application.thread(&mut || pool.live(number, &application));
                }
            })?;
            handles.push(((!standby).then_some(number), handle));
        }
        if let Some(ends) = self.pool.witness.ends() {
            let (asker, teller) = ends.split();
            let pool = Arc::clone(&self.pool);
            let application = Arc::clone(&self.application);
            let asker = move || asker.live(&pool, &*application);
            handles.push((None, Builder::new().name("asker".into()).spawn(asker)?));
            let pool = Arc::clone(&self.pool);
            let application = Arc::clone(&self.application);
            let witness = move || teller.live(&pool, &*application);
            handles.push((None, Builder::new().name("witness".into()).spawn(witness)?));
        }
        let pool = Arc::clone(&self.pool);
        let monitor = move || pool.monitor.watch(&pool);
        handles.push((None, Builder::new().name("monitor".into()).spawn(monitor)?));
        Ok(handles)
    }
}

/// Address space of an application's thread; memory is taken only where the stack gets to. Rust's 2 MiB are too little: up to
/// 3.13 CPython counts the depth of C calls instead of measuring the stack, for the 8 MiB of a main thread (16 on macOS).
pub(crate) const STACK: usize = 16 << 20;

/// What a server has counted since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// calls that went past their deadline
    pub expired: u64,
    /// of them, those that have not come back yet
    pub stuck: usize,
    /// requests that waited too long for a thread, and were answered with 503
    pub refused: u64,
    /// requests whose peer left while they waited for a thread
    pub gone: u64,
}

impl Handle {
    /// What has been counted until now.
    pub fn counts(&self) -> Counts {
        let pool = &self.pool;
        Counts {
            expired: pool.expired.load(Ordering::Relaxed),
            stuck: pool.stuck.load(Ordering::Relaxed),
            refused: pool.losses.refused(),
            gone: pool.losses.gone(),
        }
    }

    /// Say `Connection: close` in every response from here on, and go on taking connections: others should learn that the
    /// end is near before it comes.
    pub fn announce(&self) {
        self.pool.announce();
    }

    /// Serve this connection too, which came from no listener. Errors: it can't be watched.
    pub fn adopt(&self, socket: Socket, origin: Origin) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.pool.reactor.adopt(Transport::Unix(socket), origin)
    }

    /// Look around now: what the board says of the shared queues has changed.
    pub fn look_around(&self) {
        self.pool.reactor.wake();
    }

    /// Take nothing new, finish what is under way, then end; at the latest after the graceful timeout.
    pub fn drain(&self) {
        self.pool.drain();
    }

    /// End at once.
    pub fn stop(&self) {
        self.pool.stop();
    }

    /// Has the thread that runs the server come out of its wait soon, so that [`Application::wait`] returns there.
    /// It is left alone while it is inside the application.
    pub fn nudge(&self) {
        self.pool.nudge();
    }

    /// Waits until the server has ended.
    pub fn wait(&self) -> Ended {
        match self.pool.wait_for_end() {
            Stage::Cut(connections) => Ended::Cut(connections),
            Stage::Serving | Stage::Draining(_) | Stage::Drained => Ended::Drained,
        }
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.pool.reactor.open()
    }
}
