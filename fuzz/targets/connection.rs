//! Whole connections: requests one behind the other, understood the same however they are cut; and nothing is read behind an end.

#![no_main]

#[path = "../../crates/whiskyjack-proto/tests/driver/mod.rs"]
#[expect(dead_code, reason = "the tests of the corpus use the rest")]
mod driver;

use driver::{End, feed_within};
use libfuzzer_sys::fuzz_target;
use whiskyjack_fuzz::{BODIES, HEADS, Input};

const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let input = Input::new(data);
    let pieces = input.pieces();
    for (head, body) in HEADS.iter().zip(&BODIES) {
        let whole = feed_within(head, body, [input.bytes]);
        assert_eq!(whole, feed_within(head, body, pieces.iter().copied()));
        // What has been understood stays so, whatever comes behind it; behind a fault or a close, nothing is understood.
        let more = feed_within(head, body, [input.bytes, NEXT]);
        assert!(more.requests.starts_with(&whole.requests));
        match whole.end {
            End::Refused(error) => {
                assert!((400..=505).contains(&error.status()));
                assert_eq!(more, whole);
            }
            End::Closed => assert_eq!(more, whole),
            End::Between if !input.bytes.ends_with(b"\r") => {
                let added: Vec<_> =
                    more.requests[whole.requests.len()..].iter().map(|one| &one.target).collect();
                assert_eq!((added, more.end), (vec![&b"/next".to_vec()], End::Between));
            }
            End::Between | End::Incomplete => {}
        }
    }
});
