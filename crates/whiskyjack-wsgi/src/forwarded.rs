//! What proxies tell of the client: X-Forwarded-* and RFC 7239's Forwarded.
//! Knows no Python and no environ: fields come in, what they tell goes out.
//!
//! Proxies append on the right, so every list is read from there, and no further than needed: what stands left of the client's
//! address the client may have written, and it can neither be believed nor spoil the rest.

mod element;

use crate::percent::decoded;
use element::{FromRight, Literal, Node, hop, host, node, port, scheme};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use whiskyjack_proto::grammar::{is_percent_encoded, is_target, trim};
use whiskyjack_server::trust::Trust;

/// What becomes of the forwarded fields of peers who are not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// The application does not see them.
    Remove,
    /// The application sees them as they came, and they change nothing else.
    Keep,
}

/// What trusted proxies tell. What none of them tells is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) client: Option<Client>,
    pub(crate) scheme: Option<Scheme>,
    /// host and perhaps port, as in a Host field
    pub(crate) host: Option<Vec<u8>>,
    pub(crate) port: Option<u16>,
    /// where the application stands: decoded, empty or with a `/` in front and none behind
    pub(crate) prefix: Option<Vec<u8>>,
}

/// The address of the client, in its shortest form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

/// How the client speaks to the first proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// The request has both Forwarded and X-Forwarded-*. A proxy sets the one it knows and may hand on the other as the client wrote it: to
/// choose either would let clients choose their address behind half of all proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction;

/// The fields that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Forwarded,
    For,
    Proto,
    Host,
    Port,
    Prefix,
}

impl Field {
    const ALL: [Field; 6] =
        [Field::Forwarded, Field::For, Field::Proto, Field::Host, Field::Port, Field::Prefix];

    fn name(self) -> &'static str {
        match self {
            Field::Forwarded => "forwarded",
            Field::For => "x-forwarded-for",
            Field::Proto => "x-forwarded-proto",
            Field::Host => "x-forwarded-host",
            Field::Port => "x-forwarded-port",
            Field::Prefix => "x-forwarded-prefix",
        }
    }

    fn of(name: &[u8]) -> Option<Field> {
        Field::ALL.into_iter().find(|field| name.eq_ignore_ascii_case(field.name().as_bytes()))
    }
}

/// What the fields of a request from a trusted peer tell. `ignored` hears of each field that cannot be understood, and with it the part
/// that is wrong; nothing is then taken from that field.
pub(crate) fn told<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    trust: &Trust,
    mut ignored: impl FnMut(Field, &[u8]),
) -> Result<Told, Contradiction> {
    let mut lines: Vec<(Field, &[u8])> = Vec::new();
    for (name, value) in fields {
        if let Some(field) = Field::of(name)
            && !value.is_empty()
        {
            lines.push((field, value));
        }
    }
    let values = |wanted: Field| {
        let found = lines.iter().rev().filter(move |(field, _)| *field == wanted);
        found.map(|(_, value)| *value)
    };
    if lines.iter().any(|(field, _)| *field == Field::Forwarded) {
        if lines.iter().any(|(field, _)| *field != Field::Forwarded) {
            return Err(Contradiction);
        }
        let elements = values(Field::Forwarded).flat_map(|line| FromRight { rest: Some(line) });
        return Ok(from_forwarded(elements, trust).unwrap_or_else(|element| {
            ignored(Field::Forwarded, element);
            Told::default()
        }));
    }
    let list = |field| {
        let elements = values(field).flat_map(|line| line.rsplit(|byte| *byte == b','));
        elements.map(trim).filter(|element| !element.is_empty())
    };
    let (client, steps) = client(list(Field::For), trust).unwrap_or_else(|element| {
        ignored(Field::For, element);
        (None, 0)
    });
    // What the same proxy appended to another list stands as far from its right end; a list that is shorter was set, not appended to.
    let chosen = |field| list(field).take(steps + 1).last();
    Ok(Told {
        client,
        scheme: understood(Field::Proto, chosen(Field::Proto), scheme, &mut ignored),
        host: understood(Field::Host, chosen(Field::Host), host, &mut ignored),
        port: understood(Field::Port, chosen(Field::Port), port, &mut ignored),
        prefix: understood(Field::Prefix, chosen(Field::Prefix), prefix, &mut ignored),
    })
}

