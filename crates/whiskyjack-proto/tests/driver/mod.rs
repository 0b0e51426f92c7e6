//! One connection without a socket: head parser, intent and decoder as a server uses them, fed in pieces.

use whiskyjack_proto::body::{BodyLimits, Decoder};
use whiskyjack_proto::connection;
use whiskyjack_proto::error::Error;
use whiskyjack_proto::head::RequestHead;
use whiskyjack_proto::parse::{HeadLimits, HeadParser, Progress};

/// The limits that the corpus is written for.
pub const HEAD: HeadLimits = HeadLimits { line: 8190, fields: 100, field: 8190, head: 32768 };

/// The limits that the corpus is written for.
pub const BODY: BodyLimits = BodyLimits { extensions: 4096, trailers: 4096, body: 1 << 20 };

/// One request as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// How the bytes of a connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// between two requests
    Between,
    /// inside a request
    Incomplete,
    /// with a request after which the connection is closed; what follows was not read
    Closed,
    /// with a fault
    Refused(Error),
}

/// All that was understood of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub requests: Vec<Request>,
    pub end: End,
}

/// Feeds a connection's bytes piece by piece. A fault in a body leaves out the request that it belongs to.
pub fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
    feed_within(&HEAD, &BODY, pieces)
}

/// Feeds a connection's bytes piece by piece, within other limits than the corpus's.
pub fn feed_within<'a>(
    head_limits: &HeadLimits,
    body_limits: &BodyLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Verdict {
    let mut connection = Connection::default();
    for piece in pieces {
        connection.unread.extend_from_slice(piece);
        match connection.advance(head_limits, body_limits) {
            Ok(true) => {}
            Ok(false) => return connection.verdict(End::Closed),
            Err(error) => return connection.verdict(End::Refused(error)),
        }
    }
    let is_between = connection.body.is_none() && !connection.parser.is_begun();
    let end = if is_between { End::Between } else { End::Incomplete };
    connection.verdict(end)
}

#[derive(Default)]
struct Connection {
    unread: Vec<u8>,
    parser: HeadParser,
    head: RequestHead,
    body: Option<(Decoder, Vec<u8>)>,
    persistent: bool,
    requests: Vec<Request>,
}

impl Connection {
    /// Reads as far as the bytes go; `false` if the connection is to be closed.
    fn advance(
        &mut self,
        head_limits: &HeadLimits,
        body_limits: &BodyLimits,
    ) -> Result<bool, Error> {
        loop {
            if let Some((decoder, body)) = &mut self.body {
                let step = decoder.decode(&self.unread)?;
                assert!(step.data.end <= step.consumed && step.consumed <= self.unread.len());
                body.extend_from_slice(&self.unread[step.data.clone()]);
                self.unread.drain(..step.consumed);
                if !step.done {
                    if step.consumed == 0 {
                        return Ok(true);
                    }
                    continue;
                }
                let body = std::mem::take(body);
                self.body = None;
                self.requests.push(Request {
                    method: self.head.method().to_vec(),
                    target: self.head.target().to_vec(),
                    fields: self.head.fields().map(|(n, v)| (n.to_vec(), v.to_vec())).collect(),
                    body,
                });
                if !self.persistent {
                    return Ok(false);
                }
            }
            match self.parser.parse(&self.unread, head_limits, &mut self.head)? {
                Progress::Partial => return Ok(true),
                Progress::Complete(length) => {
                    self.unread.drain(..length);
                    let intent = connection::intent(&self.head)?;
                    self.persistent = intent.persistent;
                    self.body = Some((Decoder::new(intent.framing, *body_limits)?, Vec::new()));
                }
            }
        }
    }

    fn verdict(self, end: End) -> Verdict {
        Verdict { requests: self.requests, end }
    }
}
