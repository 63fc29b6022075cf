"""Makes and renews the certificates by which the services know each other.

    python -m examples.flask_demo.certificates DIR

A service's certificate is for what it does: the front end only calls, tool servers are only called, the orchestrator
does both. To change the CA without a pause takes three steps, with a restart of all services after each:
`--add-ca` (both CAs are trusted), `--renew` (certificates of the new one), `--drop-ca` (the old one is forgotten).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from examples.flask_demo.tls import AUTHORITY

AUTHORITY_KEY = "ca-key.pem"
DAYS = 90
AUTHORITY_DAYS = 3650
_EARLIER = timedelta(minutes=5)  # clocks differ


class CertificateError(Exception):
    """Certificates cannot be made as asked for; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Whom a certificate is for: under which names it is called, and whether it calls others itself."""

    name: str
    hosts: tuple[str, ...] = ()
    serves: bool = False
    calls: bool = False


HERE = ("localhost", "127.0.0.1", "::1")
SERVICES: Final = (
    Service(name="frontend", calls=True),
    Service(
        name="orchestrator",
        hosts=("orchestrator", "orchestrator-1", "orchestrator-2", "orchestrator-blue", "orchestrator-green"),
        serves=True,
        calls=True,
    ),
    Service(
        name="tools",
        hosts=tuple(
            f"{tool}{suffix}" for tool in ("calendar", "notes", "search") for suffix in ("", "-blue", "-green")
        ),
        serves=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make(folder: Path, *, days: int = DAYS, hosts: Sequence[str] = ()) -> None:
    """Make a CA and a certificate for each service. `hosts` are further names of those that are called.

    Raises CertificateError when the folder has a CA already, or cannot be written.
    """
    if (folder / AUTHORITY).exists() or (folder / AUTHORITY_KEY).exists():
        raise CertificateError(
            f"{folder} has a CA already: --renew makes new certificates of it, or name another folder"
        )
    authority = _new_authority()
    _write_authority(folder, authority, [authority.certificate])
    _write_services(folder, authority, days, hosts)


def renew(folder: Path, *, days: int = DAYS, hosts: Sequence[str] = ()) -> None:
    """Make new keys and certificates for the services, of the CA that is there. Raises CertificateError."""
    authority = _read_authority(folder)
    _write_services(folder, authority, days, hosts)


def add_authority(folder: Path) -> None:
    """Make a new CA, trusted beside the one before; certificates stay until `renew`. Raises CertificateError."""
    before = _read_authority(folder)
    authority = _new_authority()
    _write_authority(folder, authority, [authority.certificate, before.certificate])


def drop_authority(folder: Path) -> None:
    """Trust the newest CA alone. Raises CertificateError, also when a certificate is still one of another CA."""
    authority = _read_authority(folder)
    for service in SERVICES:
        certificate = _certificates(folder / f"{service.name}.pem")[0]
        if certificate.issuer != authority.certificate.subject:
            raise CertificateError(f"{service.name}.pem is of the CA that would be dropped: --renew comes first")
    _write_authority(folder, authority, [authority.certificate])


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; 2 and one line on standard error when it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.flask_demo.certificates",
        description="Makes a CA and certificates for the services: ca.pem, ca-key.pem, NAME.pem, NAME-key.pem.",
        epilog="ca-key.pem belongs nowhere near a service: keep it apart from the files that are deployed.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--renew", action="store_true", help="new keys and certificates, of the CA that is in DIR")
    what.add_argument("--add-ca", action="store_true", help="a new CA, trusted beside the old one; then --renew")
    what.add_argument("--drop-ca", action="store_true", help="trust the newest CA alone")
    parser.add_argument("--days", type=_days, default=DAYS, help=f"how long certificates hold (default: {DAYS})")
    parser.add_argument("--host", action="append", default=[], help="a further name or address of services; repeatable")
    asked = parser.parse_args(arguments)
    try:
        if asked.renew:
            renew(asked.folder, days=asked.days, hosts=asked.host)
        elif asked.add_ca:
            add_authority(asked.folder)
        elif asked.drop_ca:
            drop_authority(asked.folder)
        else:
            make(asked.folder, days=asked.days, hosts=asked.host)
    except CertificateError as error:
        print(f"certificates: {error}", file=sys.stderr)
        return 2
    return 0


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= AUTHORITY_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1 to {AUTHORITY_DAYS}")
    return int(text)


def _new_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"web assistant CA {x509.random_serial_number():x}"[:40])]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate=certificate, key=key)


def _certificate(
    authority: Authority, service: Service, key: ec.EllipticCurvePrivateKey, days: int, hosts: Sequence[str]
) -> x509.Certificate:
    now = datetime.now(UTC)
    usages = [
        usage for usage, wanted in ((Usage.SERVER_AUTH, service.serves), (Usage.CLIENT_AUTH, service.calls)) if wanted
    ]
    names = [_name(host) for host in dict.fromkeys((*HERE, *service.hosts, *hosts))]
    issuer = authority.certificate
    end = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service.name)])
    return (
        x509.CertificateBuilder(issuer_name=issuer.subject, subject_name=subject, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise CertificateError(f"--host {host!r} is neither a name nor an address") from error


def _read_authority(folder: Path) -> Authority:
    """Return the newest CA: the first of those that are trusted."""
    trusted = _certificates(folder / AUTHORITY)
    try:
        key = load_pem_private_key((folder / AUTHORITY_KEY).read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise CertificateError(f"{folder / AUTHORITY_KEY} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != trusted[0].public_key():
        raise CertificateError(f"{folder / AUTHORITY_KEY} is not the key of the first certificate in {AUTHORITY}")
    return Authority(certificate=trusted[0], key=key)


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateError(f"{file} cannot be read: {error}") from error


def _write_authority(folder: Path, authority: Authority, trusted: Sequence[x509.Certificate]) -> None:
    _write(folder / AUTHORITY_KEY, _private(authority.key), mode=0o600)
    _write(folder / AUTHORITY, b"".join(one.public_bytes(Encoding.PEM) for one in trusted), mode=0o644)


def _write_services(folder: Path, authority: Authority, days: int, hosts: Sequence[str]) -> None:
    for service in SERVICES:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(authority, service, key, days, hosts)
        _write(folder / f"{service.name}-key.pem", _private(key), mode=0o600)
        _write(folder / f"{service.name}.pem", certificate.public_bytes(Encoding.PEM), mode=0o644)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes, *, mode: int) -> None:
    """Write a file whole or not at all; nobody else can read a key for a moment."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=file.parent, delete=False) as new:  # made with 0600
            new.write(content)
        Path(new.name).chmod(mode)
        Path(new.name).replace(file)
    except OSError as error:
        raise CertificateError(f"{file} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    raise SystemExit(main())
