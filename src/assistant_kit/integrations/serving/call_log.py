"""Lines of a served tool's log on their way to its caller: the level that is wanted, and threads."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import get_ident
from typing import Final, get_args

import anyio.from_thread
from pydantic_core import from_json, to_json

from assistant_kit.messages import Json
from assistant_kit.protocols.caller import Level

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
UNASKED: Final[Level] = "info"
"""The level from which on a client of the older protocol is told lines that has not said what it wants."""
_KEPT = 4096  # sessions whose level is known


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a log. `data` has a form in JSON."""

    level: Level
    data: Json
    logger: str | None


class Levels:
    """The level that each session has asked for; the ones that were set longest ago are forgotten first."""

    def __init__(self) -> None:
        """Know of none."""
        self._levels: OrderedDict[str, Level] = OrderedDict()

    def set(self, session: str | None, level: Level) -> None:
        """Keep what a session wants; nothing where there is none."""
        if session is None:
            return
        self._levels[session] = level
        self._levels.move_to_end(session)
        if len(self._levels) > _KEPT:
            self._levels.popitem(last=False)

    def of(self, session: str | None) -> Level:
        """Return what a session wants."""
        return UNASKED if session is None else self._levels.get(session, UNASKED)


class CallLog:
    """The log of one call, until it is closed; it is made in the thread of the event loop.

    `wanted` says from which level on lines are sent; None: none at all.
    """

    def __init__(self, send: Callable[[LogLine], None], wanted: Callable[[], Level | None]) -> None:
        """Take where lines go."""
        self._send = send
        self._wanted = wanted
        self._home = get_ident()
        self._closed = False

    def close(self) -> None:
        """Send nothing more: the call has ended."""
        self._closed = True

    def write(self, level: Level, data: Json, logger: str | None) -> None:
        """Take a line, in the event loop or in a worker thread of it."""
        if self._closed:
            return  # also of a thread that goes on after its event loop has ended
        line = LogLine(level=level, data=_plain(data), logger=logger)
        if get_ident() == self._home:
            self._take(line)
        else:
            anyio.from_thread.run_sync(self._take, line)

    def _take(self, line: LogLine) -> None:
        wanted = None if self._closed else self._wanted()
        if wanted is not None and LEVELS.index(line.level) >= LEVELS.index(wanted):
            self._send(line)


def _plain(data: Json) -> Json:
    """Return data in a form that JSON has for sure: a line of a log is no reason for a call to fail."""
    try:
        return from_json(to_json(data, fallback=repr, inf_nan_mode="null"))
    except ValueError:  # half a character, for instance
        return repr(data)
