"""Every point at which a worker may lose its store: before and after each write, then another worker goes on."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ConversationNotFound, InputError, StoreUnavailable
from assistant_kit.messages import ToolAnswer, ToolCall
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.run.history import HistoryTurn
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel
from assistant_kit.tool_spec import keyed
from assistant_kit.toolsets.functions import tool
from tests.faulty_store import FaultyStore, When

pytestmark = pytest.mark.anyio
ENOUGH_WRITES = 12


@dataclass
class World:
    """What tools did outside, and a clock for leases."""

    done: Counter[str] = field(default_factory=Counter[str])
    keys: set[str] = field(default_factory=set[str])
    now: float = 1_000.0

    def assistant(self, store: FaultyStore | MemoryStore) -> Assistant[str]:
        @tool(effect="read")
        async def look() -> str:
            self.done["look"] += 1
            return "seen"

        @tool
        async def pay() -> str:
            self.done["pay"] += 1
            return "paid"

        @tool(effect=keyed(3600.0))
        async def send(context: ToolContext) -> str:
            self.done["send"] += 1
            self.keys.add(context.idempotency_key)
            return "sent"

        return Assistant(ScriptedModel([decide] * 20), tools=[look, pay, send], store=store)


def decide(request: ModelRequest) -> CallTools | Say:
    """Ask for all three tools, then for two more, then answer with what became of them."""
    assert_well_formed(request)
    calls = sum(isinstance(item, ToolCall) for item in request.items)
    if calls == 0:
        return CallTools(Call("look"), Call("pay"), Call("send"))
    if calls == 3:
        return CallTools(Call("pay"), Call("look"))
    return Say(" ".join(item.outcome for item in request.items if isinstance(item, ToolAnswer)))


def assert_well_formed(request: ModelRequest) -> None:
    asked = [item.call_id for item in request.items if isinstance(item, ToolCall)]
    answered = [item.call_id for item in request.items if isinstance(item, ToolAnswer)]
    assert sorted(asked) == sorted(answered)
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fail_at", range(1, ENOUGH_WRITES + 1))
async def test_a_worker_that_dies_at_any_write_loses_nothing_and_doubles_nothing(fail_at: int, when: When) -> None:
    world = World()
    store = MemoryStore(clock=lambda: world.now)
    crashed = await dies(world.assistant(FaultyStore(store, fail_at=fail_at, when=when)))
    world.now += 60
    with anyio.fail_after(10):
        turn = await finished(world.assistant(store))
    if turn is None:
        # Nothing was accepted, so nothing was done.
        assert crashed
        assert world.done == Counter()
        return
    assert turn.outcome == "completed"
    assert turn.text.split() == [call.outcome for call in turn.tool_calls]
    assert len(turn.tool_calls) == 5
    # What may be repeated was; a payment reported ok was made exactly once, one reported unknown at most once.
    assert all(call.outcome == "ok" for call in turn.tool_calls if call.tool != "pay")
    paid = [call.outcome for call in turn.tool_calls if call.tool == "pay"]
    assert set(paid) <= {"ok", "unknown"}
    assert paid.count("ok") <= world.done["pay"] <= len(paid)
    assert len(world.keys) == 1
    if not crashed:
        assert world.done == Counter({"look": 2, "pay": 2, "send": 1})


async def dies(assistant: Assistant[str]) -> bool:
    try:
        await assistant.run("go", user="u", conversation="c", request_id="r")
    except StoreUnavailable:
        return True
    return False


async def finished(assistant: Assistant[str]) -> HistoryTurn | None:
    """Go on where the dead worker was, if anything is left to do, and return the turn, if one was accepted."""
    chat = assistant.conversation("c", user="u")
    with suppress(InputError, ConversationNotFound):
        await chat.resume()
    with suppress(ConversationNotFound):
        return next(iter(await chat.history()), None)
    return None


@pytest.mark.parametrize(
    ("fail_at", "outcome"), [(1, None), (2, None), (3, None), (4, None), (5, None), (6, "completed")]
)
async def test_a_write_whose_acknowledgement_is_lost_is_offered_again_and_not_doubled(
    fail_at: int, outcome: str | None
) -> None:
    world = World()
    store = MemoryStore(clock=lambda: world.now)
    flaky = FaultyStore(store, fail_at=fail_at, when="after", once=True)
    assert await dies(world.assistant(flaky))
    (turn,) = await world.assistant(store).conversation("c", user="u").history()
    entries = await store.for_user("u").read("c")
    assert len({record.record_id for record in entries}) == len(entries)
    assert turn.outcome == outcome
