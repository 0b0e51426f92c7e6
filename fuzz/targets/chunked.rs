//! Bodies: the same data and the same end however they are cut; and what our own encoder makes, the decoder reads.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whiskyjack_fuzz::{BODIES, Input};
use whiskyjack_proto::body::{
    BodyLimits, CHUNK_PREFIX, CHUNK_SUFFIX, Decoder, LAST_CHUNK, chunk_prefix,
};
use whiskyjack_proto::error::Error;
use whiskyjack_proto::framing::RequestFraming;

/// The data of a body, and where it ends: after so many bytes, not yet, or with a fault.
type Decoded = (Vec<u8>, Result<Option<usize>, Error>);

fn decode(framing: RequestFraming, limits: BodyLimits, pieces: &[&[u8]]) -> Decoded {
    let mut decoder = match Decoder::new(framing, limits) {
        Ok(decoder) => decoder,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut data = Vec::new();
    let mut consumed = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !decoder.is_done() {
            let before = decoder.remaining();
            let step = match decoder.decode(rest) {
                Ok(step) => step,
                Err(error) => return (data, Err(error)),
            };
            assert!(step.data.start <= step.data.end && step.data.end <= step.consumed);
            assert!(step.consumed > 0 || rest.is_empty(), "whatever comes is consumed");
            assert_eq!(step.done, decoder.is_done());
            if let (Some(before), Some(after)) = (before, decoder.remaining()) {
                assert_eq!(before - after, step.data.len() as u64);
            }
            data.extend_from_slice(&rest[step.data]);
            consumed += step.consumed;
            rest = &rest[step.consumed..];
            if rest.is_empty() {
                break;
            }
        }
    }
    assert!(data.len() as u64 <= limits.body);
    (data, Ok(decoder.is_done().then_some(consumed)))
}

fuzz_target!(|data: &[u8]| {
    let input = Input::new(data);
    let pieces = input.pieces();
    let length = input.bytes.len() as u64;
    for limits in BODIES {
        for framing in
            [RequestFraming::Chunked, RequestFraming::Length(length / 2), RequestFraming::Empty]
        {
            let whole = decode(framing, limits, &[input.bytes]);
            assert_eq!(whole, decode(framing, limits, &pieces), "{framing:?}");
            // RFC 9112 7.1: what stands behind a body is none of it.
            if let Ok(Some(end)) = whole.1 {
                assert_eq!(whole, decode(framing, limits, &[&input.bytes[..end]]));
            }
        }
    }

    // Single bytes make six each: a short body says as much.
    let body = &input.bytes[..input.bytes.len().min(256)];
    let mut encoded = Vec::new();
    for piece in input.cut(body).iter().filter(|piece| !piece.is_empty()) {
        let mut prefix = [0; CHUNK_PREFIX];
        let written = chunk_prefix(piece.len() as u64, &mut prefix);
        encoded.extend_from_slice(&prefix[..written]);
        encoded.extend_from_slice(piece);
        encoded.extend_from_slice(CHUNK_SUFFIX);
    }
    encoded.extend_from_slice(LAST_CHUNK);
    let end = encoded.len();
    encoded.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let limits = BodyLimits { extensions: 0, trailers: 0, body: u64::MAX };
    let decoded = decode(RequestFraming::Chunked, limits, &input.cut(&encoded));
    assert_eq!(decoded, (body.to_vec(), Ok(Some(end))));
});
