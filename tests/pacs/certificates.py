"""An authority of our own, and certificates that it signs."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hounsfield.pacs.tls import Tls


@dataclass(frozen=True)
class Signed:
    """PEM files of a certificate, its key, and the authority that signed it."""

    certificate: Path
    key: Path
    ca: Path

    @property
    def tls(self) -> Tls:
        """For either side: trusts the authority, and shows the certificate."""
        return Tls(ca=self.ca, certificate=self.certificate, key=self.key)


def signed(folder: Path, address: str = "127.0.0.1") -> Signed:
    """A certificate for `address`, by an authority that nobody else knows."""
    folder.mkdir(parents=True, exist_ok=True)
    return Authority(folder).sign("hounsfield", address)


class Authority:
    """Signs certificates, for 127.0.0.1 if not told otherwise."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(
            _pem(self._signed(self._name, self._key, "127.0.0.1", is_authority=True))
        )

    def sign(self, name: str, address: str = "127.0.0.1") -> Signed:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = Signed(self._folder / f"{name}.crt", self._folder / f"{name}.key", self.file)
        certificate = self._signed(subject, key, address, is_authority=False)
        files.certificate.write_bytes(_pem(certificate))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        address: str,
        *,
        is_authority: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        place = x509.IPAddress(ipaddress.ip_address(address))
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([place]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
