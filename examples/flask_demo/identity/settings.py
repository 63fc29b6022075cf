"""What the environment says: where to listen, what the provider is called."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from examples.flask_demo.environment import SettingsError, given
from examples.flask_demo.serving import ServingError, address

VARIABLES: Final = """\
environment:
  LISTEN             host:port; loopback only
  ISSUER             the address that browsers and the front end know: http://localhost:port
  OIDC_CLIENT_ID     the client that may ask (default: any)
  OIDC_CLIENT_SECRET its password, also as OIDC_CLIENT_SECRET_FILE (default: none is asked for)
  REDIRECT_URIS      where clients may have people sent, beside this machine: https://host/sign-in/callback …
  DEVELOPMENT_SIGN_IN_ANYWHERE=yes   listen on other addresses than loopback as well: for containers of one machine"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one start."""

    listen: str
    issuer: str
    client_id: str | None = None
    secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment. Raises SettingsError."""
    listen, issuer = environment.get("LISTEN", ""), environment.get("ISSUER", "").rstrip("/")
    try:
        host, port = address(listen)
    except ServingError as error:
        raise SettingsError(f"LISTEN: {error}") from error
    if not is_loopback(host) and environment.get("DEVELOPMENT_SIGN_IN_ANYWHERE") != "yes":
        raise SettingsError(
            f"LISTEN is {listen!r}: here anybody signs in as anybody, so it listens on 127.0.0.1 only;"
            " in a container of a development machine, set DEVELOPMENT_SIGN_IN_ANYWHERE=yes"
        )
    url = urlsplit(issuer)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise SettingsError(f"ISSUER is {issuer!r}: set it to the address that browsers know, http://localhost:{port}")
    return Settings(
        listen=listen,
        issuer=issuer,
        client_id=environment.get("OIDC_CLIENT_ID") or None,
        secret=given(environment, "OIDC_CLIENT_SECRET"),
        redirect_uris=tuple(environment.get("REDIRECT_URIS", "").split()),
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
