"""What the environment says: where to listen, who signs people in, where orchestrators and sessions are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from examples.flask_demo.environment import SettingsError, given, log_level, needed, whole
from examples.flask_demo.serving import ServingError, address

VARIABLES: Final = """\
environment (a secret VAR may stand in a file that VAR_FILE names):
  LISTEN             host:port of the pages
  ADMIN_LISTEN       host:port of /health, /ready, /metrics and the keys of our tokens; no user's data
  PUBLIC_URL         the address people come to: https://…, or http://localhost:port on one machine
  ORCHESTRATOR_URLS  https://host:port,… of the orchestrators; any of them will do
  REDIS_URL          redis://…: sessions
  OIDC_ISSUER        who signs people in: the address that /.well-known/openid-configuration is appended to
  OIDC_CLIENT_ID     what that provider calls us
  OIDC_CLIENT_SECRET our password there (default: none, as a public client)
  SIGNING_KEYS_FILE  PEM keys of our tokens, the newest first; made when it is missing
  TLS_DIR            folder of certificates for calls to orchestrators; without it plain HTTP, for one machine only
  LARGEST_FILE       bytes of an upload, as the orchestrators have it (default: 10000000)
  SIGN_INS           sign-ins of one address in a minute (default: 60, or 100000 where PUBLIC_URL is on this machine)
  PROXIES            number of proxies before us, whose X-Forwarded-For is believed (default: none)
  THREADS            requests and streams at once (default: 512)
  OTEL_EXPORTER_OTLP_ENDPOINT   where traces go (default: nowhere)
  LOG_LEVEL          debug, info, warning or error (default: info)"""

_FORM: Final = 64 * 1024  # bytes that a form may have around its file
_SIGN_INS: Final = 60
_SIGN_INS_HERE: Final = 100_000
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who signs people in, and what we are called there. Without a `secret` we are a public client."""

    issuer: str
    client_id: str
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is allowed: seconds of sessions (unused, and in all), bytes of bodies, streams of one user at once.

    `sign_ins` is how many an address may begin in a minute.
    """

    session_idle: int = 2 * 3600
    session_life: int = 12 * 3600
    largest_body: int = 64 * 1024
    largest_file: int = 10_000_000 + _FORM
    streams: int = 40
    sign_ins: int = _SIGN_INS


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one start."""

    listen: str
    admin_listen: str
    public_url: str
    orchestrators: tuple[str, ...]
    redis_url: str = field(repr=False)
    provider: Provider
    signing_keys: Path
    tls_dir: Path | None = None
    threads: int = 512
    proxies: int = 0
    bounds: Bounds = field(default_factory=Bounds)
    otlp_endpoint: str | None = None
    log_level: str = "info"

    @property
    def public_host(self) -> str:
        """The host, with its port where one is named, that people come to."""
        return urlsplit(self.public_url).netloc

    @property
    def is_https(self) -> bool:
        """Whether people come by TLS; what ends it stands before us."""
        return self.public_url.startswith("https://")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment. Raises SettingsError."""
    tls, public_url = given(environment, "TLS_DIR"), _origin(environment, "PUBLIC_URL")
    # On one machine, all who come have its address.
    sign_ins = _SIGN_INS_HERE if _is_here(urlsplit(public_url)) else _SIGN_INS
    return Settings(
        listen=_address(environment, "LISTEN"),
        admin_listen=_address(environment, "ADMIN_LISTEN"),
        public_url=public_url,
        orchestrators=_orchestrators(environment),
        redis_url=needed(environment, "REDIS_URL", "redis://host:6379/0"),
        provider=Provider(
            issuer=_provider_url(environment),
            client_id=needed(environment, "OIDC_CLIENT_ID", "what the identity provider calls this client"),
            secret=given(environment, "OIDC_CLIENT_SECRET"),
        ),
        signing_keys=Path(needed(environment, "SIGNING_KEYS_FILE", "a file of its own, which all instances share")),
        tls_dir=None if tls is None else Path(tls),
        bounds=Bounds(
            largest_file=whole(environment, "LARGEST_FILE", 10_000_000) + _FORM,
            sign_ins=whole(environment, "SIGN_INS", sign_ins),
        ),
        proxies=whole(environment, "PROXIES", 0),
        threads=whole(environment, "THREADS", 512),
        otlp_endpoint=given(environment, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        log_level=log_level(environment),
    )


def _address(environment: Mapping[str, str], name: str) -> str:
    text = needed(environment, name, "host:port, such as 127.0.0.1:8000")
    try:
        address(text)
    except ServingError as error:
        raise SettingsError(f"{name}: {error}") from error
    return text


def _url(name: str, text: str, wanted: str) -> SplitResult:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username:
        raise SettingsError(f"{name} is {text!r}: set it to {wanted}")
    return url


def _origin(environment: Mapping[str, str], name: str) -> str:
    wanted = "https://host, or http://localhost:port on one machine"
    text = needed(environment, name, wanted)
    url = _url(name, text, wanted)
    if url.path.strip("/"):
        raise SettingsError(f"{name} is {text!r}: it has no path: set it to {wanted}")
    if url.scheme == "http" and not _is_here(url):
        raise SettingsError(f"{name} is {text!r}: cookies of a sign-in need TLS: set it to {wanted}")
    return f"{url.scheme}://{url.netloc}".lower()


def _is_here(url: SplitResult) -> bool:
    """Whether an address is on this machine."""
    host = url.hostname or ""
    return host in _LOOPBACK or host.endswith(".localhost")


def _provider_url(environment: Mapping[str, str]) -> str:
    text = needed(environment, "OIDC_ISSUER", "https://host/…, as the identity provider says")
    _url("OIDC_ISSUER", text, "https://host/…, as the identity provider says")
    return text


def _orchestrators(environment: Mapping[str, str]) -> tuple[str, ...]:
    wanted = "https://host:port,https://host:port,…"
    text = needed(environment, "ORCHESTRATOR_URLS", wanted)
    urls = tuple(one.strip().rstrip("/") for one in text.split(",") if one.strip())
    for url in urls:
        _url("ORCHESTRATOR_URLS", url, wanted)
    if not urls:
        raise SettingsError(f"ORCHESTRATOR_URLS is {text!r}: set it to {wanted}")
    return urls
