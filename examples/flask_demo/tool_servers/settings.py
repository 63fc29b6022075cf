"""What the environment says: where a tool server listens, who may ask it, where its data is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.environment import given, log_level, needed

VARIABLES: Final = """\
environment:
  LISTEN         host:port of the tools, by MCP (/mcp) and by the plain contract (/mcp/discover, /mcp/execute, /health)
  ADMIN_LISTEN   host:port of /health, /ready, /metrics; no user's data
  JWKS_URL       where the orchestrators publish the keys of their tokens
  TOKEN_ISSUER   who issues these tokens: the front end's PUBLIC_URL
  DATABASE_URL   sqlite:///file or postgresql://…: appointments, the handbook's index
  FILES_URL      file:///folder or s3://bucket/prefix: notes, under /notes in it
  MASTER_KEYS    name:base64, the newest first: what encrypts notes, which need it; not the orchestrators'
  REDIS_URL      redis://…: what came of calls, so that a repeated one is made once (default: this process's memory)
  TLS_DIR        folder of certificates; without it plain HTTP, for one machine only
  HOSTS          names by which it is reached, beside those of this machine: "notes:* notes-blue:*"
  OTEL_EXPORTER_OTLP_ENDPOINT   where traces go (default: nowhere)
  LOG_LEVEL      debug, info, warning or error (default: info)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one start. An address that the server does not need may be empty."""

    listen: str
    admin_listen: str
    jwks_url: str
    token_issuer: str
    database_url: str = field(default="", repr=False)
    files_url: str = ""
    master_keys: MasterKeys | None = None
    redis_url: str = field(default="", repr=False)
    tls_dir: Path | None = None
    hosts: tuple[str, ...] = ()
    otlp_endpoint: str | None = None
    log_level: str = "info"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment. Raises SettingsError, ConfigurationError."""
    tls, keys = given(environment, "TLS_DIR"), given(environment, "MASTER_KEYS")
    return Settings(
        listen=needed(environment, "LISTEN", "host:port, such as 127.0.0.1:8021"),
        admin_listen=needed(environment, "ADMIN_LISTEN", "host:port, such as 127.0.0.1:8031"),
        jwks_url=needed(environment, "JWKS_URL", "the orchestrators' address of /.well-known/jwks.json"),
        token_issuer=needed(environment, "TOKEN_ISSUER", "the front end's PUBLIC_URL"),
        database_url=given(environment, "DATABASE_URL") or "",
        files_url=given(environment, "FILES_URL") or "",
        master_keys=None if keys is None else MasterKeys.from_text(keys, place="MASTER_KEYS"),
        redis_url=given(environment, "REDIS_URL") or "",
        tls_dir=None if tls is None else Path(tls),
        hosts=tuple(environment.get("HOSTS", "").split()),
        otlp_endpoint=given(environment, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        log_level=log_level(environment),
    )
