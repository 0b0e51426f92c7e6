//! What a proxy says of the client before the first request: the PROXY protocol, versions 1 and 2 (HAProxy's
//! `proxy-protocol.txt`). Knows no list of who may say it and no deadline: a connection's first bytes come in, a claim goes out.
//!
//! A header is short, so it is read from its start each time that more of it has come. Whoever expects one must get one:
//! nothing here guesses whether bytes are a header or a request already (section 2).

// Addresses only: `core` has them without the sockets.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt;

/// Which versions are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The line of text only.
    One,
    /// The binary block only.
    Two,
    /// Either; their first bytes differ.
    Both,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Partial,
    /// What it claims, and its length: what follows is the first request.
    Complete(Claim, usize),
}

/// Between whom the proxied connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// LOCAL, UNKNOWN or UNSPEC: the socket's own addresses hold, as for a proxy's check of health.
    Own,
    /// A client over TCP.
    Internet {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
    /// A client over a Unix socket. Its paths are the proxy's host's, and not passed on.
    Unix,
}

/// Which rule a header breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The first bytes are those of no version that is taken.
    Signature,
    /// Section 2.1: a line has at most 107 bytes.
    LineTooLong,
    /// Section 2.1: a line ends with CRLF, and has neither byte elsewhere.
    LineEnd,
    /// Section 2.1: TCP4, TCP6 or UNKNOWN.
    Protocol,
    /// Section 2.1: two addresses of the family, two ports, one space between them.
    Addresses,
    /// Section 2.2: version 2, and a command that it has.
    Command,
    /// Section 2.2: a stream of a family that is known.
    Family,
    /// More than [`BLOCK_LIMIT`].
    BlockTooLong(u16),
    /// Section 2.2: no room for the addresses of the family.
    BlockTooShort(u16),
    /// Section 2.2: an extension that ends behind the block, or a checksum that has not four bytes or comes twice.
    Extension,
    /// Section 2.2.3: the checksum is another.
    Checksum,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Signature => f.write_str("no PROXY header of a version that is taken"),
            Error::LineTooLong => write!(f, "PROXY line is longer than {LINE_LIMIT} bytes"),
            Error::LineEnd => f.write_str("PROXY line has a CR or LF that is no line end"),
            Error::Protocol => f.write_str("PROXY line is not of TCP4, TCP6 or UNKNOWN"),
            Error::Addresses => f.write_str("PROXY line has bad addresses or ports"),
            Error::Command => f.write_str("PROXY header has an unknown version or command"),
            Error::Family => f.write_str("PROXY header is not of a stream of a known family"),
            Error::BlockTooLong(length) => {
                write!(f, "PROXY header announces {length} bytes, more than {BLOCK_LIMIT}")
            }
            Error::BlockTooShort(length) => {
                write!(f, "PROXY header announces {length} bytes, too few for its addresses")
            }
            Error::Extension => f.write_str("PROXY header has a malformed extension"),
            Error::Checksum => f.write_str("PROXY header does not match its checksum"),
        }
    }
}

impl std::error::Error for Error {}

/// Section 2.1: the longest line, with its CRLF.
pub const LINE_LIMIT: usize = 107;

/// The most that may follow the fixed part of version 2: addresses take 216 bytes at most, and the extensions that proxies
/// send (names, certificates' subjects, identifiers) some hundreds. The protocol's own limit is 65535.
pub const BLOCK_LIMIT: u16 = 4096;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

/// Reads one version's header.
type Reader = fn(&[u8]) -> Result<Progress, Error>;

/// Reads the header that `input`, all that has come so far, starts with.
pub fn parse(input: &[u8], versions: Versions) -> Result<Progress, Error> {
    let Some(first) = input.first() else { return Ok(Progress::Partial) };
    let (start, read): (_, Reader) = match (first, versions) {
        (b'P', Versions::One | Versions::Both) => (LINE_START, line),
        (b'\r', Versions::Two | Versions::Both) => (SIGNATURE, block),
        _ => return Err(Error::Signature),
    };
    if input.len() < start.len() {
        return if start.starts_with(input) {
            Ok(Progress::Partial)
        } else {
            Err(Error::Signature)
        };
    }
    if input.starts_with(start) { read(input) } else { Err(Error::Signature) }
}

fn line(input: &[u8]) -> Result<Progress, Error> {
    let last = LINE_LIMIT - 2;
    let within = &input[..input.len().min(last + 1)];
    let Some(end) = within.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if within.len() > last { Err(Error::LineTooLong) } else { Ok(Progress::Partial) };
    };
    match (input[end], input.get(end + 1)) {
        (b'\r', None) => return Ok(Progress::Partial),
        (b'\r', Some(b'\n')) => {}
        _ => return Err(Error::LineEnd),
    }
    let text = &input[LINE_START.len()..end];
    let mut words = text.split(|byte| *byte == b' ');
    let claim = match words.next() {
        // Section 2.1: whatever stands behind it is ignored.
        Some(b"UNKNOWN") => Claim::Own,
        Some(b"TCP4") => addresses::<Ipv4Addr>(words)?,
        Some(b"TCP6") => addresses::<Ipv6Addr>(words)?,
        _ => return Err(Error::Protocol),
    };
    Ok(Progress::Complete(claim, end + 2))
}

