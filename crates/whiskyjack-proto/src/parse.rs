//! From bytes to a request head: incremental, strict, and with the same verdict however the bytes are cut.

use crate::error::Error;
use crate::head::RequestHead;

/// What a head may weigh. Every limit is a count of bytes but `fields`, a count of lines.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// the request line without its CRLF; more is 414
    pub line: usize,
    /// field lines; more is 431
    pub fields: usize,
    /// one field line without its CRLF; more is 431
    pub field: usize,
    /// the whole head; more is 431
    pub head: usize,
}

/// How far a call of [`HeadParser::parse`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The head is whole; it took this many bytes of the input.
    Complete(usize),
    /// More bytes are needed. The input must be given again from its start, with more behind it.
    Partial,
}

/// Parses one head at a time; remembers how far it has looked, so that bytes that come one by one are not read twice.
#[derive(Debug, Default)]
pub struct HeadParser {
    pub(crate) seen: usize,
}

impl HeadParser {
    /// Reads a head from the start of `input` into `head` (cleared first). After `Complete` or an error the parser is as new.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Progress, Error> {
        let _ = (input, limits, head);
        todo!()
    }

    /// Whether bytes of a head (not only the empty lines that RFC 9112 2.2 lets precede one) have been seen.
    pub fn is_begun(&self) -> bool {
        self.seen > 0
    }
}
