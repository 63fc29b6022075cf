"""Definitions of tools that somebody has looked at and approved: what a server changes afterwards is refused.

A server can change what its tools say of themselves at any time, and with it what a model does with them.
"""

import json
from collections.abc import Mapping
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, cast

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import JsonObject

Pins: TypeAlias = Mapping[str, str | JsonObject]
"""By the name of a tool, what was approved: its definition, or the SHA-256 of that (`ToolSpec.definition`)."""

LONGEST = 4_000
"""Characters of a difference that are shown."""


def digest(definition: JsonObject) -> str:
    """Return the SHA-256 of a definition, however it is written."""
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(canonical.encode()).hexdigest()


def difference(pin: str | JsonObject, definition: JsonObject) -> str | None:
    """Return what differs between what was approved and what a server says now; None when nothing does.

    Of a pin that is only a hash nobody can tell what it stood for: then the whole definition of now is shown.
    """
    if isinstance(pin, str):
        if pin.lower().removeprefix("sha256:") == digest(definition):
            return None
        lines = [f"its SHA-256 is {digest(definition)}, and {pin} was approved; now:", *_lines(definition)]
    elif digest(pin) == digest(definition):
        return None
    else:
        lines = [*unified_diff(_lines(pin), _lines(definition), "approved", "now", lineterm="")]
    text = "\n".join(lines)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def pins_from(given: Pins | Path) -> Pins:
    """Return pins, read from their file if it is one. Raises ConfigurationError."""
    if not isinstance(given, Path):
        return given
    try:
        pins: Any = json.loads(given.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"pins={str(given)!r} cannot be read: {error}") from error
    if not isinstance(pins, dict) or not all(isinstance(pin, str | dict) for pin in cast("JsonObject", pins).values()):
        raise ConfigurationError(f"pins={str(given)!r} is no file of pins: a JSON object of definitions or hashes")
    return cast("Pins", pins)


def pin_file(definitions: Mapping[str, JsonObject]) -> str:
    """Return the text of a file of pins, to be looked at by people and kept with the program."""
    return json.dumps(definitions, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _lines(definition: JsonObject) -> list[str]:
    return json.dumps(definition, indent=2, sort_keys=True, ensure_ascii=False).split("\n")
