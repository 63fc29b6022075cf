"""What the environment says: where the data is, who the user is, which model answers."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assistant_kit import ModelSettings, WindowSettings

DEFAULT_MODEL = "gpt-5.6-luna"

VARIABLES = """\
environment:
  TODO_DATA        folder of tasks.db and conversations.db (default: ~/.local/share/assistant-kit-todo)
  TODO_USER        whose tasks (default: local)
  OPENAI_API_KEY   answer with a model of the OpenAI API; without it a rule-based model answers
  OPENAI_BASE_URL  a server with the same API
  OPENAI_MODEL     the model's name (default: gpt-5.6-luna; needed with OPENAI_BASE_URL); TODO_MODEL goes before it
  TODO_TEMPERATURE how freely it writes (default: its own way); 0 helps small models to use the tools
  TODO_WINDOW      its context window in tokens (default: 128000); small models have less"""


class SettingsError(Exception):
    """The environment asks for something that cannot be; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one start. `model` is None when the rule-based model answers; `remark` is for the user."""

    data: Path
    user: str
    model: str | None
    remark: str
    style: ModelSettings = field(default_factory=ModelSettings)
    window: WindowSettings = field(default_factory=WindowSettings)

    @property
    def tasks(self) -> Path:
        """The database of the tasks."""
        return self.data / "tasks.db"

    @property
    def conversations(self) -> Path:
        """The database of the conversations."""
        return self.data / "conversations.db"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment and make the data folder. Raises SettingsError."""
    model, remark = _model(environment)
    return Settings(
        style=ModelSettings(temperature=_number(environment, "TODO_TEMPERATURE", least=0.0)),
        window=_window(_number(environment, "TODO_WINDOW", least=1.0)),
        data=_data(environment),
        user=environment.get("TODO_USER") or "local",
        model=model,
        remark=remark,
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