/// The name of an authority (RFC 9110 7.2) and its port, if it says one.
pub(crate) fn name_and_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = match authority {
        [b'[', ..] => authority.iter().position(|byte| *byte == b']').map_or(0, |end| end + 1),
        _ => authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len()),
    };
    let port = authority[end..].strip_prefix(b":").filter(|port| !port.is_empty());
    (&authority[..end], port)
}

/// Says that a field of a trusted peer is ignored, once for each of the fields.
pub(crate) fn warn_once(field: Field, wrong: &[u8]) {
    static SAID: AtomicU8 = AtomicU8::new(0);
    let bit = 1 << field as u8;
    if SAID.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
        let (name, wrong) = (field.name(), wrong[..wrong.len().min(100)].escape_ascii());
        log::warn!("a trusted proxy sent a field {name} that is ignored, for \"{wrong}\" in it");
    }
}

fn understood<T>(
    field: Field,
    element: Option<&[u8]>,
    read: fn(&[u8]) -> Option<T>,
    ignored: &mut impl FnMut(Field, &[u8]),
) -> Option<T> {
    let element = element?;
    let value = read(element);
    if value.is_none() {
        ignored(field, element);
    }
    value
}

/// The right-most address that is not a trusted proxy's, else the left-most, and how many elements stand right of it. The error is an
/// element that names nobody.
fn client<'a>(
    from_right: impl Iterator<Item = &'a [u8]>,
    trust: &Trust,
) -> Result<(Option<Client>, usize), &'a [u8]> {
    let mut last = (None, 0);
    for (steps, element) in from_right.enumerate() {
        match node(element, Literal::Bare).ok_or(element)? {
            Node::Hidden => return Ok((None, steps)),
            Node::Address(client) => last = (Some(client), steps),
        }
        if let (Some(client), _) = last
            && !trust.has_address(client.address)
        {
            break;
        }
    }
    Ok(last)
}

/// The same walk over Forwarded, where scheme and host stand with the address they belong to.
fn from_forwarded<'a>(
    from_right: impl Iterator<Item = &'a [u8]>,
    trust: &Trust,
) -> Result<Told, &'a [u8]> {
    let mut told = Told::default();
    for element in from_right {
        let hop = hop(element).ok_or(element)?;
        told = Told { scheme: hop.scheme, host: hop.host, ..Told::default() };
        let Some(Node::Address(client)) = hop.node else { break };
        told.client = Some(client);
        if !trust.has_address(client.address) {
            break;
        }
    }
    Ok(told)
}

