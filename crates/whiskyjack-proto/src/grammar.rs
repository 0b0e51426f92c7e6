//! The byte classes of RFC 9110 and 3986, in one table.
//! Knows no message: a byte or a run of bytes comes in, yes or no goes out.

/// RFC 9110 5.6.2: what a token is made of.
const TOKEN: u8 = 1;
/// What a request target may be made of, see [`is_target`].
const TARGET: u8 = 2;
/// RFC 3986 3.2.2: what a registered name is made of, without the comma, see [`is_registered_name`].
const NAME: u8 = 4;
/// RFC 9110 5.6.4: what stands unescaped between the quotes of a quoted string.
const QUOTED: u8 = 8;
/// RFC 9110 5.5: what a field value may hold.
const VALUE: u8 = 16;
/// An IPv6 address or a later one, between its brackets (RFC 3986 3.2.2).
const LITERAL: u8 = 32;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let mut class = 0;
        let alphanumeric = byte.is_ascii_alphanumeric();
        let unreserved = alphanumeric || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let delimiter =
            matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=');
        if alphanumeric
            || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
            || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        {
            class |= TOKEN;
        }
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>') {
            class |= TARGET;
        }
        if unreserved || delimiter {
            class |= NAME;
        }
        if unreserved || delimiter || byte == b':' {
            class |= LITERAL;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            class |= VALUE;
            if byte != b'"' && byte != b'\\' {
                class |= QUOTED;
            }
        }
        table[index] = class;
        index += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// Whether the byte may stand in a token.
pub fn is_token_byte(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// Whether the bytes are a token: of at least one byte, all of its class.
pub fn is_token(bytes: &[u8]) -> bool {
    // No early return: what is asked here is nearly always a token, and the loop is half as long without.
    !bytes.is_empty()
        && bytes.iter().fold(TOKEN, |class, &byte| class & CLASSES[byte as usize]) == TOKEN
}

/// How many bytes at the start are of a token's class.
pub fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is(byte, TOKEN)).unwrap_or(bytes.len())
}

/// Whether the byte may stand in a request target. RFC 3986 leaves out more than this does: browsers send `|`, `[`, `]`, `{`, `}`, `^`,
/// `` ` `` and `\` as they are. What it refuses no browser sends: controls, space, bytes over 0x7e, `"`, `<`, `>`, and the `#` of a fragment.
pub fn is_target_byte(byte: u8) -> bool {
    is(byte, TARGET)
}

/// Whether the bytes are all of a request target's class, and at least one.
pub fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && target_length(bytes) == bytes.len()
}

/// How many bytes at the start are of a request target's class.
pub fn target_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is(byte, TARGET)).unwrap_or(bytes.len())
}

/// Whether the byte may stand in a field value (RFC 9110 5.5): no control but the tab; obs-text may.
pub fn is_value_byte(byte: u8) -> bool {
    is(byte, VALUE)
}

/// Whether the bytes may all stand in a field value. Empty is fine.
pub fn is_value(bytes: &[u8]) -> bool {
    match bytes.len() {
        16.. => are_values::<16>(bytes),
        8.. => are_values::<8>(bytes),
        _ => bytes.iter().fold(VALUE, |class, &byte| class & CLASSES[byte as usize]) == VALUE,
    }
}

/// [`is_value`] of at least `N` bytes, `N` at a time; the last `N` may overlap those before them, so that nothing is left over.
fn are_values<const N: usize>(bytes: &[u8]) -> bool {
    // No early return among the `N`: this way the compiler makes one wide instruction of each comparison.
    let is_clean = |chunk: &[u8; N]| {
        chunk
            .iter()
            .fold(true, |clean, &byte| clean & ((byte >= b' ') | (byte == b'\t')) & (byte != 0x7f))
    };
    bytes.as_chunks().0.iter().all(is_clean) && bytes.last_chunk().is_none_or(is_clean)
}

/// Whether the byte may stand unescaped in a quoted string.
pub fn is_quoted_byte(byte: u8) -> bool {
    is(byte, QUOTED)
}

