"""What the environment says: where to listen, where data and other services are, which model answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

from assistant_kit import AssistantKitError
from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.environment import SettingsError, given, log_level, needed, whole

DEFAULT_MODEL: Final = "gpt-5.6-luna"
FILES_FORM: Final = "file:///folder or s3://bucket/prefix"

VARIABLES: Final = """\
environment (a secret VAR may stand in a file that VAR_FILE names):
  LISTEN           host:port of the API
  ADMIN_LISTEN     host:port of /health, /ready, /metrics and the keys for tool servers; no user's data
  DATABASE_URL     sqlite:///file or postgresql://…: journals, vault, users, passages of documents
  VECTORS_URL      passages of documents, if not there: qdrant://host:6333/name, weaviate://host:8080/Name,
                   pinecone://index (with PINECONE_API_KEY), …; qdrants, weaviates by TLS; :key@ may precede the host
  REDIS_URL        redis://…: limits, quotas, live events
  FILES_URL        file:///folder or s3://bucket/prefix: uploaded files
  TOOL_SERVERS     calendar=https://host:port (by the plain contract), search=mcp+https://host:port/mcp (by MCP), …
  JWKS_URL         where the front end publishes the keys of its tokens
  TOKEN_ISSUER     who issues these tokens: the front end's PUBLIC_URL
  MASTER_KEYS      name:base64, the newest first: what encrypts journals, vault and files (… orchestrator keys)
  SIGNING_KEYS_FILE  keys of the tokens for tool servers, shared by all instances; made when it is missing
  TLS_DIR          folder of certificates; without it plain HTTP, for one machine only
  OPENAI_API_KEY   answer with a model of the OpenAI API; without it a rule-based model answers
  OPENAI_BASE_URL  a server with the same API
  OPENAI_MODEL     the model's name (default: gpt-5.6-luna; needed with OPENAI_BASE_URL)
  REQUEST_TOKENS   tokens of a request and its answer (default: 4000)
  REPLY_TOKENS     of these, tokens of the answer at most (default: 800)
  MESSAGES_PER_MINUTE, UPLOADS_PER_MINUTE, TOOL_CALLS_PER_MINUTE, REQUESTS_PER_MINUTE   of a user (20, 10, 30, 600)
  TOKENS_PER_DAY, MODEL_REQUESTS_PER_DAY, CENTS_PER_DAY   what a user may use of the model (200000, 2000, 200)
  LARGEST_FILE     bytes of an upload (default: 10000000)
  OTEL_EXPORTER_OTLP_ENDPOINT   where traces go (default: nowhere)
  LOG_LEVEL        debug, info, warning or error (default: info)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What a user may do in a minute; and what they may use of the model in a day, in cents of a US dollar as well."""

    messages: int = 20
    uploads: int = 10
    tool_calls: int = 30
    requests: int = 600
    tokens_per_day: int = 200_000
    model_requests_per_day: int = 2_000
    cents_per_day: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlace:
    """A model of the OpenAI API; `url` is None for OpenAI's own server."""

    name: str
    key: str = field(repr=False)
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPlace:
    """Where a tool server is: by the plain contract what comes before its routes, by MCP its endpoint."""

    url: str
    protocol: Literal["plain", "mcp"] = "plain"

    @property
    def base(self) -> str:
        """What comes before the other routes of a server of ours."""
        return self.url.removesuffix("/mcp") if self.protocol == "mcp" else self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one start. `model` is None where the rule-based model answers.

    `reply_tokens` are part of `request_tokens`; `largest_file` is in bytes.
    """

    listen: str
    admin_listen: str
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    files_url: str
    jwks_url: str
    token_issuer: str
    master_keys: MasterKeys
    signing_keys: Path
    vectors_url: str | None = field(default=None, repr=False)
    tool_servers: Mapping[str, ToolPlace] = field(default_factory=lambda: MappingProxyType({}))
    tls_dir: Path | None = None
    model: ModelPlace | None = None
    request_tokens: int = 4_000
    reply_tokens: int = 800
    limits: LimitSettings = field(default_factory=LimitSettings)
    largest_file: int = 10_000_000
    otlp_endpoint: str | None = None
    log_level: str = "info"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment. Raises SettingsError."""
    usual = LimitSettings()
    request, reply = whole(environment, "REQUEST_TOKENS", 4_000), whole(environment, "REPLY_TOKENS", 800)
    if not 0 < reply < request:
        raise SettingsError(f"REPLY_TOKENS is {reply}: it is part of REQUEST_TOKENS, {request}: set it to less")
    tls = given(environment, "TLS_DIR")
    return Settings(
        listen=needed(environment, "LISTEN", "host:port, such as 127.0.0.1:8010"),
        admin_listen=needed(environment, "ADMIN_LISTEN", "host:port, such as 127.0.0.1:8011"),
        database_url=database_url(environment),
        redis_url=needed(environment, "REDIS_URL", "redis://host:6379/0"),
        files_url=needed(environment, "FILES_URL", FILES_FORM),
        jwks_url=needed(environment, "JWKS_URL", "the front end's address of /.well-known/jwks.json"),
        token_issuer=needed(environment, "TOKEN_ISSUER", "the front end's PUBLIC_URL"),
        master_keys=master_keys(environment),
        signing_keys=Path(needed(environment, "SIGNING_KEYS_FILE", "a file of its own, which all instances share")),
        vectors_url=given(environment, "VECTORS_URL"),
        tool_servers=_tool_servers(environment),
        tls_dir=None if tls is None else Path(tls),
        model=_model(environment),
        request_tokens=request,
        reply_tokens=reply,
        limits=LimitSettings(
            messages=whole(environment, "MESSAGES_PER_MINUTE", usual.messages),
            uploads=whole(environment, "UPLOADS_PER_MINUTE", usual.uploads),
            tool_calls=whole(environment, "TOOL_CALLS_PER_MINUTE", usual.tool_calls),
            requests=whole(environment, "REQUESTS_PER_MINUTE", usual.requests),
            tokens_per_day=whole(environment, "TOKENS_PER_DAY", usual.tokens_per_day),
            model_requests_per_day=whole(environment, "MODEL_REQUESTS_PER_DAY", usual.model_requests_per_day),
            cents_per_day=whole(environment, "CENTS_PER_DAY", usual.cents_per_day),
        ),
        largest_file=whole(environment, "LARGEST_FILE", 10_000_000),
        otlp_endpoint=given(environment, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        log_level=log_level(environment),
    )


def database_url(environment: Mapping[str, str]) -> str:
    """Return the address of the database. Raises SettingsError."""
    return needed(environment, "DATABASE_URL", "sqlite:///file or postgresql://…")


def master_keys(environment: Mapping[str, str]) -> MasterKeys:
    """Return the keys that encrypt journals, vault and files. Raises SettingsError."""
    text = needed(environment, "MASTER_KEYS", "what `python -m examples.flask_demo.orchestrator keys` prints")
    try:
        return MasterKeys.from_text(text)
    except AssistantKitError as error:
        raise SettingsError(f"MASTER_KEYS: {error}") from error


def _tool_servers(environment: Mapping[str, str]) -> Mapping[str, ToolPlace]:
    servers: dict[str, ToolPlace] = {}
    for entry in filter(None, (one.strip() for one in environment.get("TOOL_SERVERS", "").split(","))):
        name, _, address = entry.partition("=")
        url = address.removeprefix("mcp+").rstrip("/")
        if not name.isidentifier() or name in servers or urlsplit(url).scheme not in ("http", "https"):
            raise SettingsError(
                f"TOOL_SERVERS has {entry!r}: write name=https://host:port, or name=mcp+https://host:port/mcp;"
                " each name once"
            )
        servers[name] = ToolPlace(url=url, protocol="mcp" if address.startswith("mcp+") else "plain")
    return MappingProxyType(servers)


def _model(environment: Mapping[str, str]) -> ModelPlace | None:
    key, server = given(environment, "OPENAI_API_KEY"), environment.get("OPENAI_BASE_URL") or None
    name = environment.get("OPENAI_MODEL")
    if key is None:
        if server is not None:
            raise SettingsError("OPENAI_BASE_URL needs OPENAI_API_KEY: any text, if the server asks for none")
        return None
    if server is not None and not name:
        raise SettingsError("set OPENAI_MODEL to the name of a model that the server at OPENAI_BASE_URL has")
    return ModelPlace(name=name or DEFAULT_MODEL, key=key, url=server)