/// The path under which a proxy has the application. Links are made of it: none may come to lead to another host or out of it.
fn prefix(bytes: &[u8]) -> Option<Vec<u8>> {
    if !is_target(bytes) || !is_percent_encoded(bytes) || bytes.contains(&b'?') {
        return None;
    }
    let mut path = decoded(bytes, 0);
    let is_path = path.starts_with(b"/")
        && !path.windows(2).any(|pair| pair == b"//")
        && !path.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\')
        && !path.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."));
    if path.ends_with(b"/") {
        path.pop();
    }
    is_path.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(text: &str) -> Trust {
        Trust(text.split(' ').map(|one| one.parse().expect("right")).collect())
    }

    /// What the lines tell, and the names of the fields that are ignored.
    fn read(trusted: &str, lines: &[(&str, &str)]) -> (Result<Told, Contradiction>, Vec<Field>) {
        let mut wrong = Vec::new();
        let fields = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let told = told(fields, &trust(trusted), |field, _| wrong.push(field));
        (told, wrong)
    }

    fn address(trusted: &str, name: &str, value: &str) -> Option<String> {
        let (told, _) = read(trusted, &[(name, value)]);
        let client = told.expect("one family").client?;
        Some(client.port.map_or_else(
            || client.address.to_string(),
            |port| format!("{} {port}", client.address),
        ))
    }

    fn of_list(trusted: &str, value: &str) -> Option<String> {
        address(trusted, "X-Forwarded-For", value)
    }

    fn of_forwarded(trusted: &str, value: &str) -> Option<String> {
        address(trusted, "Forwarded", value)
    }

    #[test]
    fn the_right_most_untrusted_address_is_the_client() {
        assert_eq!(of_list("10.0.0.0/8", "6.6.6.6, 192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(
            of_list("10.0.0.0/8", "6.6.6.6,192.0.2.1 ,10.0.0.2,").as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(of_list("10.0.0.0/8", "10.0.0.1, 10.0.0.2").as_deref(), Some("10.0.0.1"));
        assert_eq!(of_list("*", "6.6.6.6, 192.0.2.1").as_deref(), Some("6.6.6.6"));
        assert_eq!(of_list("unix:", "6.6.6.6, 192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(of_list("*", " , "), None);
        let lines = [("x-forwarded-for", "6.6.6.6"), ("X-FORWARDED-FOR", "192.0.2.1")];
        let client = read("unix:", &lines).0.expect("one family").client.expect("a client");
        assert_eq!(client.address.to_string(), "192.0.2.1");
    }

    #[test]
    fn an_address_is_written_in_many_ways() {
        for (value, expected) in [
            ("192.0.2.1:80", "192.0.2.1 80"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:65535", "2001:db8::1 65535"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(of_list("unix:", value).as_deref(), Some(expected), "{value}");
        }
        for value in [
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:0",
            "1.2.3.4:65536",
            "1.2.3.4:+1",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "fe80::1%eth0",
            "host",
            "\u{e9}",
            "_",
            "_a b",
            "\"1.2.3.4\"",
        ] {
            let (told, wrong) = read("unix:", &[("X-Forwarded-For", value)]);
            assert_eq!((told, wrong), (Ok(Told::default()), vec![Field::For]), "{value}");
        }
    }

    #[test]
    fn what_stands_left_of_the_client_cannot_spoil_it() {
        for garbage in
            ["\"", "for=\"", "\\", "\"\\", "x;;=,", "\",", "for=1.1.1.1", "\"a", "a=\"\\\""]
        {
            let value = format!("{garbage}, for=192.0.2.1");
            assert_eq!(of_forwarded("unix:", &value).as_deref(), Some("192.0.2.1"), "{value}");
            let value = format!("{garbage}, for=\"[2001:db8::1]:1\";x=\",\\\"\\\\\"");
            assert_eq!(of_forwarded("unix:", &value).as_deref(), Some("2001:db8::1 1"), "{value}");
            let value = format!("{garbage}, 192.0.2.1");
            assert_eq!(of_list("unix:", &value).as_deref(), Some("192.0.2.1"), "{value}");
        }
    }

    #[test]
    fn a_client_that_is_hidden_leaves_the_peer() {
        assert_eq!(of_list("10.0.0.0/8", "192.0.2.1, unknown, 10.0.0.1"), None);
        assert_eq!(of_forwarded("unix:", "for=192.0.2.1, for=_secret"), None);
        assert_eq!(of_forwarded("unix:", "for=192.0.2.1, for=Unknown"), None);
        assert_eq!(of_forwarded("unix:", "for=\"192.0.2.1:_p\"").as_deref(), Some("192.0.2.1"));
        assert_eq!(read("unix:", &[("Forwarded", "for=_secret")]).1, []);
    }

    #[test]
    fn forwarded_takes_scheme_and_host_from_the_element_of_the_client() {
        let value = "for=6.6.6.6;host=evil, For=192.0.2.1;PROTO=HTTPS;host=\"a.test:8443\";by=_x; ext=1, for=10.0.0.1;proto=http;host=in";
        let (told, wrong) = read("10.0.0.0/8", &[("Forwarded", value)]);
        let told = told.expect("one family");
        assert_eq!(told.client.expect("a client").address.to_string(), "192.0.2.1");
        assert_eq!(
            (told.scheme, told.host.as_deref()),
            (Some(Scheme::Https), Some(&b"a.test:8443"[..]))
        );
        assert_eq!((told.port, told.prefix, wrong), (None, None, vec![]));
        let (told, _) = read("unix:", &[("Forwarded", "proto=https")]);
        assert_eq!(told, Ok(Told { scheme: Some(Scheme::Https), ..Told::default() }));
    }

    #[test]
    fn a_forwarded_field_that_breaks_the_grammar_tells_nothing() {
        for value in [
            "for",
            "for=",
            "=x",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;proto=ftp",
            "for=192.0.2.1;host=a/b",
            "for=192.0.2.1;host=\"a,b\"",
            "for=192.0.2.1 proto=https",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            "for=2001:db8::1",
            "for=\"2001:db8::1\"",
            "for=192.0.2.1:80",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\"x",
            "proto=https;for=x",
        ] {
            let (told, wrong) = read("unix:", &[("Forwarded", value)]);
            assert_eq!((told, wrong), (Ok(Told::default()), vec![Field::Forwarded]), "{value}");
        }
        assert_eq!(read("unix:", &[("Forwarded", ";;, ,;")]).1, []);
    }

    #[test]
    fn other_lists_are_read_where_the_client_stands() {
        let told = |trusted, proto| {
            let lines =
                [("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.0.0.1"), ("X-Forwarded-Proto", proto)];
            read(trusted, &lines).0.expect("one family").scheme
        };
        assert_eq!(told("10.0.0.0/8", "http, https, http"), Some(Scheme::Https));
        assert_eq!(told("10.0.0.0/8", "https, http"), Some(Scheme::Https));
        assert_eq!(told("10.0.0.0/8", "https"), Some(Scheme::Https));
        assert_eq!(told("unix:", "https, http"), Some(Scheme::Http));
        assert_eq!(told("10.0.0.0/8", "junk, Http, junk"), Some(Scheme::Http));
    }

    #[test]
    fn each_x_field_is_understood_or_ignored_by_itself() {
        let lines = [
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Proto", "javascript"),
            ("X-Forwarded-Host", "a b"),
            ("X-Forwarded-Port", "-1"),
            ("X-Forwarded-Prefix", "//evil.test"),
        ];
        let (told, wrong) = read("unix:", &lines);
        let told = told.expect("one family");
        assert_eq!(told, Told { client: told.client, ..Told::default() });
        assert!(told.client.is_some());
        assert_eq!(wrong, [Field::Proto, Field::Host, Field::Port, Field::Prefix]);
        assert_eq!(
            read("unix:", &[("X-Forwarded-Proto", ""), ("Accept", "x")]),
            (Ok(Told::default()), vec![])
        );
    }

    #[test]
    fn a_prefix_is_a_path_on_this_host() {
        let prefix = |text: &str| super::prefix(text.as_bytes());
        assert_eq!(prefix("/shop/"), Some(b"/shop".to_vec()));
        assert_eq!(prefix("/"), Some(Vec::new()));
        assert_eq!(prefix("/%C3%A4/b%20c"), Some(b"/\xc3\xa4/b c".to_vec()));
        for text in [
            "shop",
            "//host",
            "/%2fhost",
            "/a//b",
            "/a\\b",
            "/a%5cb",
            "/a%0d%0ab",
            "/..",
            "/a/%2e%2e/b",
            "/a?b",
            "/a#b",
            "/%zz",
            "/a%",
            "http://host/a",
        ] {
            assert_eq!(prefix(text), None, "{text}");
        }
    }

    #[test]
    fn both_kinds_of_fields_contradict_each_other() {
        let forwarded = ("Forwarded", "for=192.0.2.1");
        for name in ["For", "Proto", "Host", "Port", "Prefix"] {
            let other = format!("X-Forwarded-{name}");
            assert_eq!(read("unix:", &[(&other, "x"), forwarded]).0, Err(Contradiction));
        }
        assert!(read("unix:", &[("X-Forwarded-For", ""), forwarded]).0.is_ok());
        assert!(read("unix:", &[("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "")]).0.is_ok());
    }

    #[test]
    fn no_bytes_panic() {
        let alphabet = b"\",;=\\ :[]_.%/for1\xff";
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let mut value = Vec::new();
            for _ in 0..seed % 24 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                value.push(alphabet[(seed >> 33) as usize % alphabet.len()]);
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            for field in Field::ALL {
                let fields = [(field.name().as_bytes(), &value[..])].into_iter();
                let told = told(fields, &trust("10.0.0.0/8"), |_, _| {});
                assert!(told.is_ok());
            }
        }
    }
}
