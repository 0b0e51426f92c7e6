//! Assembles a server, runs it and drains it.

use crate::config::Config;
use crate::exchange::Application;
use crate::listener::Listener;
use std::io;
use std::sync::Arc;

/// A server that has not started: no thread exists yet.
#[derive(Debug)]
pub struct Server {}

/// Tells a running server to end. Cheap to clone; usable from any thread.
#[derive(Clone, Debug)]
pub struct Handle {}

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
        let _ = (config, listeners, application);
        todo!()
    }

    /// A handle to stop it with.
    pub fn handle(&self) -> Handle {
        Handle {}
    }

    /// Serves until the handle says otherwise. The calling thread becomes the first application thread.
    pub fn run(self) -> io::Result<Ended> {
        todo!()
    }
}

impl Handle {
    /// Take nothing new, finish what is under way, then end; at the latest after the graceful timeout.
    pub fn drain(&self) {}

    /// End at once.
    pub fn stop(&self) {}
}
