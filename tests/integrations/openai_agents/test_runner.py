"""The SDK's own runner, asking a server, with its session in a store of this library."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from agents import ModelSettings, SQLiteSession, function_tool
from agents.mcp import MCPServerStreamableHttp
from agents.run_internal.session_persistence import rewind_session_items
from openai import InternalServerError

from assistant_kit.errors import ConversationBusy
from assistant_kit.integrations.openai_agents import StoreSession, run_usage
from assistant_kit.integrations.serving import tool_server
from assistant_kit.settings import LeaseSettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage as RunUsage
from tests.faulty_store import FaultyStore, When
from tests.integrations.openai_agents.driving import PATIENCE, TWO_STEPS, Way, Wire, driving, restored
from tests.integrations.openai_agents.items import call, result, user
from tests.integrations.openai_agents.session_cases import problems
from tests.integrations.serving.hosting import hosted
from tests.openai_server import Answer, Call, OpenAIServer, Status, Usage

pytestmark = pytest.mark.anyio
both_wires = pytest.mark.parametrize("wire", ["responses", "chat"])
both_ways = pytest.mark.parametrize("way", ["whole", "streamed"])


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run on asyncio: the SDK knows no other loop."""
    return "asyncio"


def opened(store: Any, **options: Any) -> StoreSession:
    return StoreSession(store, user="u1", conversation="c1", **options)


@both_wires
@both_ways
async def test_a_conversation_goes_on_in_another_process(tmp_path: Path, wire: Wire, way: Way) -> None:
    with OpenAIServer() as server:
        server.script([*TWO_STEPS, Answer("You are welcome.")])
        for asked in ("Weather?", "Thank you."):
            async with driving(server, wire, way=way) as driver:
                store = SQLiteStore(tmp_path / "chat.db")
                done = await driver.run(asked, opened(store))
                assert await problems(store, opened(store)) == []
                await store.aclose()
        assert done.final_output == "You are welcome."
        assert [request.problem for request in server.requests] == [None] * 3
        sent = server.requests[-1].body["input" if wire == "responses" else "messages"]
        texts = [str(part) for part in sent]
        assert [word for word in ("Weather?", "sunny in Oslo", "Sunny in both.") if any(word in t for t in texts)] == [
            "Weather?",
            "sunny in Oslo",
            "Sunny in both.",
        ]


@both_wires
@both_ways
async def test_it_holds_what_a_session_of_the_sdk_holds(wire: Wire, way: Way) -> None:
    held: list[Any] = []
    for session in (SQLiteSession("c1"), opened(MemoryStore())):
        with OpenAIServer() as server:
            server.script([*TWO_STEPS, Answer("You are welcome.")])
            async with driving(server, wire, way=way) as driver:
                await driver.run("Weather?", session)
                await driver.run("Thank you.", session)
        held.append(await session.get_items())
        if isinstance(session, SQLiteSession):
            session.close()
    assert held[0] == held[1]
    assert len(held[1]) == 9


@both_ways
async def test_a_decision_on_a_call_may_be_made_in_another_process(tmp_path: Path, way: Way) -> None:
    paid: list[int] = []

    @function_tool(needs_approval=True)
    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return f"paid {amount}"

    with OpenAIServer() as server:
        server.script([Answer(tool_calls=(Call("pay", {"amount": 3}, "call_1"),)), Answer("Paid.")])
        store = SQLiteStore(tmp_path / "chat.db")
        async with driving(server, "responses", way=way, tools=[pay]) as driver:
            paused = await driver.run("Pay 3.", opened(store))
            assert len(paused.interruptions) == 1
            state = paused.to_state().to_string()
        async with driving(server, "responses", way=way, tools=[pay]) as driver:
            state_again = await restored(driver, state)
            state_again.approve(state_again.get_interruptions()[0])
            done = await driver.run(state_again, opened(store))
        assert (done.final_output, paid) == ("Paid.", [3])
        kinds = [item.get("type", "message") for item in await opened(store).get_items()]
        assert kinds == ["message", "function_call", "function_call_output", "message"]
        assert await problems(store, opened(store)) == []
        await store.aclose()


async def test_a_server_of_this_library_brings_tools_by_mcp() -> None:
    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    with OpenAIServer() as server, hosted(tool_server([add], name="sums")) as url:
        server.script([Answer(tool_calls=(Call("add", {"a": 2, "b": 3}),)), Answer("5")])
        store = MemoryStore()
        async with (
            MCPServerStreamableHttp({"url": f"{url}/mcp"}) as tools,
            driving(server, "responses", tools=(), mcp_servers=[tools]) as driver,
        ):
            done = await driver.run("2 + 3?", opened(store))
        assert done.final_output == "5"
        [output] = [item for item in await opened(store).get_items() if item.get("type") == "function_call_output"]
        assert "5" in str(output.get("output"))
        assert await problems(store, opened(store)) == []


