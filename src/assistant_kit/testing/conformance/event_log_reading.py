"""Event logs: who reads gets all, in order, without a gap, or is told."""
# ruff: noqa: S101  (these are tests: assert is the language)

import anyio
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.event_log import Entry, UserEventLog
from assistant_kit.testing.conformance.event_log_workbench import (
    MOST,
    PATIENCE,
    EventLogWorkbench,
    events,
    heard,
    texts,
    told,
)


class EventLogReading(EventLogWorkbench):
    """Reading."""

    async def test_a_reader_gets_what_is_kept_and_then_what_comes(self, log: UserEventLog, other: UserEventLog) -> None:
        """From any object on the place."""
        writer = await log.open("c", fence=1)
        await told(writer, "a", "b")
        for handle in (log, other):
            reader = handle.follow("c")
            assert texts(await heard(reader, 2)) == ["a", "b"]
            await reader.aclose()
        readers = [log.follow("c"), other.follow("c")]
        found: list[list[Entry]] = [[], []]

        async def read(index: int) -> None:
            found[index] = await heard(readers[index], 5)

        async with anyio.create_task_group() as group:
            group.start_soon(read, 0)
            group.start_soon(read, 1)
            await told(writer, "c", "d", "e")
        assert [texts(each) for each in found] == [["a", "b", "c", "d", "e"]] * 2
        for reader in readers:
            await reader.aclose()
            await reader.aclose()

    async def test_a_reader_may_come_before_there_is_anything(self, log: UserEventLog, other: UserEventLog) -> None:
        """Without an id, or with the one that the log gives to who has loaded an empty conversation."""
        for conversation, after in (("c", None), ("d", (await log.standing("d")).mark)):
            reader = log.follow(conversation, after=after)
            with anyio.move_on_after(0.05):
                await reader.next()
            await told(await other.open(conversation, fence=1), "a")
            assert texts(await heard(reader, 1)) == ["a"]
            await reader.aclose()

    async def test_a_reader_goes_on_after_any_id(self, log: UserEventLog) -> None:
        """As often as its connection is lost."""
        writer = await log.open("c", fence=1)
        first = writer.standing.last
        await told(writer, *"abcdef")
        for place in range(7):
            assert texts(await log.read("c", after=first + place)) == list("abcdef"[place:])
        reader = log.follow("c", after=first + 4)
        assert texts(await heard(reader, 2)) == ["e", "f"]
        await reader.aclose()

    async def test_pages_follow_each_other(self, log: UserEventLog) -> None:
        """Each begins after the last id of the one before."""
        await told(await log.open("c", fence=1), *"abcde")
        first = await log.read("c", limit=2)
        second = await log.read("c", after=first[-1].id, limit=2)
        third = await log.read("c", after=second[-1].id, limit=2)
        assert [texts(page) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]

    async def test_giving_up_waiting_loses_nothing(self, log: UserEventLog) -> None:
        """A reader may be cancelled at any time, and asked again."""
        writer = await log.open("c", fence=1)
        reader = log.follow("c")
        found: list[str] = []
        with anyio.fail_after(PATIENCE):
            for text in "abcdefgh":
                for patience in (0, 0.002):
                    with anyio.move_on_after(patience):
                        found += texts(await reader.next())
                await told(writer, text)
            while len(found) < len("abcdefgh"):
                found += texts(await reader.next())
        assert found == list("abcdefgh")
        await reader.aclose()

    async def test_a_reader_who_is_too_late_is_told(self, log: UserEventLog) -> None:
        """The log keeps so many entries; the reset leads to where the journal has what came before."""
        writer = await log.open("c", fence=1)
        start = writer.standing.last
        await told(writer, *(f"old {n}" for n in range(10)))
        await writer.append(events("begin"), mark="before")
        await told(writer, *(f"new {n}" for n in range(MOST - 5)))
        mark = start + 10
        for after in (0, start, start + 3):
            (entry,) = await log.read("c", after=after)
            assert (entry.id, entry.name, entry.data) == (mark, "reset", {"last_event_id": str(mark)})
        assert len(await log.read("c")) == MOST
        reader = log.follow("c", after=start)
        assert texts(await heard(reader, MOST - 5 + 2))[:3] == ["reset", "begin", "new 0"]
        await reader.aclose()

    async def test_a_reset_leads_to_the_end_when_the_log_has_not_all_of_the_turn(self, log: UserEventLog) -> None:
        """There is nothing better than the journal then."""
        writer = await log.open("c", fence=1)
        start = writer.standing.last
        await writer.append(events("begin"), mark="before")
        await told(writer, *(f"new {n}" for n in range(MOST + 5)))
        (entry,) = await log.read("c", after=start)
        assert (entry.name, entry.id) == ("reset", writer.standing.last)

    async def test_ids_that_were_never_given_are_told_from_those_that_were(self, log: UserEventLog) -> None:
        """Of the future, of another life, of a conversation of which nothing is known."""
        writer = await log.open("c", fence=1)
        await told(writer, "a")
        for after in (writer.standing.last + 1, writer.standing.last - 2, 1):
            assert texts(await log.read("c", after=after)) == ["reset"]
        assert texts(await log.read("new", after=17)) == ["reset"]
        assert await log.read("new", after=0) == await log.read("new") == []
        assert texts(await log.read("c", after=0)) == ["a"]

    async def test_a_reader_learns_that_the_events_were_forgotten(self, log: UserEventLog, other: UserEventLog) -> None:
        """And gets what comes then."""
        writer = await log.open("c", fence=1)
        await told(writer, "a", "b")
        reader = log.follow("c")
        await heard(reader, 2)
        await other.forget("c")
        assert texts(await heard(reader, 1)) == ["reset"]
        await told(await other.open("c", fence=1), "c")
        found: list[str] = []
        with anyio.fail_after(PATIENCE):
            while found[-1:] != ["c"]:
                found += texts(await reader.next())
        await reader.aclose()

    @pytest.mark.parametrize(("after", "limit"), [(-1, 1), (None, 0), (0, -1)])
    async def test_what_cannot_be_read_is_refused(self, log: UserEventLog, after: int | None, limit: int) -> None:
        """Ids are not negative, and a page has entries."""
        with pytest.raises(InputError):
            await log.read("c", after=after, limit=limit)

    async def test_many_readers_of_many_conversations_get_theirs(self, log: UserEventLog, other: UserEventLog) -> None:
        """Each all of its own."""
        found: dict[tuple[int, int], list[str]] = {}

        async def read(conversation: int, reader: int) -> None:
            following = (log if reader % 2 else other).follow(f"c{conversation}")
            found[conversation, reader] = texts(await heard(following, 10))
            await following.aclose()

        async def write(conversation: int) -> None:
            await told(await log.open(f"c{conversation}", fence=1), *(f"{conversation}.{n}" for n in range(10)))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for conversation in range(10):
                    for reader in range(4):
                        group.start_soon(read, conversation, reader)
                    group.start_soon(write, conversation)
        assert found == {(c, r): [f"{c}.{n}" for n in range(10)] for c in range(10) for r in range(4)}
