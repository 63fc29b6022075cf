"""Write a line of the log for each notice, with its facts as fields of the record."""

import json
import logging
from collections.abc import Mapping
from typing import Final

from assistant_kit.messages import Json
from assistant_kit.observers._facts import facts_of
from assistant_kit.protocols.observer import (
    CallRetried,
    ConditionNoted,
    ModelCallBegan,
    ModelCallEnded,
    ModelReplaced,
    Notice,
    RunBegan,
    RunEnded,
    ToolAnswered,
    ToolCallBegan,
    ToolCallEnded,
)

LOGGER: Final = "assistant_kit.observer"


class LoggingObserver:
    """Logs on `assistant_kit.observer`, or the logger that it is given.

    The line reads `run_ended run="…" status="completed" …`; the record has the same as attributes, `record.event` and
    one for each fact, as `extra=` gives them: formatters that write JSON, and structlog's, show them. Beginnings are
    DEBUG; what failed, is made again or is not well is WARNING; all else is INFO. Nothing is set up: handlers and
    levels are the application's. With `users=True` records name the user, with `content=True` they have what users,
    models and tools say.
    """

    def __init__(self, logger: logging.Logger | None = None, *, users: bool = False, content: bool = False) -> None:
        """Take the logger, and what may stand in its records."""
        self._log = logging.getLogger(LOGGER) if logger is None else logger
        self._users = users
        self._content = content

    @property
    def reads_content(self) -> bool:
        """Whether content is logged."""
        return self._content

    def observe(self, notice: Notice) -> None:
        """Log a notice."""
        level = _level(notice)
        if not self._log.isEnabledFor(level):
            return
        facts = facts_of(notice, users=self._users)
        self._log.log(level, "%s", _line(notice.kind, facts), extra={"event": notice.kind, **_named(facts)})


def _level(notice: Notice) -> int:
    match notice:
        case RunBegan() | ModelCallBegan() | ToolCallBegan():
            return logging.DEBUG
        case RunEnded() | ModelCallEnded():
            warns = notice.error != ""
        case ToolCallEnded() | ToolAnswered():
            warns = notice.outcome in ("error", "unknown")
        case ConditionNoted():
            warns = not notice.change.condition.ok
        case _:
            warns = isinstance(notice, CallRetried | ModelReplaced)
    return logging.WARNING if warns else logging.INFO


def _named(facts: Mapping[str, Json]) -> dict[str, Json]:
    """Return facts under names that a record has not: its `name` is the logger's."""
    return {"called" if name == "name" else name: value for name, value in facts.items()}


def _line(kind: str, facts: Mapping[str, Json]) -> str:
    """Return a line; a line break or a control character in a value does not end it."""
    return " ".join((kind, *(f"{name}={json.dumps(value)}" for name, value in facts.items())))
