"""What the tests of event logs stand on: logs for one place, a user who has nothing yet, and how to read and write."""
# ruff: noqa: S101  (these are tests: assert is the language)

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import ClassVar, TypeVar
from uuid import uuid4

import anyio
import pytest

from assistant_kit.protocols.event_log import Entry, EventLog, EventReader, EventWriter, NewEvent, UserEventLog

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""

MOST = 50
"""Entries of a conversation that the logs under test keep."""

BAD_NAMES = ["", "x" * 1001, "\ud800"]
"""Names that no log takes."""

ODD_NAMES = [
    "a:b",
    "a:",
    ":b",
    "{x}",
    "}{",
    "a}:b",
    "%7B",
    "*",
    "a b\n\t",
    "\x00\x01\x7f",
    "Größe",
    "日本",
    "💧",
    "'\"\\",
    "c:about",
    "c:stop",
    "ﬀ" * 1000,
]
"""Names that every log holds, and tells from each other."""


class EventLogWorkbench(ABC):
    """Opens the place under test. The hook is `open_log`."""

    shared: ClassVar[bool] = True
    """Whether a place outlives the object that opened it: False for one in the memory of the process."""

    @abstractmethod
    async def open_log(self, folder: Path, *, most: int) -> EventLog:
        """Return an object for the place of this folder that keeps `most` entries of a conversation.

        It is asked again with the same folder for another object on the same place.
        """

    @pytest.fixture
    async def logs(self, tmp_path: Path) -> AsyncIterator[list[EventLog]]:
        """Return two objects for one place, and close them after the test; the same one where none outlives it."""
        async with AsyncExitStack() as stack:
            logs = [await self.open_log(tmp_path, most=MOST) for _ in range(2 if self.shared else 1)]
            for log in logs:
                stack.push_async_callback(_close, log)
            yield logs if self.shared else logs * 2

    @pytest.fixture
    def user(self) -> str:
        """Return a user who has nothing yet."""
        return f"user-{uuid4()}"

    @pytest.fixture
    def log(self, logs: list[EventLog], user: str) -> UserEventLog:
        """Return the user's handle of the first object."""
        return logs[0].for_user(user)

    @pytest.fixture
    def other(self, logs: list[EventLog], user: str) -> UserEventLog:
        """Return the same user's handle of the second object."""
        return logs[1].for_user(user)


async def _close(log: EventLog) -> None:
    with anyio.fail_after(PATIENCE, shield=True):
        await log.aclose()


def events(*texts: str) -> list[NewEvent]:
    """Return events with these texts."""
    return [NewEvent(name="token", data={"text": text}) for text in texts]


def texts(entries: Sequence[Entry]) -> list[str]:
    """Return what the entries say; "reset" for those that say that some are missing."""
    return [entry.name if entry.name == "reset" else str(entry.data["text"]) for entry in entries]


async def told(writer: EventWriter, *texts: str) -> list[int]:
    """Write events, one batch each, and return their ids."""
    with anyio.fail_after(PATIENCE):
        return [await writer.append(events(text)) for text in texts]


async def heard(reader: EventReader, count: int) -> list[Entry]:
    """Read so many entries."""
    found: list[Entry] = []
    with anyio.fail_after(PATIENCE):
        while len(found) < count:
            found += await reader.next()
    assert len(found) == count
    return found
