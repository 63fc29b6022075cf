"""How the processes read their environment: what is missing or wrong is one clear line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

_LEVELS: Final = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """The environment asks for something that cannot be; the text says what to do."""


def given(environment: Mapping[str, str], name: str) -> str | None:
    """Return a variable, or what is in the file that NAME_FILE names; None where there is neither.

    Raises SettingsError.
    """
    text, file = environment.get(name), environment.get(f"{name}_FILE")
    if text or not file:
        return text or None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}_FILE names {file}, which cannot be read: {error}") from error


def needed(environment: Mapping[str, str], name: str, example: str) -> str:
    """Return a variable that has to be there. Raises SettingsError."""
    found = given(environment, name)
    if found is None:
        raise SettingsError(f"{name} is missing: set it to {example}")
    return found


def whole(environment: Mapping[str, str], name: str, usual: int) -> int:
    """Return a whole number from 1 on. Raises SettingsError."""
    text = environment.get(name)
    if not text:
        return usual
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise SettingsError(f"{name} is {text!r}: set it to a whole number from 1 on, or leave it out")
    return int(text)


def log_level(environment: Mapping[str, str]) -> str:
    """Return LOG_LEVEL. Raises SettingsError."""
    level = (environment.get("LOG_LEVEL") or "info").lower()
    if level not in _LEVELS:
        raise SettingsError(f"LOG_LEVEL is {level!r}: set it to one of {', '.join(_LEVELS)}, or leave it out")
    return level
