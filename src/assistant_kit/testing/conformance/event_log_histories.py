"""Event logs: random histories of writers, readers and places that forget, against what should be."""
# ruff: noqa: S101  (these are tests: assert is the language)

import random
from dataclasses import dataclass, field

import anyio
import pytest

from assistant_kit.errors import LeaseLost
from assistant_kit.protocols.event_log import EventReader, EventWriter, Mark, UserEventLog
from assistant_kit.testing.conformance.event_log_workbench import PATIENCE, EventLogWorkbench, events

_LENGTH = 120
_STEPS = ("open", "write", "follow", "read")
_WEIGHTS = (1, 5, 1, 3)
_MARKS: list[Mark | None] = [None, "before", "after"]


@dataclass
class _Reading:
    """A reader, and what it has."""

    reader: EventReader
    last: int | None
    found: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


@dataclass
class _History:
    """What happens to one conversation, and what was written."""

    logs: list[UserEventLog]
    chance: random.Random
    fence: int = 0
    writers: list[tuple[int, EventWriter]] = field(default_factory=list[tuple[int, EventWriter]])
    written: dict[int, str] = field(default_factory=dict[int, str])
    readings: list[_Reading] = field(default_factory=list[_Reading])

    async def step(self) -> None:
        """Let something happen."""
        what = "open" if not self.writers else self.chance.choices(_STEPS, _WEIGHTS)[0]
        log = self.chance.choice(self.logs)
        if what == "open":
            self.fence += 1
            self.writers.append((self.fence, await log.open("c", fence=self.fence)))
        elif what == "write":
            await self._write(*self.chance.choice(self.writers[-2:]))
        elif what == "follow":
            last = self.chance.choice([None, *self.written])
            self.readings.append(_Reading(log.follow("c", after=last), last))
        elif self.readings:
            await self._read(self.chance.choice(self.readings))

    async def _write(self, fence: int, writer: EventWriter) -> None:
        texts = [str(self.chance.random()) for _ in range(self.chance.randint(1, 4))]
        mark = self.chance.choice(_MARKS)
        try:
            last = await writer.append(events(*texts), mark=mark)
        except LeaseLost:
            assert fence < self.fence
            return
        assert fence == self.fence
        self.written.update({last - len(texts) + n: text for n, text in enumerate(texts, 1)})

    async def _read(self, reading: _Reading) -> None:
        """Read what there is; a reader who is behind is not kept waiting."""
        behind = bool(self.written) and (not reading.found or reading.found[-1][0] < max(self.written))
        behind = behind and reading.last != max(self.written)
        with anyio.move_on_after(PATIENCE if behind else 0.01) as waited:
            for entry in await reading.reader.next():
                if entry.name == "reset":
                    reading.found.clear()
                else:
                    reading.found.append((entry.id, str(entry.data["text"])))
        assert not (behind and waited.cancelled_caught)

    def check(self) -> None:
        """Compare what readers have with what was written."""
        for reading in self.readings:
            ids = [number for number, _ in reading.found]
            assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True
            assert all(self.written[number] == text for number, text in reading.found)


class EventLogHistories(EventLogWorkbench):
    """Anything may happen in any order."""

    @pytest.mark.parametrize("seed", range(3))
    async def test_readers_have_what_was_written_without_a_gap(
        self, log: UserEventLog, other: UserEventLog, seed: int
    ) -> None:
        """Whoever writes, however far behind they are, whenever they came."""
        history = _History([log, other], random.Random(seed))  # noqa: S311  (a seed is the point)
        with anyio.fail_after(2 * PATIENCE):
            for _ in range(_LENGTH):
                await history.step()
            history.check()
            assert history.readings
            for reading in history.readings:
                await reading.reader.aclose()
