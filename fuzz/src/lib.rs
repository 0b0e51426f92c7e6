//! What the fuzz targets share: how an input says where its bytes are cut, and the limits that they run within.
//!
//! An input is the bytes of a connection. Where there is a 0xff in it, what follows the last one is the schedule: the lengths of
//! the pieces that the bytes come in, over and over. So the files of the corpus are inputs as they are, cut into single bytes.

use whiskyjack_proto::body::BodyLimits;
use whiskyjack_proto::parse::HeadLimits;

/// An input: bytes, and the lengths of the pieces that they come in.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// the bytes as a peer sends them
    pub bytes: &'a [u8],
    schedule: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads what the fuzzer made.
    pub fn new(data: &'a [u8]) -> Input<'a> {
        match data.iter().rposition(|&byte| byte == 0xff) {
            Some(mark) => Input { bytes: &data[..mark], schedule: &data[mark + 1..] },
            None => Input { bytes: data, schedule: &[] },
        }
    }

    /// The bytes in their pieces, of which some may be empty.
    pub fn pieces(&self) -> Vec<&'a [u8]> {
        self.cut(self.bytes)
    }

    /// Other bytes, cut by the same schedule.
    pub fn cut<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        // A schedule of zeros would never end.
        let schedule =
            if self.schedule.iter().any(|&length| length > 0) { self.schedule } else { &[1] };
        let mut lengths = schedule.iter().cycle();
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while let (false, Some(&length)) = (rest.is_empty(), lengths.next()) {
            let (piece, after) = rest.split_at(rest.len().min(usize::from(length)));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// The limits that the corpus is written for, and some that a short input crosses.
pub const HEADS: [HeadLimits; 2] = [
    HeadLimits { line: 8190, fields: 100, field: 8190, head: 32768 },
    HeadLimits { line: 40, fields: 4, field: 30, head: 110 },
];

/// The limits that the corpus is written for, and some that a short input crosses.
pub const BODIES: [BodyLimits; 2] = [
    BodyLimits { extensions: 4096, trailers: 4096, body: 1 << 20 },
    BodyLimits { extensions: 8, trailers: 24, body: 20 },
];