/// The bytes without the spaces and tabs around them (RFC 9110 5.6.3).
pub fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list (RFC 9110 5.6.1), trimmed, empty ones left out. Knows no quoted strings.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether every `%` is followed by two hexadecimal digits (RFC 3986 2.1).
pub fn is_percent_encoded(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'%', bytes).all(|at| {
        matches!(bytes.get(at + 1..at + 3), Some(digits) if digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether the bytes are `uri-host [ ":" port ]` (RFC 9110 7.2), with a host that is not empty, as RFC 9110 4.2.1 demands of http, and a
/// port that is empty or fits 16 bits. No comma is let into a name, although RFC 3986 allows it: two hosts joined to a list are no host.
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host_is_valid, rest) = match bytes {
        [b'[', literal @ ..] => match memchr::memchr(b']', literal) {
            Some(end) => (is_literal(&literal[..end]), &literal[end + 1..]),
            None => return false,
        },
        _ => {
            let end = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
            (is_registered_name(&bytes[..end]), &bytes[end..])
        }
    };
    host_is_valid
        && match rest {
            [] => true,
            [b':', port @ ..] => is_port(port),
            _ => false,
        }
}

/// Whether the bytes are a registered name or an IPv4 address (RFC 3986 3.2.2).
fn is_registered_name(bytes: &[u8]) -> bool {
    let mut has_percent = false;
    !bytes.is_empty()
        && bytes.iter().all(|&byte| {
            has_percent |= byte == b'%';
            is(byte, NAME) || byte == b'%'
        })
        && (!has_percent || is_percent_encoded(bytes))
}

/// Whether the bytes are what stands between the brackets of an IP literal (RFC 3986 3.2.2).
fn is_literal(bytes: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = bytes {
        let Some(dot) = memchr::memchr(b'.', future) else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&byte| is(byte, LITERAL));
    }
    // RFC 6874 zones are no part of http: they mean something on the sender's machine only.
    str::from_utf8(bytes).is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok())
}

fn is_port(digits: &[u8]) -> bool {
    digits
        .iter()
        .try_fold(0_u16, |port, &digit| {
            if !digit.is_ascii_digit() {
                return None;
            }
            port.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
        })
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_at_least_one_byte_and_no_separator() {
        assert!(is_token(b"X-Forwarded_For!#$%&'*+-.^`|~09"));
        for bad in [&b""[..], b"a b", b"a:", b"a\t", b"\xe9", b"(", b"a,b", b"a\"", b"a/b", b"a\0"]
        {
            assert!(!is_token(bad), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn every_value_byte_agrees_with_the_table_wherever_it_stands() {
        for length in 1..=40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut value = vec![b'a'; length];
                    value[at] = byte;
                    assert_eq!(
                        is_value(&value),
                        is_value_byte(byte),
                        "{byte:#x} at {at} of {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_target_holds_no_control_space_fragment_or_raw_text() {
        assert!(is_target(b"/a|b[c]{d}^e`f?g\\h"));
        for bad in
            [&b""[..], b"/a b", b"/a#b", b"/\x7f", b"/\0", b"/\xc3\xa9", b"/\"", b"/<", b"/>"]
        {
            assert!(!is_target(bad), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn hosts_with_and_without_ports_are_authorities() {
        for good in [
            &b"example.com"[..],
            b"example.com:",
            b"example.com:0080",
            b"example.com:65535",
            b"127.0.0.1:8000",
            b"[::1]",
            b"[::ffff:1.2.3.4]:80",
            b"[v1.fe:d]",
            b"a_b",
            b"caf%C3%A9",
        ] {
            assert!(is_authority(good), "{}", good.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_host_is_no_authority() {
        for bad in [
            &b""[..],
            b":80",
            b"a b",
            b"a,b",
            b"user@a",
            b"a/b",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a:65536",
            b"a:8 0",
            b"a:-1",
            b"a:1:2",
            b"[::1",
            b"::1",
            b"[::1]x",
            b"[]",
            b"[1.2.3.4]",
            b"[fe80::1%25eth0]",
            b"[v1]",
            b"[v.a]",
            b"a%zz",
            b"a%",
            b"caf\xe9",
            b"http://a",
        ] {
            assert!(!is_authority(bad), "{}", bad.escape_ascii());
        }
    }
}
