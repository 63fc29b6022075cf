"""Event logs: what is written, by whom, and what becomes of a turn that is to be stopped."""
# ruff: noqa: S101  (these are tests: assert is the language)

import anyio
import pytest

from assistant_kit.errors import LeaseLost
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.event_log import NewEvent, Standing, UserEventLog
from assistant_kit.testing.conformance.event_log_workbench import PATIENCE, EventLogWorkbench, events, texts, told


class EventLogWriting(EventLogWorkbench):
    """Writing."""

    async def test_ids_grow_by_one_from_entry_to_entry(self, log: UserEventLog) -> None:
        """In a batch, from batch to batch, and from writer to writer."""
        writer = await log.open("c", fence=1)
        first = writer.standing.last
        assert first > 0
        assert await writer.append(events("a", "b", "c")) == first + 3
        assert await writer.append(events("d")) == first + 4
        writer = await log.open("c", fence=2)
        assert await writer.append(events("e")) == first + 5
        entries = await log.read("c")
        assert [entry.id for entry in entries] == list(range(first + 1, first + 6))
        assert texts(entries) == ["a", "b", "c", "d", "e"]

    async def test_data_come_back_as_they_were(self, log: UserEventLog) -> None:
        """Whatever JSON knows."""
        data: JsonObject = {
            "text": "a\nb\r\n\u2028 💧\x00",
            "n": None,
            "list": [1, 2.5, True, {"deep": []}],
            "": "\n\n",
        }
        event = NewEvent(name="tool_result", data=data)
        await (await log.open("c", fence=1)).append([event])
        (entry,) = await log.read("c")
        assert (entry.name, entry.data) == (event.name, data)

    async def test_who_was_overtaken_adds_nothing(self, log: UserEventLog, other: UserEventLog) -> None:
        """The newest lease on the journal writes."""
        old = await log.open("c", fence=1)
        await told(old, "a")
        new = await other.open("c", fence=2)
        with pytest.raises(LeaseLost) as caught:
            await old.append(events("x"))
        assert caught.value.conversation == "c"
        await told(new, "b")
        with pytest.raises(LeaseLost):
            await old.append(events("x"), mark="after")
        assert texts(await log.read("c")) == ["a", "b"]

    async def test_who_comes_late_with_an_old_lease_does_not_get_in(
        self, log: UserEventLog, other: UserEventLog
    ) -> None:
        """A worker that was frozen takes nothing from the one that has gone on."""
        new = await other.open("c", fence=7)
        with pytest.raises(LeaseLost):
            await log.open("c", fence=6)
        await told(new, "a")
        again = await log.open("c", fence=7)
        await told(again, "b")
        assert texts(await log.read("c")) == ["a", "b"]

    async def test_a_batch_that_is_written_again_is_not_doubled(self, log: UserEventLog) -> None:
        """As its acknowledgement was lost."""
        written = await log.open("c", fence=1)
        unsure = await log.open("c", fence=1)
        last = await written.append(events("a", "b"), mark="before")
        assert await unsure.append(events("a", "b"), mark="before") == last
        assert unsure.standing == written.standing
        await told(unsure, "c")
        assert texts(await log.read("c")) == ["a", "b", "c"]

    async def test_the_mark_stands_where_the_journal_has_all_that_came_before(self, log: UserEventLog) -> None:
        """It moves as turns begin and end."""
        assert await log.standing("c") == Standing()
        writer = await log.open("c", fence=1)
        first = writer.standing.last
        assert writer.standing == await log.standing("c") == Standing(last=first, mark=first)
        await writer.append(events("a"))
        await writer.append(events("b", "c"), mark="before")
        assert writer.standing == await log.standing("c") == Standing(last=first + 3, mark=first + 1)
        await writer.append(events("d"))
        assert writer.standing.mark == first + 1
        await writer.append(events("e"), mark="after")
        assert writer.standing == await log.standing("c") == Standing(last=first + 5, mark=first + 5)

    async def test_ids_go_on_when_the_events_were_forgotten_in_the_middle(self, log: UserEventLog) -> None:
        """The writer is told by the mark."""
        writer = await log.open("c", fence=1)
        last = await writer.append(events("a", "b"), mark="before")
        await log.forget("c")
        assert await writer.append(events("c")) == last + 1
        assert writer.standing == Standing(last=last + 1, mark=last)
        assert [entry.id for entry in await log.read("c")] == [last + 1]

    async def test_who_writes_learns_that_a_turn_is_to_be_stopped(self, log: UserEventLog, other: UserEventLog) -> None:
        """Wherever that is said; and who goes on with the turn learns it, too."""
        writer = await log.open("c", fence=1)
        await writer.append(events("a"), mark="before")
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(writer.stop_asked)
                await anyio.wait_all_tasks_blocked()
                await other.ask_stop("c")
            successor = await other.open("c", fence=2)
            await successor.stop_asked()

    @pytest.mark.parametrize("mark", ["before", "after"])
    async def test_a_stop_concerns_one_turn(self, log: UserEventLog, mark: str) -> None:
        """The next one goes on, and so does a conversation of which nothing is known."""
        await log.ask_stop("new")
        await log.ask_stop("c")
        writer = await log.open("c", fence=1)
        await log.ask_stop("c")
        await writer.append(events("a"), mark="before" if mark == "before" else "after")
        with anyio.move_on_after(0.1) as waited:
            await writer.stop_asked()
        assert waited.cancelled_caught
