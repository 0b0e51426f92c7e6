//! Orders for workers, on their way from the supervisor to a loader: a line of JSON each, and with it the descriptors that the worker is to have.
//! Knows nothing of what is done with them.

use rustix::cmsg_space;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A worker that is wanted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Wanted {
    /// its number
    pub number: usize,
    /// whether it is one of several
    pub siblings: bool,
}

/// An order as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    wanted: Wanted,
    descriptors: usize,
}

/// The most descriptors that Linux hands on in one message (SCM_MAX_FD).
const MOST: usize = 253;

/// Sends an order without waiting. Errors: the loader is gone or takes nothing, or these are too many descriptors.
pub fn send(line: &UnixStream, wanted: Wanted, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.len() > MOST {
        let why = format!(
            "{} sockets are too many to hand on, at most {}",
            descriptors.len() - 1,
            MOST - 1
        );
        return Err(io::Error::other(why));
    }
    let written = Written { wanted, descriptors: descriptors.len() };
    let mut text = serde_json::to_vec(&written)?;
    text.push(b'\n');
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    // So short a text goes as a whole or not at all.
    sendmsg(line, &[IoSlice::new(&text)], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// The loader's end: reads without waiting.
#[derive(Debug)]
pub struct Orders {
    line: UnixStream,
    text: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    ended: bool,
}

impl Orders {
    /// Those that come over this line.
    pub fn over(line: UnixStream) -> io::Result<Orders> {
        line.set_nonblocking(true)?;
        Ok(Orders { line, text: Vec::new(), descriptors: VecDeque::new(), ended: false })
    }

    /// Whether no more will come.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The line, which leads back too.
    pub fn line(&self) -> &UnixStream {
        &self.line
    }

    /// The orders that have come, each with its descriptors.
    pub fn take(&mut self) -> Vec<(Wanted, Vec<OwnedFd>)> {
        while !self.ended {
            match self.receive() {
                Ok(0) => self.ended = true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => self.ended = true,
            }
        }
        let mut orders = Vec::new();
        while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            let Ok(written) = serde_json::from_slice::<Written>(&line) else { continue };
            let count = written.descriptors.min(self.descriptors.len());
            let descriptors: Vec<OwnedFd> = self.descriptors.drain(..count).collect();
            // Where this process may open no more files some are missing. Closing the others tells the supervisor.
            if count == written.descriptors {
                orders.push((written.wanted, descriptors));
            }
        }
        orders
    }

    fn receive(&mut self) -> Result<usize, Errno> {
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg(&self.line, &mut buffers, &mut ancillary, RecvFlags::empty())?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
                    self.descriptors.push_back(descriptor);
                }
            }
        }
        self.text.extend_from_slice(&buffer[..received.bytes]);
        Ok(received.bytes)
    }
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn each_order_comes_with_its_own_descriptors_and_then_the_end() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut orders = Orders::over(theirs).expect("a line");
        assert!(orders.take().is_empty() && !orders.is_ended());
        let mut readers = Vec::new();
        for number in 0..3 {
            let (reader, writer) = UnixStream::pair().expect("a pair");
            let many = vec![writer.as_fd(); number + 1];
            send(&ours, Wanted { number, siblings: number == 1 }, &many).expect("sent");
            readers.push(reader);
        }
        drop(ours);
        let taken = orders.take();
        assert!(orders.is_ended());
        let counts: Vec<_> = taken.iter().map(|(wanted, has)| (wanted.number, has.len())).collect();
        assert_eq!(counts, [(0, 1), (1, 2), (2, 3)]);
        for ((wanted, descriptors), mut reader) in taken.into_iter().zip(readers) {
            let text = wanted.number.to_string();
            for descriptor in descriptors {
                UnixStream::from(descriptor).write_all(text.as_bytes()).expect("written");
            }
            let mut read = String::new();
            reader.read_to_string(&mut read).expect("read, as nobody has it open any more");
            assert_eq!(read, text.repeat(wanted.number + 1));
        }
    }

    #[test]
    fn more_descriptors_than_a_message_carries_are_refused() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let wanted = Wanted { number: 0, siblings: false };
        let error = send(&ours, wanted, &vec![ours.as_fd(); MOST + 1]).expect_err("too many");
        assert_eq!(error.to_string(), "253 sockets are too many to hand on, at most 252");
    }
}
