//! Handshakes that came to nothing, told by their kind: scanners make thousands of them, and an operator needs to see that one client
//! after another refuses the certificate.

use crate::episode::Recurring;
use crate::exchange::Address;
use crate::reactor::lock;
use rustls::{AlertDescription, Error, PeerIncompatible};
use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::time::Instant;

/// A handshake has failed.
pub(crate) fn failed(peer: &Address, error: &io::Error, now: Instant) {
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    match cause {
        Some(cause) => tell(kind(cause), peer, &cause.to_string(), now),
        // A client that looks whether somebody listens, or goes away; nobody's fault.
        None => log::debug!("{peer:?} left in the middle of a TLS handshake: {error}"),
    }
}

/// A handshake was not made in time.
pub(crate) fn late(peer: &Address, now: Instant) {
    tell("late", peer, "it was not made in time", now);
}

fn tell(kind: &'static str, peer: &Address, what: &str, now: Instant) {
    /// guards when each kind was told
    static TOLD: Mutex<BTreeMap<&'static str, Recurring>> = Mutex::new(BTreeMap::new());
    let told = lock(&TOLD).entry(kind).or_insert_with(Recurring::new).happened(now);
    match told {
        Some(0) => log::info!("a TLS handshake with {} failed: {what}", shown(peer)),
        Some(others) => log::info!(
            "a TLS handshake with {} failed: {what} ({others} others like it since this was last said)",
            shown(peer)
        ),
        None => log::debug!("a TLS handshake with {} failed: {what}", shown(peer)),
    }
}

fn shown(peer: &Address) -> String {
    match peer {
        Address::Inet(address) => address.to_string(),
        Address::Unix(_) => "a client of a Unix socket".to_owned(),
    }
}

/// What is told apart. Few, and no peer can make new ones.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate,
        ) => "our certificate is refused",
        Error::AlertReceived(_) => "alert",
        Error::NoCertificatesPresented => "no certificate",
        Error::InvalidCertificate(_) => "certificate",
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => "version",
        Error::PeerIncompatible(_) => "incompatible",
        Error::NoApplicationProtocol => "protocol",
        Error::PeerMisbehaved(_) => "misbehaved",
        _ => "other",
    }
}
