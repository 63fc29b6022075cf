"""A journal answers from its record, keeps its order, and offers again what was not confirmed."""

from dataclasses import replace
from typing import Any

import pytest

from assistant_kit.conversation import measure
from assistant_kit.entries import Entry, Measured, ModelResponded, ToolFinished, ToolNoted, TurnFinished, TurnStarted
from assistant_kit.errors import InputError, StoreUnavailable
from assistant_kit.messages import Text, UserMessage
from assistant_kit.protocols.store import Store
from assistant_kit.replay import Record, record_of
from assistant_kit.runtimes.journal import Journal
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.usage import Usage
from tests.faulty_store import FaultyStore

pytestmark = pytest.mark.anyio
STARTED = TurnStarted(turn="t", input=UserMessage(content=(Text(text="x"),)))
ANSWERED = ModelResponded(turn="t", step=1, model="m", items=(), usage=Usage())
BOOKED = ToolFinished(turn="t", key="1.0", call_id="a", tool="book", outcome="ok", content=(Text(text="booked"),))
NOTED = ToolNoted(turn="t", key="1.0", call_id="a", note="n")
FAILED = TurnFinished(turn="t", outcome="failed", usage=Usage())


def measured(entry: Entry) -> Measured:
    return measure(entry, UpperBound())


async def begun(store: Store, record: Record | None = None) -> Journal:
    user = store.for_user("u")
    journal = Journal(user, await user.claim("c", owner="w", ttl=60), record=record)
    await journal.begin(measured(STARTED), record_id="t/turn_started")
    return journal


async def kinds(store: MemoryStore) -> list[str]:
    return [record.kind for record in await store.for_user("u").read("c")]


async def book(connection: Any) -> Measured:
    connection["1A"] = "u"
    return measured(BOOKED)


async def answer() -> Measured:
    return measured(ANSWERED)


async def test_a_transaction_that_is_on_record_is_not_made_again() -> None:
    store = MemoryStore()
    journal = await begun(store, record_of([measured(STARTED), measured(BOOKED)]))
    assert (await journal.transact("1.0", book)).entry == BOOKED
    assert store.tables == {}


async def test_what_was_not_confirmed_is_written_before_a_transaction() -> None:
    store = MemoryStore()
    journal = await begun(FaultyStore(store, fail_at=3, once=True))
    with pytest.raises(StoreUnavailable):
        await journal.note(NOTED)
    assert (await journal.transact("1.0", book)).entry == BOOKED
    assert await kinds(store) == ["turn_started", "tool_noted", "tool_finished"]
    assert store.tables == {"1A": "u"}


async def test_what_waits_is_kept_when_a_transaction_fails() -> None:
    store = MemoryStore()
    journal = await begun(FaultyStore(store, fail_at=3, once=True))
    await journal.step("1", answer)
    with pytest.raises(StoreUnavailable):
        await journal.transact("1.0", book)
    await journal.finish(FAILED)
    assert await kinds(store) == ["turn_started", "model_responded", "turn_finished"]
    assert store.tables == {}


async def test_a_result_that_waits_to_be_written_is_the_result_of_its_call_also_when_the_turn_ends() -> None:
    async def booked() -> Measured:
        return measured(BOOKED)

    async def cancelled() -> Measured:
        return measured(replace(BOOKED, outcome="cancelled"))

    store = MemoryStore()
    faulty = FaultyStore(store, fail_at=3)
    journal = await begun(faulty)
    for write in (journal.note(NOTED), journal.step("1.0", booked)):
        with pytest.raises(StoreUnavailable):
            await write
    faulty.fail_at = 0
    assert (await journal.step("1.0", cancelled)).entry == BOOKED
    await journal.finish(FAILED)
    assert await kinds(store) == ["turn_started", "tool_noted", "tool_finished", "turn_finished"]


async def test_what_a_store_refuses_is_not_offered_for_ever() -> None:
    store = MemoryStore()
    journal = await begun(store)
    await journal.step("1", answer)
    await journal.step("2", answer)  # two records of one id
    with pytest.raises(InputError):
        await journal.note(NOTED)
    await journal.finish(FAILED)
    assert await kinds(store) == ["turn_started", "turn_finished"]
