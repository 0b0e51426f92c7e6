//! The server's certificate and key, from the files that the settings name. Knows not what becomes of them.
//! They are read before the process becomes another user, who should not be able to.

use crate::choices::ClientCertificates;
use crate::settings::Settings;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use whiskyjack_server::tls::{self, Clients, Text, Texts, Tls};

/// Why TLS cannot be spoken.
#[derive(Debug)]
pub enum Error {
    /// a setting makes no sense without another
    Alone {
        /// what is given
        setting: &'static str,
        /// its value
        value: String,
        /// what is missing
        wants: &'static str,
    },
    /// a file cannot be read
    Unreadable {
        /// which setting names it
        setting: &'static str,
        /// where it should be
        path: PathBuf,
        /// what the system says
        error: io::Error,
    },
    /// a file has not what it should have
    Unusable {
        /// which setting names it
        setting: &'static str,
        /// where it is
        path: PathBuf,
        /// what is the matter
        error: tls::Error,
    },
}

impl Error {
    /// Whether the process may not read a file that is there: it may have been allowed to when it began.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Error::Unreadable { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Alone { setting, value, wants } => {
                write!(f, "{setting} = {value}: that needs {wants} as well")
            }
            Error::Unreadable { setting, path, error } => {
                write!(f, "{setting} = {}: cannot read the file: {error}", path.display())
            }
            Error::Unusable { setting, path, error } => {
                write!(f, "{setting} = {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// What TLS is spoken with; `None` where it is not. Warns of a certificate that clients will refuse.
pub fn read(settings: &Settings) -> Result<Option<Tls>, Error> {
    let clients = match settings.cert_reqs {
        ClientCertificates::None => Clients::Unasked,
        ClientCertificates::Optional => Clients::Optional,
        ClientCertificates::Required => Clients::Required,
    };
    let alone = |setting, value: &Path, wants| {
        Err(Error::Alone { setting, value: value.display().to_string(), wants })
    };
    let Some(certfile) = &settings.certfile else {
        return match (&settings.keyfile, &settings.ca_certs) {
            (Some(keyfile), _) => alone("keyfile", keyfile, "certfile"),
            (None, Some(authorities)) => alone("ca-certs", authorities, "certfile"),
            (None, None) if clients != Clients::Unasked => {
                alone("cert-reqs", Path::new(settings.cert_reqs.word()), "certfile")
            }
            (None, None) => Ok(None),
        };
    };
    let certificates = contents("certfile", certfile)?;
    let keyfile = settings.keyfile.as_ref();
    let key = match keyfile {
        Some(keyfile) => contents("keyfile", keyfile)?,
        None => certificates.clone(),
    };
    let authorities = match (&settings.ca_certs, clients) {
        (Some(path), Clients::Unasked) => return alone("ca-certs", path, "cert-reqs"),
        (Some(path), _) => contents("ca-certs", path)?,
        (None, Clients::Unasked) => Vec::new(),
        (None, _) => return alone("cert-reqs", Path::new(settings.cert_reqs.word()), "ca-certs"),
    };
    let texts =
        Texts { certificates: &certificates, key: &key, authorities: &authorities, clients };
    let tls = Tls::new(texts).map_err(|error| {
        let (setting, path) = match error.text() {
            Text::Certificates => ("certfile", certfile),
            Text::Key => match keyfile {
                Some(keyfile) => ("keyfile", keyfile),
                None => ("certfile", certfile),
            },
            Text::Authorities => ("ca-certs", settings.ca_certs.as_ref().unwrap_or(certfile)),
        };
        Error::Unusable { setting, path: path.clone(), error }
    })?;
    if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH)
        && let Some(doubt) = Tls::doubt(&certificates, now)
    {
        log::warn!("certfile = {}: {doubt}", certfile.display());
    }
    Ok(Some(tls))
}

fn contents(setting: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::Unreadable { setting, path: path.to_owned(), error };
    fs::read(path).map_err(unreadable)
}
