//! One element of a list of proxies: what a proxy wrote of its peer, by the grammars of RFC 7239 and of X-Forwarded-For. Whose word counts is
//! decided above.

use super::{Client, Scheme};
use std::net::IpAddr;
use std::str;
use whiskyjack_proto::grammar::{is_authority, token_length, trim};

/// Who a proxy names as its peer.
#[derive(Clone, Copy)]
pub(super) enum Node {
    Address(Client),
    /// it does not want to say
    Hidden,
}

/// The elements of one Forwarded line from the right, split at the commas that stand outside quoted strings. Read from the left, a quote
/// that a client left open would swallow what the proxies appended.
pub(super) struct FromRight<'a> {
    pub(super) rest: Option<&'a [u8]>,
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let comma = last_comma(rest);
            self.rest = comma.map(|comma| &rest[..comma]);
            let element = trim(&rest[comma.map_or(0, |comma| comma + 1)..]);
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}

fn last_comma(line: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    for (index, byte) in line.iter().enumerate().rev() {
        match byte {
            b',' if !is_quoted => return Some(index),
            b'"' if !is_quoted => is_quoted = true,
            b'"' => {
                let before = line[..index].iter().rev();
                is_quoted = before.take_while(|byte| **byte == b'\\').count() % 2 == 1;
            }
            _ => {}
        }
    }
    None
}

/// What one proxy says in Forwarded.
#[derive(Default)]
pub(super) struct Hop {
    pub(super) node: Option<Node>,
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<Vec<u8>>,
}

/// RFC 7239 4: pairs of a token, `=` and a token or a quoted string, with `;` between; none that is read here twice. White space around `;` is let pass.
pub(super) fn hop(element: &[u8]) -> Option<Hop> {
    let mut hop = Hop::default();
    let mut rest = element;
    loop {
        rest = trim(rest);
        if let [b';', after @ ..] = rest {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Some(hop);
        }
        let (name, after) = rest.split_at(token_length(rest));
        let (value, after) = value(after.strip_prefix(b"=")?)?;
        let is_wrong = if name.eq_ignore_ascii_case(b"for") {
            hop.node.replace(node(&value, Literal::Bracketed)?).is_some()
        } else if name.eq_ignore_ascii_case(b"proto") {
            hop.scheme.replace(scheme(&value)?).is_some()
        } else if name.eq_ignore_ascii_case(b"host") {
            hop.host.replace(host(&value)?).is_some()
        } else {
            // Which of its own addresses the proxy was asked at (`by`), and what RFC 7239 5.5 leaves to others.
            name.is_empty()
        };
        if is_wrong {
            return None;
        }
        rest = trim(after);
        if !matches!(rest, [] | [b';', ..]) {
            return None;
        }
    }
}

/// A token or a quoted string at the start, without quotes and escapes, and what follows it.
fn value(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [b'"', rest @ ..] = bytes else {
        let (token, rest) = bytes.split_at(token_length(bytes));
        return (!token.is_empty()).then(|| (token.to_vec(), rest));
    };
    let mut value = Vec::new();
    let mut rest = rest;
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

/// How an IPv6 address is written where no port follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Literal {
    /// in brackets only (RFC 7239 6)
    Bracketed,
    /// in brackets or without, as X-Forwarded-For is written
    Bare,
}

/// RFC 7239 6: an address with or without a port, `unknown`, or a name that hides it.
pub(super) fn node(bytes: &[u8], literal: Literal) -> Option<Node> {
    if bytes.eq_ignore_ascii_case(b"unknown") || is_hidden(bytes) {
        return Some(Node::Hidden);
    }
    let text = str::from_utf8(bytes).ok()?;
    let named =
        |address: IpAddr, port| Node::Address(Client { address: address.to_canonical(), port });
    if literal == Literal::Bare
        && let Ok(address) = text.parse::<IpAddr>()
    {
        return Some(named(address, None));
    }
    let (address, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            (IpAddr::V6(address.parse().ok()?), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (IpAddr::V4(text[..end].parse().ok()?), &text[end..])
        }
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some(named(address, None)),
        None => None,
        Some(hidden) if is_hidden(hidden.as_bytes()) => Some(named(address, None)),
        Some(digits) => Some(named(address, Some(port(digits.as_bytes())?))),
    }
}

/// RFC 7239 6.3: `_` and a name of the proxy's own.
fn is_hidden(bytes: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    matches!(bytes, [b'_', name @ ..] if !name.is_empty() && name.iter().all(is_name))
}

pub(super) fn scheme(bytes: &[u8]) -> Option<Scheme> {
    match bytes {
        _ if bytes.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
        _ if bytes.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
        _ => None,
    }
}

pub(super) fn host(bytes: &[u8]) -> Option<Vec<u8>> {
    is_authority(bytes).then(|| bytes.to_vec())
}

pub(super) fn port(digits: &[u8]) -> Option<u16> {
    let digits = str::from_utf8(digits).ok()?;
    // `parse` takes a sign.
    let port: u16 =
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (port != 0).then_some(port)
}
