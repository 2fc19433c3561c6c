"""A certificate authority for one test, and what it signs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from hounsfield.pacs import Tls


@dataclass(frozen=True)
class Authority:
    """Files in PEM: its own certificate, and one pair that it signed for the loopback."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def tls(self) -> Tls:
        """For either side: trusts the authority, and shows the certificate."""
        return Tls(ca=self.ca, certificate=self.certificate, key=self.key)


def authority(folder: Path, address: str = "127.0.0.1") -> Authority:
    """A new one, whose certificate is for `address`."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, own_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    issuer = _name("Hounsfield test authority")
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    ca = _certificate(issuer, issuer, ca_key, ca_key, constraints)
    own = _certificate(
        _name("Hounsfield test"),
        issuer,
        own_key,
        ca_key,
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
    )
    key_pem = own_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    made = Authority(*(folder / f"{name}.pem" for name in ("ca", "certificate", "key")))
    made.ca.write_bytes(_pem(ca))
    made.certificate.write_bytes(_pem(own))
    made.key.write_bytes(key_pem)
    return made


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    signer: rsa.RSAPrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    )
    return builder.sign(signer, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
