"""A certificate authority of a test, and TLS 1.3 contexts of a server that knows its callers and of such a caller."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_HOUR = timedelta(hours=1)


class Authority:
    """Signs certificates for 127.0.0.1, and keeps what it makes in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("authority")
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = self._begun(self._name, self._key).add_extension(basic, critical=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def server(self) -> ssl.SSLContext:
        """Return what refuses callers without a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        return self._filled(context, "server")

    def caller(self) -> ssl.SSLContext:
        """Return what shows a certificate of this authority."""
        return self._filled(self.stranger(), "caller")

    def stranger(self) -> ssl.SSLContext:
        """Return what trusts this authority, and has no certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        return context

    def _filled(self, context: ssl.SSLContext, name: str) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.file)
        key, file = ec.generate_private_key(ec.SECP256R1()), self._folder / f"{name}.pem"
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        made = self._begun(_named(name), key).add_extension(here, critical=False).sign(self._key, hashes.SHA256())
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(secret + made.public_bytes(Encoding.PEM))
        context.load_cert_chain(file)
        return context

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - _HOUR,
            not_valid_after=now + _HOUR,
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
