"""A worker loses its store at any write, another one goes on: what it sends is what a strict provider takes."""

from collections import Counter
from dataclasses import dataclass, field

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import StoreError
from assistant_kit.protocols.store import Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.toolsets.functions import tool
from tests.end_to_end.talking import WIRES, Way, assert_all_accepted, items, model_for, talk
from tests.faulty_store import FaultyStore, When
from tests.openai_server import Answer, Call, OpenAIServer, Reply, Request

pytestmark = pytest.mark.anyio
ENOUGH_WRITES = 9


@dataclass
class World:
    """What tools did outside, and a clock for leases."""

    server: OpenAIServer
    way: Way
    done: Counter[str] = field(default_factory=Counter[str])
    now: float = 1_000.0

    def assistant(self, store: Store) -> Assistant[str]:
        @tool(effect="read")
        async def look() -> str:
            return "seen"

        @tool
        async def pay() -> str:
            self.done["pay"] += 1
            return "paid"

        return Assistant(model_for(self.way, self.server), tools=[look, pay], store=store, policies=())


def reply(request: Request) -> Reply:
    """Ask for two calls, for one more, then answer."""
    steps = 0
    for item in reversed(items(request)):
        if item.get("role") == "user":
            break
        steps += item.get("type") == "reasoning" or bool(item.get("tool_calls"))
    if steps == 0:
        return Answer(reasoning="first", tool_calls=(Call("look"), Call("pay")))
    if steps == 1:
        return Answer("one moment", reasoning="second", tool_calls=(Call("look"),))
    return Answer("done", reasoning="third")


@pytest.mark.parametrize("way", WIRES, ids=str)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_whatever_write_is_lost_the_next_worker_sends_whole_steps(
    server: OpenAIServer, way: Way, when: When
) -> None:
    server.script(reply)
    for fail_at in range(1, ENOUGH_WRITES):
        world = World(server, way)
        journal = MemoryStore(clock=lambda world=world: world.now)
        with anyio.fail_after(10):
            first = world.assistant(FaultyStore(journal, fail_at=fail_at, when=when))
            try:
                await talk(first, way, "Go")
            except StoreError:
                world.now += 60.0
            await first.model.aclose()
            second = world.assistant(journal)
            result = await talk(second, way, "Again")
            history = await second.conversation("c", user="u").history()
            await second.model.aclose()
        assert_all_accepted(server)
        assert result.output == "done"
        assert [turn.outcome for turn in history] == ["completed"] * len(history)
        assert [turn.input for turn in history][-1] == "Again"
        # Once for each of the user's messages that is on record, and never twice.
        assert world.done["pay"] <= len(history)
        assert [turn.usage.requests for turn in history] == [3] * len(history)
