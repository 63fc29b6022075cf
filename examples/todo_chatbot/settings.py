"""What the environment says: where the data is, who the user is, which model answers."""

import math
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal
from urllib.parse import quote

from assistant_kit import ModelSettings, WindowSettings

DEFAULT_MODEL = "gpt-5.6-luna"
LEAST_SECRET = 32  # bytes

VARIABLES = """\
environment:
  TODO_DATA        folder of todo.db (default: ~/.local/share/assistant-kit-todo)
  DATABASE_URL     another database: sqlite:///file or postgresql://…
  TODO_USER        whose tasks (default: local)
  OPENAI_API_KEY   answer with a model of the OpenAI API; without it a rule-based model answers
  OPENAI_BASE_URL  a server with the same API
  OPENAI_MODEL     the model's name (default: gpt-5.6-luna; needed with OPENAI_BASE_URL); TODO_MODEL goes before it
  ENGINE           openai-agents lets the OpenAI Agents SDK answer, on the same storage and within the same limits
  TODO_TEMPERATURE how freely it writes (default: its own way); 0 helps small models to use the tools
  TODO_WINDOW      its context window in tokens (default: 128000); small models have less
  TODO_SECRET      what access tokens are signed with, 32 bytes or more (default: a random one, kept in TODO_DATA)
  TODO_HOSTS       names by which MCP clients may reach the service beside localhost: "todo.example other.example:*"
  TODO_REQUESTS_PER_MINUTE   messages that a user may send in a minute (default: 20)
  TODO_TOKENS_PER_DAY        tokens of the model that a user may use in a day (default: 200000)"""


class SettingsError(Exception):
    """The environment asks for something that cannot be; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What a user may do: messages to the assistant in a minute, tokens of the model in a day.

    `log_ins_per_minute` are attempts with one e-mail address.
    """

    requests_per_minute: int = 20
    log_ins_per_minute: int = 10
    tokens_per_day: int = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one start. `model` is None when the rule-based model answers; `remark` is for the user.

    `hosts` are names by which MCP clients reach the service, beside those of this machine. `secret` is what access
    tokens are signed with; None stands for the one that is kept in the folder `data`.
    """

    data: Path
    database_url: str
    user: str
    model: str | None
    remark: str
    style: ModelSettings = field(default_factory=ModelSettings)
    window: WindowSettings = field(default_factory=WindowSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    engine: Literal["assistant", "openai-agents"] = "assistant"
    hosts: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment and make the data folder. Raises SettingsError."""
    model, remark = _model(environment)
    style = ModelSettings(temperature=_number(environment, "TODO_TEMPERATURE", least=0.0))
    window = _window(_number(environment, "TODO_WINDOW", least=1.0))
    limits, engine = _limits(environment), _engine(environment, model)
    data = _data(environment)  # the last one: nothing is made when a setting is wrong
    return Settings(
        style=style,
        window=window,
        data=data,
        database_url=environment.get("DATABASE_URL") or f"sqlite:///{quote(str(data / 'todo.db'))}",
        user=environment.get("TODO_USER") or "local",
        model=model,
        remark=remark,
        limits=limits,
        engine=engine,
        hosts=tuple(environment.get("TODO_HOSTS", "").split()),
        secret=environment.get("TODO_SECRET") or None,
    )


def signing_key(settings: Settings) -> bytes:
    """Return what access tokens are signed with; a random key is made once in the data folder. Raises SettingsError."""
    if settings.secret is not None:
        key = settings.secret.encode()
        if len(key) < LEAST_SECRET:
            raise SettingsError(f"TODO_SECRET has {len(key)} bytes: set it to at least {LEAST_SECRET} random ones")
        return key
    place = settings.data / "secret"
    try:
        with NamedTemporaryFile(dir=settings.data) as new:  # of several that start together, one key is kept
            new.write(secrets.token_hex(LEAST_SECRET).encode())
            new.flush()
            with suppress(FileExistsError):
                place.hardlink_to(new.name)
        return place.read_bytes()
    except OSError as error:
        raise SettingsError(_cannot_use(str(settings.data), error)) from error


def _engine(environment: Mapping[str, str], model: str | None) -> Literal["assistant", "openai-agents"]:
    match environment.get("ENGINE") or "assistant":
        case "assistant":
            return "assistant"
        case "openai-agents" if model is not None:
            return "openai-agents"
        case "openai-agents":
            raise SettingsError("ENGINE=openai-agents needs a language model: set OPENAI_API_KEY")
        case engine:
            raise SettingsError(f"ENGINE is {engine!r}: set it to assistant or openai-agents, or leave it out")


def _limits(environment: Mapping[str, str]) -> LimitSettings:
    usual = LimitSettings()
    requests = _number(environment, "TODO_REQUESTS_PER_MINUTE", least=0.0)
    tokens = _number(environment, "TODO_TOKENS_PER_DAY", least=0.0)
    return LimitSettings(
        requests_per_minute=usual.requests_per_minute if requests is None else int(requests),
        tokens_per_day=usual.tokens_per_day if tokens is None else int(tokens),
    )


def _model(environment: Mapping[str, str]) -> tuple[str | None, str]:
    server = environment.get("OPENAI_BASE_URL")
    name = environment.get("TODO_MODEL") or environment.get("OPENAI_MODEL")
    if not environment.get("OPENAI_API_KEY"):
        hint = (
            "OPENAI_BASE_URL needs OPENAI_API_KEY, any text if the server asks for none"
            if server
            else "no OPENAI_API_KEY"
        )
        return (
            None,
            f"Basic mode ({hint}): a rule-based model answers. It is no language model and knows plain sentences.",
        )
    if server and not name:
        raise SettingsError(f"set OPENAI_MODEL to the name of a model that {server} serves")
    name = name or DEFAULT_MODEL
    return f"openai:{name}", f"Model: {name}" + (f" at {server}" if server else "")


def _window(tokens: float | None) -> WindowSettings:
    usual = WindowSettings()
    if tokens is None:
        return usual
    return WindowSettings(max_tokens=int(tokens), reserved_output=min(usual.reserved_output, int(tokens) // 8))


def _number(environment: Mapping[str, str], name: str, *, least: float) -> float | None:
    text = environment.get(name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number < math.inf:
        raise SettingsError(f"{name} is {text!r}: set it to a number from {least:g} on, or leave it out")
    return number


def _data(environment: Mapping[str, str]) -> Path:
    share = Path(environment.get("XDG_DATA_HOME") or "~/.local/share")
    named = environment.get("TODO_DATA")
    try:
        folder = (Path(named) if named else share / "assistant-kit-todo").expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise SettingsError(_cannot_use(named or str(share / "assistant-kit-todo"), error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(_cannot_use(str(folder), "no permission to write there"))
    return folder


def _cannot_use(folder: str, problem: object) -> str:
    reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
    return f"the data folder {folder} cannot be used ({reason}): set TODO_DATA to a folder that you can write to"
