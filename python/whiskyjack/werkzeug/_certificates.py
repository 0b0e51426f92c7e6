"""Certificates for development, by the package `cryptography` where it is installed. Knows no server."""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

_VALID = datetime.timedelta(days=365)


def generate_adhoc_ssl_pair(cn: str | None = None) -> tuple[Any, Any]:
    """A self-signed certificate for the common name, and its key, as `cryptography` has them."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError:
        raise TypeError("a certificate is made with the package cryptography: pip install cryptography") from None
    name = cn if cn is not None else "*"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name), x509.DNSName(f"*.{name}")]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _VALID)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _texts(cn: str | None) -> tuple[bytes, bytes]:
    certificate, key = generate_adhoc_ssl_pair(cn)
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def make_ssl_devcert(base_path: str, host: str | None = None, cn: str | None = None) -> tuple[str, str]:
    """Write a certificate and its key to `base_path` with `.crt` and `.key` behind it, and return both paths."""
    certificate, key = _texts(host if host is not None else cn)
    certificate_path, key_path = f"{base_path}.crt", f"{base_path}.key"
    Path(certificate_path).write_bytes(certificate)
    # A key is nobody else's to read.
    with open(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
    return certificate_path, key_path


def adhoc_pem() -> bytes:
    """A key and its self-signed certificate, made for this moment."""
    certificate, key = _texts(None)
    return key + certificate


def generate_adhoc_ssl_context() -> ssl.SSLContext:
    """A context with a certificate that is made for it, and kept nowhere."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        # ssl takes them from files only.
        file.write(adhoc_pem())
        file.flush()
        return load_ssl_context(file.name)


def load_ssl_context(cert_file: str, pkey_file: str | None = None, protocol: int | None = None) -> ssl.SSLContext:
    """A context for a server from files; the key may be in the certificate's."""
    context = ssl.SSLContext(protocol if protocol is not None else ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, pkey_file)
    return context
