//! The line between the supervisor and a process it forked: a message a line, as JSON. Its end tells each side that the other is gone.
//! Knows no message but by its type.

use crate::reloader::Change;
use rustix::net::{SendFlags, send as send_bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// What a worker tells the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// a loader has forked it
    Born {
        /// its process
        pid: i32,
    },
    /// it serves
    Ready {
        /// `module:attribute`
        application: String,
        /// the interpreter
        python: String,
    },
    /// it cannot serve, and ends
    Failed {
        /// for people
        why: String,
    },
    /// somebody has told it to drain
    Draining,
    /// files that it has to do with have changed
    Changed {
        /// which, and to what
        changes: Vec<Change>,
    },
    /// another should stand in its place
    Replace {
        /// for people
        why: String,
    },
    /// it has nothing to do, and gives no sign of life
    Rests,
    /// it has something to do again
    Stirs,
}

/// What the supervisor tells a worker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// say `Connection: close` from now on
    Announce,
    /// take connections again
    LookAround,
    /// open the log files anew
    Reopen,
}

/// Writes one message. Errors: the other side is gone, or takes nothing.
pub fn send<M: Serialize>(mut stream: &UnixStream, message: &M) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Writes one message unless the other side has as many to read as there can be. Errors: it has, or is gone.
pub fn send_if_room<M: Serialize>(stream: &UnixStream, message: &M) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(send_bytes(stream, &line, SendFlags::DONTWAIT).map(drop)?)
}

/// Reads messages until the other side is gone; waits for each.
pub fn receive<M: DeserializeOwned>(stream: &UnixStream) -> impl Iterator<Item = M> {
    let lines = BufReader::new(stream).lines();
    lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok())
}

/// The supervisor's end: reads without waiting.
#[derive(Debug)]
pub struct Channel<M> {
    stream: UnixStream,
    read: Vec<u8>,
    ended: bool,
    messages: PhantomData<M>,
}

impl<M: DeserializeOwned> Channel<M> {
    /// A channel, and the other end of it.
    pub fn pair() -> io::Result<(Channel<M>, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Channel::over(ours)?, theirs))
    }

    /// A channel over a connection.
    pub fn over(stream: UnixStream) -> io::Result<Channel<M>> {
        stream.set_nonblocking(true)?;
        Ok(Channel { stream, read: Vec::new(), ended: false, messages: PhantomData })
    }

    /// The messages that have come.
    pub fn take(&mut self) -> Vec<M> {
        let mut buffer = [0; 4096];
        while !self.ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.ended = true,
            }
            if self.read.len() > LONGEST {
                self.ended = true;
            }
        }
        let mut messages = Vec::new();
        while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.read.drain(..=end).collect();
            messages.extend(serde_json::from_slice(&line));
        }
        messages
    }

    /// Whether the other side is gone.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The connection.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

impl<M> AsFd for Channel<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// No message is as long; a traceback may be many lines.
const LONGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_and_in_order_and_then_the_end() {
        let (mut ours, theirs) = Channel::<Report>::pair().expect("a pair");
        assert_eq!(ours.take(), []);
        let failed = Report::Failed { why: "line one\nline two".into() };
        send(&theirs, &Report::Draining).expect("sent");
        send(&theirs, &failed).expect("sent");
        drop(theirs);
        assert_eq!(ours.take(), [Report::Draining, failed]);
        assert!(ours.is_ended());
    }

    #[test]
    fn orders_are_waited_for_until_the_supervisor_is_gone() {
        let (ours, theirs) = Channel::<Report>::pair().expect("a pair");
        send(ours.stream(), &Order::Reopen).expect("sent");
        drop(ours);
        assert_eq!(receive::<Order>(&theirs).collect::<Vec<_>>(), [Order::Reopen]);
    }
}