async def test_a_run_on_a_conversation_that_is_held_asks_no_model() -> None:
    store = MemoryStore()
    await store.for_user("u1").claim("c1", owner="somebody", ttl=60.0)
    with OpenAIServer() as server:
        async with driving(server, "responses") as driver:
            with pytest.raises(ConversationBusy):
                await driver.run("Hello", opened(store, lease=LeaseSettings(on_busy="fail")))
        assert server.requests == []


async def test_after_a_model_that_failed_the_conversation_goes_on() -> None:
    store = MemoryStore()
    with OpenAIServer() as server:
        server.script([TWO_STEPS[0], Status(500), Answer("Hello.")])
        async with driving(server, "responses") as driver:
            with pytest.raises(InternalServerError):
                await driver.run("Weather?", opened(store))
            assert (await driver.run("Hello?", opened(store))).final_output == "Hello."
    assert await problems(store, opened(store)) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fail_at", range(1, 7))
async def test_a_store_that_fails_once_in_a_run_loses_and_doubles_nothing(fail_at: int, when: When) -> None:
    store = MemoryStore()
    faulty = FaultyStore(store, fail_at=fail_at, when=when, once=True)
    with OpenAIServer() as server:
        server.script([*TWO_STEPS, Answer("Hello again.")])
        async with driving(server, "responses") as driver:
            done = await driver.run("Weather?", opened(faulty))
            assert done.final_output == "Sunny in both."
            stored = [item.get("type", "message") for item in await opened(store).get_items()]
            assert stored == ["message", "reasoning", *["function_call"] * 2, *["function_call_output"] * 2, "message"]
            assert faulty.writes == 7
            await driver.run("Hello?", opened(store))
    assert await problems(store, opened(store)) == []


async def test_two_runs_at_once_leave_calls_with_their_results() -> None:
    store = MemoryStore()

    def answer(request: Any) -> Answer:
        sent = str(request.body["input"][-1])
        return (
            Answer("Done.") if "function_call_output" in sent else Answer(tool_calls=(Call("weather", {"city": "x"}),))
        )

    with OpenAIServer(script=answer) as server:
        async with driving(server, "responses") as driver, anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(driver.run, f"Weather {number}?", opened(store))
        assert [request.problem for request in server.requests] == [None] * 8
    items = await opened(store).get_items()
    calls = [place for place, item in enumerate(items) if item.get("type") == "function_call"]
    assert len(items) == 16
    assert [items[place + 1].get("call_id") for place in calls] == [items[place].get("call_id") for place in calls]
    assert await problems(store, opened(store)) == []


async def test_the_sdk_takes_back_what_it_added_before_it_tries_again() -> None:
    store = MemoryStore()
    await opened(store).add_items([user("Hello"), user("Weather?"), call(), result()])  # type: ignore[list-item]
    with anyio.fail_after(PATIENCE):
        await rewind_session_items(opened(store), [user("Weather?"), call(), result()])  # type: ignore[list-item]
    assert await opened(store).get_items() == [user("Hello")]
    assert await problems(store, opened(store)) == []


@both_wires
@both_ways
async def test_what_a_run_used_is_told(wire: Wire, way: Way) -> None:
    used = Usage(input=40, output=10, cached=30, reasoning=5)
    with OpenAIServer() as server:
        server.script(
            [Answer(tool_calls=(Call("weather", {"city": "Oslo"}),), usage=used), Answer("Sunny.", usage=used)]
        )
        # Without `include_usage` the SDK asks no server but OpenAI's for the usage of a stream in Chat Completions.
        async with driving(server, wire, way=way, model_settings=ModelSettings(include_usage=True)) as driver:
            done = await driver.run("Weather?", opened(MemoryStore()))
    assert run_usage(done) == RunUsage(
        requests=2, input_tokens=80, output_tokens=20, cached_tokens=60, reasoning_tokens=10
    )


async def test_what_no_server_tells_is_not_taken_for_nothing() -> None:
    with OpenAIServer() as server:
        server.script([Answer("Hello.", usage=None)])
        async with driving(server, "chat") as driver:
            done = await driver.run("Hello?", opened(MemoryStore()))
    assert not run_usage(done).reported