fn addresses<'a, A>(mut words: impl Iterator<Item = &'a [u8]>) -> Result<Claim, Error>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut next = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    let mut address = || next()?.parse::<A>().ok().map(Into::into);
    let (source, destination) = (address(), address());
    let mut port = || next().and_then(port);
    let (source_port, destination_port) = (port(), port());
    match (source, destination, source_port, destination_port, words.next()) {
        (Some(source), Some(destination), Some(source_port), Some(destination_port), None) => {
            Ok(Claim::Internet {
                source: SocketAddr::new(source, source_port),
                destination: SocketAddr::new(destination, destination_port),
            })
        }
        _ => Err(Error::Addresses),
    }
}

/// Section 2.1: no sign (which `parse` would take) and no leading zero.
fn port(word: &str) -> Option<u16> {
    let plain = word == "0" || word.starts_with(|first| matches!(first, '1'..='9'));
    if plain { word.parse().ok() } else { None }
}

fn block(input: &[u8]) -> Result<Progress, Error> {
    let local = match input.get(12) {
        None => return Ok(Progress::Partial),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Error::Command),
    };
    let Some(&family) = input.get(13) else { return Ok(Progress::Partial) };
    // Section 2.2: of a LOCAL header the family is ignored. A datagram cannot have come here.
    let taken = match family {
        _ if local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(Error::Family),
    };
    let Some(&[high, low]) = input.get(14..FIXED).and_then(<[u8]>::first_chunk::<2>) else {
        return Ok(Progress::Partial);
    };
    let length = u16::from_be_bytes([high, low]);
    if length > BLOCK_LIMIT {
        return Err(Error::BlockTooLong(length));
    }
    if usize::from(length) < taken {
        return Err(Error::BlockTooShort(length));
    }
    let end = FIXED + usize::from(length);
    let Some(header) = input.get(..end) else { return Ok(Progress::Partial) };
    // Nothing of such a block is used, so nothing of it is judged.
    if taken == 0 {
        return Ok(Progress::Complete(Claim::Own, end));
    }
    extensions(header, FIXED + taken)?;
    let claim = match family {
        0x11 => internet::<4, Ipv4Addr>(&header[FIXED..]),
        0x21 => internet::<16, Ipv6Addr>(&header[FIXED..]),
        _ => Some(Claim::Unix),
    };
    claim.map(|claim| Progress::Complete(claim, end)).ok_or(Error::BlockTooShort(length))
}

fn internet<const N: usize, A: From<[u8; N]> + Into<IpAddr>>(block: &[u8]) -> Option<Claim> {
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    let join = |address: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(A::from(*address).into(), u16::from_be_bytes(*port))
    };
    Some(Claim::Internet {
        source: join(source, source_port),
        destination: join(destination, destination_port),
    })
}

/// PP2_TYPE_CRC32C (section 2.2.3).
const CHECKSUM: u8 = 0x03;

/// Walks the extensions that start at `at`. All but the checksum are skipped; that of TLS too, because what the proxy says of
/// the scheme is said per request, in forwarded fields, and two voices could differ.
fn extensions(header: &[u8], mut at: usize) -> Result<(), Error> {
    let mut checksum = None;
    while at < header.len() {
        let rest = &header[at..];
        let Some(&[kind, high, low]) = rest.first_chunk::<3>() else {
            return Err(Error::Extension);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(3..3 + length).ok_or(Error::Extension)?;
        if kind == CHECKSUM {
            let value = <[u8; 4]>::try_from(value).map_err(|_| Error::Extension)?;
            if checksum.replace((at + 3, u32::from_be_bytes(value))).is_some() {
                return Err(Error::Extension);
            }
        }
        at += 3 + length;
    }
    match checksum {
        Some((place, told)) if crc32c(header, place) != told => Err(Error::Checksum),
        _ => Ok(()),
    }
}

/// CRC-32C (RFC 3720 B.4) of `header` with zeros for the four bytes at `place`. Once a connection and over some hundred
/// bytes, so that a table would not pay.
fn crc32c(header: &[u8], place: usize) -> u32 {
    let bytes = header.iter().enumerate().map(|(index, byte)| {
        if (place..place + 4).contains(&index) { 0 } else { u32::from(*byte) }
    });
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(
            sum ^ byte,
            |sum, _| {
                if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_castagnoli() {
        assert_eq!(crc32c(b"123456789", 9), 0xe306_9283);
    }
}
