//! PROXY headers: every prefix says the same as the whole, or that more is needed; and what is taken is within the input.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whiskyjack_proto::proxy::{Progress, Versions, parse};

fuzz_target!(|data: &[u8]| {
    for versions in [Versions::One, Versions::Two, Versions::Both] {
        let whole = parse(data, versions);
        if let Ok(Progress::Complete(_, length)) = whole {
            assert!(length <= data.len());
            assert_eq!(parse(&data[..length], versions), whole);
            assert_eq!(parse(&data[..length - 1], versions), Ok(Progress::Partial));
        }
        // Each byte of a line and of a block's addresses; beyond, a block only counts.
        for end in (0..data.len().min(256)).chain((256..data.len()).step_by(61)) {
            let part = parse(&data[..end], versions);
            assert!(part == Ok(Progress::Partial) || part == whole, "after {end} bytes");
        }
    }
});
