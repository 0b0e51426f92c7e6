//! What an environ says of a connection over TLS, by the names of Apache's mod_ssl. Knows not how it was secured.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use whiskyjack_server::tls::Security;

/// Shows it in the environ of every request of the connection.
pub(crate) fn show(environ: &Bound<'_, PyDict>, security: &Security) -> PyResult<()> {
    let py = environ.py();
    environ.set_item(intern!(py, "HTTPS"), intern!(py, "on"))?;
    environ.set_item(intern!(py, "SSL_PROTOCOL"), security.protocol)?;
    environ.set_item(intern!(py, "SSL_CIPHER"), &security.cipher)?;
    match &security.client {
        None => environ.set_item(intern!(py, "SSL_CLIENT_VERIFY"), intern!(py, "NONE")),
        Some(certificate) => {
            environ.set_item(intern!(py, "SSL_CLIENT_VERIFY"), intern!(py, "SUCCESS"))?;
            environ.set_item(intern!(py, "SSL_CLIENT_CERT"), pem(py, certificate)?)
        }
    }
}

/// A proxy that is believed says that its client came by plain HTTP.
pub(crate) fn hide(environ: &Bound<'_, PyDict>) -> PyResult<()> {
    let key = intern!(environ.py(), "HTTPS");
    if environ.contains(key)? { environ.del_item(key) } else { Ok(()) }
}

/// RFC 7468: 64 characters to a line. Once a connection, so that Python may do it.
fn pem(py: Python<'_>, certificate: &[u8]) -> PyResult<String> {
    let base64 =
        py.import("binascii")?.call_method1("b2a_base64", (PyBytes::new(py, certificate),))?;
    let base64: Vec<u8> = base64.extract()?;
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.trim_ascii_end().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    Ok(text)
}
