//! What a server needs to speak TLS: its certificate and key, and whose certificates clients may show. Reads no file: texts come in.
//! One connection's encryption is `session`'s.

mod failures;
mod session;

pub(crate) use self::failures::{failed, late};
pub(crate) use self::session::Session;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, CipherSuite, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whether clients have to show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// They are not asked.
    Unasked,
    /// They are asked, and may have none. One that is shown has to be good.
    Optional,
    /// They need one.
    Required,
}

/// What an operator gives, in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// the server's certificate and those between it and its authority
    pub certificates: &'a [u8],
    /// the key of the first of them
    pub key: &'a [u8],
    /// the authorities whose certificates clients may show
    pub authorities: &'a [u8],
    /// who has to
    pub clients: Clients,
}

/// Everything that connections over TLS have in common.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Which of the texts is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// the certificates
    Certificates,
    /// the key
    Key,
    /// the authorities of clients
    Authorities,
}

/// Why nothing can be served with it.
#[derive(Debug)]
pub enum Error {
    /// The text has none of what it should have.
    Missing(Text),
    /// The text is no PEM.
    Malformed(Text, pem::Error),
    /// The key can be read with a passphrase only.
    Encrypted,
    /// The key is not that of the first certificate.
    Mismatch,
    /// The library takes something not: an unknown kind of key, a certificate that is none.
    Unusable(Text, String),
}

impl Error {
    /// Which text is wrong.
    pub fn text(&self) -> Text {
        match self {
            Error::Missing(text) | Error::Malformed(text, _) | Error::Unusable(text, _) => *text,
            Error::Encrypted | Error::Mismatch => Text::Key,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(Text::Certificates | Text::Authorities) => f.write_str(
                "it has no certificate; it must be PEM, with a block that begins with -----BEGIN CERTIFICATE-----",
            ),
            Error::Missing(Text::Key) => f.write_str(
                "it has no private key; it must be PEM, with a block such as -----BEGIN PRIVATE KEY-----",
            ),
            Error::Malformed(_, error) => write!(f, "it is no PEM: {error}"),
            Error::Encrypted => f.write_str(
                "the key is encrypted, and nobody is asked for a passphrase; write it without one, as by openssl pkey -in KEY -out PLAIN",
            ),
            Error::Mismatch => f.write_str(
                "the key is not that of the certificate; the server's own certificate must be the first in its file",
            ),
            Error::Unusable(_, why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

/// What is the matter with a certificate that is served all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It has expired so many seconds ago.
    Expired(u64),
    /// It is not valid for so many seconds yet.
    NotYetValid(u64),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Expired(ago) => write!(
                f,
                "the certificate has expired {} ago; clients will refuse it until it is renewed and the server reloaded",
                days(*ago)
            ),
            Doubt::NotYetValid(until) => write!(
                f,
                "the certificate is not valid for another {}; clients will refuse it until then, unless a clock is wrong",
                days(*until)
            ),
        }
    }
}

fn days(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600) {
        (0, hours) => format!("{hours} h"),
        (days, _) => format!("{days} days"),
    }
}

/// How a connection is secured, the same for all requests on it.
#[derive(Clone, Debug)]
pub struct Security {
    /// as mod_ssl names the version of the protocol: `TLSv1.3`
    pub protocol: &'static str,
    /// the cipher suite, as its standard names it
    pub cipher: String,
    /// the client's certificate in DER, which is a good one
    pub client: Option<Vec<u8>>,
}

impl Tls {
    /// From what an operator gives. Errors: the texts do not have it, or do not fit each other.
    pub fn new(texts: Texts<'_>) -> Result<Tls, Error> {
        let chain = certificates(texts.certificates, Text::Certificates)?;
        let key = key(texts.key)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Unusable(Text::Certificates, error.to_string()))?;
        let builder = match verifier(texts, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Error::Mismatch,
            rustls::Error::InvalidCertificate(_) => {
                Error::Unusable(Text::Certificates, error.to_string())
            }
            _ => Error::Unusable(Text::Key, error.to_string()),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer =
            ring::Ticketer::new().map_err(|error| Error::Unusable(Text::Key, error.to_string()))?;
        // One is what a client that keeps connections needs; each costs an encryption and a packet's part.
        config.send_tls13_tickets = 1;
        Ok(Tls { config: Arc::new(config) })
    }

    /// What is the matter with a server's certificate so long after 1970, which its clients would be the first to see.
    pub fn doubt(certificates_text: &[u8], now: Duration) -> Option<Doubt> {
        let chain = certificates(certificates_text, Text::Certificates).ok()?;
        let parsed = ParsedCertificate::try_from(chain.first()?).ok()?;
        // Judged by itself, so that its time is all that can be wrong with it; what else is, clients have to say.
        let mut roots = RootCertStore::empty();
        roots.add(chain.first()?.clone()).ok()?;
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        let time = UnixTime::since_unix_epoch(now);
        let judged =
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], time, algorithms);
        let now = now.as_secs();
        match judged {
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after,
                ..
            })) => Some(Doubt::Expired(now.saturating_sub(not_after.as_secs()))),
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => Some(Doubt::NotYetValid(not_before.as_secs().saturating_sub(now))),
            _ => None,
        }
    }

    fn connection(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }
}

fn certificates(text: &[u8], which: Text) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| Error::Malformed(which, error))?;
    if read.is_empty() { Err(Error::Missing(which)) } else { Ok(read) }
}

fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    let has = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    match PrivateKeyDer::from_pem_slice(text) {
        _ if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") => {
            Err(Error::Encrypted)
        }
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(Error::Missing(Text::Key)),
        Err(error) => Err(Error::Malformed(Text::Key, error)),
    }
}

fn verifier(
    texts: Texts<'_>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    if texts.clients == Clients::Unasked {
        return Ok(None);
    }
    let unusable = |error: String| Error::Unusable(Text::Authorities, error);
    let mut roots = RootCertStore::empty();
    for authority in certificates(texts.authorities, Text::Authorities)? {
        roots.add(authority).map_err(|error| unusable(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match texts.clients {
        Clients::Optional => builder.allow_unauthenticated(),
        Clients::Required | Clients::Unasked => builder,
    };
    builder.build().map(Some).map_err(|error| unusable(error.to_string()))
}

/// As mod_ssl names it.
fn protocol(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "TLSv1.3",
    }
}

/// As its standard names it: rustls has other words for the suites of TLS 1.3 alone.
fn cipher(suite: CipherSuite) -> String {
    let name = suite.as_str().map_or_else(|| format!("{suite:?}"), str::to_owned);
    name.replacen("TLS13_", "TLS_", 1)
}
