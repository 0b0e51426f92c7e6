//! The control socket: what the operator asks over it, and the answers. Knows the messages, not what they lead to.

use super::channel::{Channel, send};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socket2::Socket;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

/// What is asked for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// how things are
    Status,
    /// new code; the answer comes when it serves, or why it does not
    Reload,
    /// the end; the connection lasts until then
    Stop,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// how things are
    Status(Value),
    /// it was done, or begun
    Done,
    /// it could not be done
    Failed(String),
}

/// The socket and those who are connected to it.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    asking: Vec<Channel<Wish>>,
    /// they wait for the end of a reload
    waiting: Vec<Channel<Wish>>,
    /// they wait for the end of the server
    watching: Vec<Channel<Wish>>,
}

/// Connections at once: whoever may connect is the operator, but programs have faults.
const MOST: usize = 64;

impl Control {
    /// Listens on a socket that is bound.
    pub fn over(socket: Socket) -> std::io::Result<Control> {
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from(OwnedFd::from(socket));
        Ok(Control { listener, asking: Vec::new(), waiting: Vec::new(), watching: Vec::new() })
    }

    /// The socket.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = &UnixStream> {
        self.asking.iter().map(Channel::stream)
    }

    /// What has been asked since the last look, each with the place to answer at.
    pub fn take(&mut self) -> Vec<(Wish, Channel<Wish>)> {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.asking.len() < MOST {
                self.asking.extend(Channel::over(stream));
            }
        }
        let mut asked = Vec::new();
        for mut channel in std::mem::take(&mut self.asking) {
            match channel.take().first() {
                Some(wish) => asked.push((*wish, channel)),
                None if channel.is_ended() => {}
                None => self.asking.push(channel),
            }
        }
        asked
    }

    /// Has it answered when the reload is over.
    pub fn wait_for_reload(&mut self, channel: Channel<Wish>) {
        self.waiting.push(channel);
    }

    /// Keeps the connection until the end.
    pub fn wait_for_end(&mut self, channel: Channel<Wish>) {
        self.watching.push(channel);
    }

    /// Tells those who wait how a reload ended.
    pub fn reloaded(&mut self, result: &Result<(), String>) {
        let outcome = match result {
            Ok(()) => Answer::Done,
            Err(why) => Answer::Failed(why.clone()),
        };
        for channel in self.waiting.drain(..) {
            answer(&channel, &outcome);
        }
    }
}

/// Answers. Whoever does not wait for it needs none.
pub fn answer(channel: &Channel<Wish>, answer: &Answer) {
    if let Err(error) = send(channel.stream(), answer) {
        log::debug!("cannot answer over the control socket: {error}");
    }
}
