"""TLS between services: 1.3 only, both sides show a certificate of our own CA, and a server says who may call it.

A folder holds `ca.pem` and, for each service, `NAME.pem` and `NAME-key.pem`; examples.flask_demo.certificates makes it.
Which service a certificate belongs to is the common name of its subject.
"""

import ssl
from asyncio import BaseTransport
from pathlib import Path
from typing import cast

AUTHORITY = "ca.pem"


class TLSError(Exception):
    """The files of the TLS folder cannot be used; the text says which and what to do."""


def server_context(directory: Path | str, name: str) -> ssl.SSLContext:
    """Return what the service `name` listens with: callers need a certificate of our CA. Raises TLSError.

    Who of those may call is not checked by the TLS layer of Python: `listening(allowed=…)` in serving.py does it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _loaded(context, Path(directory), name)


def client_context(directory: Path | str, name: str) -> ssl.SSLContext:
    """Return what the service `name` calls others with: they need a certificate of our CA, for the host that is called.

    The certificate authorities of the operating system are not trusted here. Raises TLSError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the host's name
    return _loaded(context, Path(directory), name)


def peer_names(transport: BaseTransport) -> frozenset[str]:
    """Return the common names of the certificate at the other end; none without TLS or without a certificate."""
    connection: object = transport.get_extra_info("ssl_object")
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLObject) else None
    if not certificate:
        return frozenset()
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", certificate["subject"])
    return frozenset(value for relative in subject for kind, value in relative if kind == "commonName")


def _loaded(context: ssl.SSLContext, directory: Path, name: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for file in (AUTHORITY, f"{name}.pem", f"{name}-key.pem"):
        if not (directory / file).is_file():
            raise TLSError(
                f"TLS_DIR: there is no file {directory / file}: make the folder by"
                f" `python -m examples.flask_demo.certificates {directory}`"
            )
    try:
        context.load_verify_locations(directory / AUTHORITY)
        context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}-key.pem")
    except (
        OSError
    ) as error:  # ssl.SSLError is one: a file that cannot be read, is no PEM, or a key of another certificate
        raise TLSError(f"TLS_DIR: the files of {name} in {directory} cannot be used: {error}") from error
    return context
