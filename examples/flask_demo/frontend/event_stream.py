"""Reads server-sent events of an orchestrator as they come.

The library writes them (`assistant_kit.integrations.streaming.sse`) and could read them, too. The front end has
none of it, and stays so for these few lines: what faces browsers has no client of a model and no tools in it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

RESET: Final = "reset"
"""Events are missing: whoever reads goes on from another one, which may be an earlier one."""
FAILED: Final = "failed"
"""The stream cannot go on; it has no id."""
MOST_BYTES: Final = 4_000_000
"""Of one line; more is not what an orchestrator writes."""


class EventTooLarge(Exception):
    """A line has no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of a conversation. `id` grows by one with each; what only tells of the connection has none."""

    id: int | None
    name: str
    data: dict[str, Any]

    def position(self, last: int | None) -> int | None:
        """Return the id to go on after; a reset says its own."""
        if self.name == RESET:
            return _whole(str(self.data.get("last_event_id")))
        return last if self.id is None else self.id


def entries_of(pieces: Iterable[bytes]) -> Iterator[Entry | None]:
    """Return the events; None for each comment, which says that the stream is alive. Raises EventTooLarge."""
    fields: dict[str, str] = {}
    for line in _lines(pieces):
        if not line:
            if "data" in fields:
                yield Entry(
                    id=_whole(fields.get("id", "")), name=fields.get("event", "message"), data=_object(fields["data"])
                )
            fields = {}
        elif line.startswith(":"):
            yield None
        else:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > MOST_BYTES:
            raise EventTooLarge
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")


def _object(text: str) -> dict[str, Any]:
    try:
        found: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
