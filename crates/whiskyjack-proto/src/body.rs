//! Bodies: decode what a request carries, frame what a response carries.

use crate::error::Error;
use crate::framing::RequestFraming;
use std::ops::Range;

/// Bounds on what surrounds the data of a chunked body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// bytes of all chunk extensions of one body together
    pub extensions: usize,
    /// bytes of the trailer section
    pub trailers: usize,
    /// data bytes of the whole body; more is 413
    pub body: u64,
}

/// One step of decoding: of the input, `consumed` bytes are done with, and `data` (inside them) is body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// bytes of the input that need not be given again
    pub consumed: usize,
    /// which of the input's bytes are data of the body (may be empty)
    pub data: Range<usize>,
    /// the body is whole
    pub done: bool,
}

/// Decodes one request's body.
#[derive(Debug)]
pub struct Decoder {
    framing: RequestFraming,
    limits: BodyLimits,
}

impl Decoder {
    /// A decoder for a body delimited by `framing`. A Content-Length over `limits.body` is an error at once.
    pub fn new(framing: RequestFraming, limits: BodyLimits) -> Result<Decoder, Error> {
        Ok(Decoder { framing, limits })
    }

    /// Takes the next run of data from the input. A step that consumes nothing and is not done needs more input;
    /// otherwise the caller goes on with the rest of the input (and never with a done decoder).
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Error> {
        let _ = (input, self.framing, self.limits);
        todo!()
    }

    /// The bytes of data still to come, where the framing says it (Content-Length).
    pub fn remaining(&self) -> Option<u64> {
        todo!()
    }
}

/// The longest prefix that [`chunk_prefix`] writes.
pub const CHUNK_PREFIX: usize = 18;

/// Writes the size line of a chunk (`1f4\r\n`) into `out` and returns how long it is.
pub fn chunk_prefix(length: u64, out: &mut [u8; CHUNK_PREFIX]) -> usize {
    let _ = (length, out);
    todo!()
}

/// What ends a chunk's data.
pub const CHUNK_SUFFIX: &[u8] = b"\r\n";

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
