//! Whose word about clients is taken: addresses, networks, Unix sockets.
//! Knows not what they say: PROXY headers and forwarded fields are others' rooms.

use crate::exchange::{Address, Origin};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Some whose word about the client is taken. As text: an address, a network (`10.0.0.0/8`), `unix:` or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// whoever can connect
    Anyone,
    /// who connects over a Unix socket
    UnixSocket,
    /// who has an address in this network
    Network(Network),
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && first_bits(address, self.prefix) == bits(self.address)
    }

    fn is_one(&self) -> bool {
        self.prefix == width(self.address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address's bits, those after the first `prefix` cleared.
fn first_bits(address: IpAddr, prefix: u8) -> u128 {
    let cleared = u32::from(width(address) - prefix);
    let bits = bits(address);
    bits.checked_shr(cleared).and_then(|bits| bits.checked_shl(cleared)).unwrap_or(0)
}

impl FromStr for Trusted {
    type Err = String;

    fn from_str(text: &str) -> Result<Trusted, String> {
        match text {
            "*" => return Ok(Trusted::Anyone),
            "unix:" => return Ok(Trusted::UnixSocket),
            _ => {}
        }
        let wrong = || "write an address, a network such as 10.0.0.0/8, unix: or *".to_owned();
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix = match prefix {
            None => width(address),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= width(address)).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        let first = first_bits(address, prefix);
        if first != bits(address) {
            // More than one address is meant, or only one: a guess here would be about whom to trust.
            let first: IpAddr = match address {
                IpAddr::V4(_) => Ipv4Addr::from_bits(first as u32).into(),
                IpAddr::V6(_) => Ipv6Addr::from_bits(first).into(),
            };
            return Err(format!("write {first}/{prefix} for the network, or {address} alone"));
        }
        // Peers' addresses are compared in the same form.
        let (address, prefix) = match address.to_canonical() {
            short @ IpAddr::V4(_) if prefix >= 96 && address.is_ipv6() => (short, prefix - 96),
            _ => (address, prefix),
        };
        Ok(Trusted::Network(Network { address, prefix }))
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trusted::Anyone => f.write_str("*"),
            Trusted::UnixSocket => f.write_str("unix:"),
            Trusted::Network(network) if network.is_one() => network.address.fmt(f),
            Trusted::Network(network) => write!(f, "{}/{}", network.address, network.prefix),
        }
    }
}

/// Everyone who is trusted.
#[derive(Clone, Debug)]
pub struct Trust(pub Vec<Trusted>);

impl Trust {
    /// Whether what a connection's other side says is believed.
    pub fn has(&self, origin: &Origin) -> bool {
        match &origin.peer {
            Address::Inet(address) => self.has_address(address.ip()),
            Address::Unix(_) => self.0.iter().any(|trusted| match trusted {
                Trusted::Anyone => true,
                // Who is claimed to have connected to a socket of some proxy's was never let near ours.
                Trusted::UnixSocket => !origin.claimed,
                Trusted::Network(_) => false,
            }),
        }
    }

    /// Whether an address is a trusted one's.
    pub fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|trusted| match trusted {
            Trusted::Anyone => true,
            Trusted::UnixSocket => false,
            Trusted::Network(network) => network.has(address),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(text: &str) -> Trust {
        Trust(text.split(' ').map(|one| one.parse().expect("right")).collect())
    }

    #[test]
    fn who_is_trusted_shows_as_it_is_written() {
        for text in ["*", "unix:", "10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "::1", "2001:db8::/32"] {
            assert_eq!(text.parse::<Trusted>().expect(text).to_string(), text);
        }
        let mapped: Trusted = "::ffff:10.0.0.0/104".parse().expect("a network");
        assert_eq!(mapped.to_string(), "10.0.0.0/8");
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in [
            "",
            "host",
            "10.0.0",
            "10.0.0.1/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "unix:/a",
            "[::1]",
        ] {
            assert!(text.parse::<Trusted>().is_err(), "{text}");
        }
        let error = "10.1.2.3/8".parse::<Trusted>().expect_err("bits after the prefix");
        assert_eq!(error, "write 10.0.0.0/8 for the network, or 10.1.2.3 alone");
    }

    fn of(peer: Address) -> Origin {
        Origin { peer, local: Address::Unix(None), secure: false, claimed: false }
    }

    #[test]
    fn a_peer_is_trusted_by_its_address_or_its_socket() {
        let inet = |text: &str| of(Address::Inet(text.parse().expect("an address")));
        let unix = of(Address::Unix(None));
        let networks = trust("10.0.0.0/8 2001:db8::/32 127.0.0.1");
        for peer in ["10.255.0.1:1", "[::ffff:10.0.0.1]:1", "[2001:db8:1::1]:1", "127.0.0.1:1"] {
            assert!(networks.has(&inet(peer)), "{peer}");
        }
        for peer in ["11.0.0.1:1", "[2001:db9::1]:1", "127.0.0.2:1", "[::1]:1", "[::a00:1]:1"] {
            assert!(!networks.has(&inet(peer)), "{peer}");
        }
        assert!(!networks.has(&unix));
        assert!(trust("unix:").has(&unix));
        assert!(!trust("unix:").has(&inet("127.0.0.1:1")));
        assert!(trust("*").has(&unix) && trust("*").has(&inet("[::1]:1")));
        assert!(trust("0.0.0.0/0").has(&inet("8.8.8.8:1")));
        assert!(!trust("0.0.0.0/0").has(&inet("[2001:db8::1]:1")));
        assert!(!Trust(Vec::new()).has(&inet("127.0.0.1:1")));
    }

    #[test]
    fn a_client_on_a_unix_socket_of_a_proxy_is_not_one_on_ours() {
        let claimed = Origin { claimed: true, ..of(Address::Unix(None)) };
        assert!(!trust("unix:").has(&claimed));
        assert!(trust("*").has(&claimed));
    }
}
