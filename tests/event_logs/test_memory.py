from pathlib import Path

import pytest

from assistant_kit.errors import ConfigurationError
from assistant_kit.event_logs import memory
from assistant_kit.event_logs.memory import MemoryEventLog
from assistant_kit.protocols.event_log import EventLog
from assistant_kit.testing.conformance.event_log import EventLogConformance
from assistant_kit.testing.conformance.event_log_workbench import heard, texts, told

pytestmark = pytest.mark.anyio


class TestMemoryEventLog(EventLogConformance):
    shared = False

    async def open_log(self, folder: Path, *, most: int) -> EventLog:
        del folder
        return MemoryEventLog(most=most)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_conversation_is_forgotten_some_time_after_its_last_event() -> None:
    clock = Clock()
    log = MemoryEventLog(keep=10, clock=clock).for_user("u")
    writer = await log.open("c", fence=1)
    await told(writer, "a")
    reader = log.follow("c")
    await heard(reader, 1)
    clock.now += 9
    await told(writer, "b")
    clock.now += 9
    assert texts(await log.read("c")) == ["a", "b"]
    clock.now += 2
    assert await log.read("c") == []
    assert texts(await heard(reader, 1)) == ["reset"]


async def test_ids_are_greater_after_a_conversation_was_forgotten() -> None:
    clock = Clock()
    log = MemoryEventLog(keep=10, clock=clock).for_user("u")
    (before,) = await told(await log.open("c", fence=1), "a")
    clock.now += 11
    (after,) = await told(await log.open("c", fence=1), "b")
    assert after > before
    assert texts(await log.read("c", after=before)) == ["reset"]


async def test_what_is_not_there_is_forgotten_without_a_word() -> None:
    log = MemoryEventLog().for_user("u")
    await log.forget("c")
    assert await log.read("c") == []


async def test_conversations_that_nobody_asks_for_any_more_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_SWEEP", 4)
    clock = Clock()
    whole = MemoryEventLog(keep=10, clock=clock)
    log = whole.for_user("u")
    await told(await log.open("old", fence=1), "x" * 1_000_000)
    clock.now += 11
    await told(await log.open("new", fence=1), "a")
    assert list(whole._kept) == [("u", "new")]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the same


@pytest.mark.parametrize(("keep", "most"), [(0.0, 1), (float("nan"), 1), (1.0, 0)], ids=["time", "nan", "number"])
def test_a_log_that_would_keep_nothing_is_refused(keep: float, most: int) -> None:
    with pytest.raises(ConfigurationError):
        MemoryEventLog(keep=keep, most=most)
