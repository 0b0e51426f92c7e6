//! PROXY headers: what is taken, what is refused, and that no cut changes either.

use proptest::prelude::*;
use whiskyjack_proto::proxy::{BLOCK_LIMIT, Claim, Error, Progress, Versions, parse};

/// What the header's every prefix says: `Partial` until the first that says more, which all longer ones repeat.
fn read(input: &[u8], versions: Versions) -> Result<Progress, Error> {
    let whole = parse(input, versions);
    let mut decided = None;
    for end in 0..=input.len() {
        let now = parse(&input[..end], versions);
        match decided {
            None if now != Ok(Progress::Partial) => decided = Some(now),
            None => {}
            Some(before) => assert_eq!(now, before, "after {end} bytes"),
        }
    }
    assert_eq!(decided.unwrap_or(Ok(Progress::Partial)), whole);
    whole
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a short block");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(length.to_be_bytes());
    header.extend(block);
    header
}

fn internet(source: &str, destination: &str) -> Claim {
    let address = |text: &str| text.parse().expect("an address and a port");
    Claim::Internet { source: address(source), destination: address(destination) }
}

const FOUR: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x10, 0x00, 0x00, 0x50];

#[test]
fn a_line_names_both_ends_and_leaves_the_request() {
    for (line, claim) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 4096 80\r\n",
            internet("192.0.2.1:4096", "198.51.100.2:80"),
        ),
        ("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", internet("[2001:db8::1]:65535", "[::1]:0")),
        ("PROXY UNKNOWN\r\n", Claim::Own),
        ("PROXY UNKNOWN any thing\r\n", Claim::Own),
    ] {
        let input = format!("{line}GET / HTTP/1.1\r\n");
        for versions in [Versions::One, Versions::Both] {
            assert_eq!(read(input.as_bytes(), versions), Ok(Progress::Complete(claim, line.len())));
        }
        assert_eq!(read(input.as_bytes(), Versions::Two), Err(Error::Signature));
    }
}

#[test]
fn a_line_that_breaks_a_rule_is_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    for (line, error) in [
        ("GET / HTTP/1.1\r\n", Error::Signature),
        ("PROXY\tTCP4", Error::Signature),
        ("POST / HTTP/1.1\r\n", Error::Signature),
        ("PROXY UNKNOWN\n", Error::LineEnd),
        ("PROXY UNKNOWN\rx", Error::LineEnd),
        ("PROXY UNKNOWNS\r\n", Error::Protocol),
        ("PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", Error::Protocol),
        ("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Error::Protocol),
        ("PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", Error::Addresses),
        ("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", Error::Addresses),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Error::Addresses),
        ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Error::Addresses),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Error::Addresses),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Error::Addresses),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", Error::Addresses),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Error::Addresses),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", Error::Addresses),
        (&long, Error::LineTooLong),
    ] {
        assert_eq!(read(line.as_bytes(), Versions::Both), Err(error), "{line}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(read(longest.as_bytes(), Versions::One), Ok(Progress::Complete(Claim::Own, 107)));
}

#[test]
fn a_block_names_both_ends_and_its_extensions_are_skipped() {
    let six = [&[0; 15][..], &[1], &[0; 15], &[2], &[0, 7, 0, 8]].concat();
    for (header, claim) in [
        (v2(0x21, 0x11, FOUR), internet("192.0.2.1:4096", "198.51.100.2:80")),
        (
            v2(0x21, 0x11, &[FOUR, b"\x04\x00\x02..\x20\x00\x00"].concat()),
            internet("192.0.2.1:4096", "198.51.100.2:80"),
        ),
        (v2(0x21, 0x21, &six), internet("[::1]:7", "[::2]:8")),
        (
            v2(0x21, 0x11, &[FOUR, b"\x03\x00\x04\x23\x13\x5f\x2f"].concat()),
            internet("192.0.2.1:4096", "198.51.100.2:80"),
        ),
        (v2(0x21, 0x31, &[b'/'; 216]), Claim::Unix),
        (v2(0x21, 0x00, b"anything"), Claim::Own),
        (v2(0x20, 0x11, FOUR), Claim::Own),
        (v2(0x20, 0xff, b""), Claim::Own),
    ] {
        let input = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        for versions in [Versions::Two, Versions::Both] {
            assert_eq!(read(&input, versions), Ok(Progress::Complete(claim, header.len())));
        }
        assert_eq!(read(&input, Versions::One), Err(Error::Signature));
    }
}

#[test]
fn a_block_that_breaks_a_rule_is_refused() {
    let twice = [FOUR, b"\x03\x00\x04....\x03\x00\x04...."].concat();
    for (header, error) in [
        (b"\r\n\r\nGET".to_vec(), Error::Signature),
        (v2(0x11, 0x11, FOUR), Error::Command),
        (v2(0x22, 0x11, FOUR), Error::Command),
        (v2(0x21, 0x12, FOUR), Error::Family),
        (v2(0x21, 0x41, FOUR), Error::Family),
        (v2(0x21, 0x11, &FOUR[1..]), Error::BlockTooShort(11)),
        (v2(0x21, 0x21, FOUR), Error::BlockTooShort(12)),
        (v2(0x20, 0, &vec![0; usize::from(BLOCK_LIMIT) + 1]), Error::BlockTooLong(BLOCK_LIMIT + 1)),
        (v2(0x21, 0x11, &[FOUR, b"\x04\x00"].concat()), Error::Extension),
        (v2(0x21, 0x11, &[FOUR, b"\x04\x00\x02."].concat()), Error::Extension),
        (v2(0x21, 0x11, &[FOUR, b"\x03\x00\x02.."].concat()), Error::Extension),
        (v2(0x21, 0x11, &twice), Error::Extension),
        (v2(0x21, 0x11, &[FOUR, b"\x03\x00\x04...."].concat()), Error::Checksum),
    ] {
        assert_eq!(read(&header, Versions::Both), Err(error));
    }
}

proptest! {
    #[test]
    fn no_cut_changes_what_is_read(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let input = [start, &rest].concat();
        if let Ok(Progress::Complete(_, length)) = read(&input, Versions::Both) {
            prop_assert!(length <= input.len());
        }
    }

    #[test]
    fn what_a_line_says_is_read_back(source: std::net::SocketAddrV4, destination: std::net::SocketAddrV4) {
        let line = format!(
            "PROXY TCP4 {} {} {} {}\r\n", source.ip(), destination.ip(), source.port(), destination.port()
        );
        let claim = Claim::Internet { source: source.into(), destination: destination.into() };
        prop_assert_eq!(read(line.as_bytes(), Versions::One), Ok(Progress::Complete(claim, line.len())));
    }
}
