"""Runs that are left, cut off, refused for a while: what is recorded, and that the next run works."""

import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from assistant_kit.errors import DeadlineExceeded, ModelBroke, ModelError, ModelRateLimited, ModelUnavailable
from assistant_kit.events import Event, Retrying
from assistant_kit.toolsets.functions import tool
from tests.end_to_end.talking import (
    WIRES,
    Way,
    assert_all_accepted,
    events_of,
    items,
    opened,
    talk,
    tool_texts,
)
from tests.openai_server import (
    Answer,
    Call,
    Cut,
    ErrorEvent,
    Hang,
    NoTerminal,
    OpenAIServer,
    Reply,
    Request,
    Status,
)

pytestmark = pytest.mark.anyio

every_wire = pytest.mark.parametrize("way", WIRES, ids=str)
streamed_wires = pytest.mark.parametrize("way", [way for way in WIRES if way.streamed], ids=str)
LONG = Answer(pieces=("one ", "two ", "three ", "four"))
MID_TEXT = 6
"""Events of either wire format after which a part of LONG has been sent, and not all."""


async def departed(server: OpenAIServer) -> bool:
    return await anyio.to_thread.run_sync(partial(server.wait_for_departures, 1, 5))


@streamed_wires
async def test_leaving_a_stream_early_closes_the_connection_and_the_turn(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    with anyio.fail_after(10):
        async with opened(server, way, tmp_path) as assistant:
            server.script([Hang(60, after_events=MID_TEXT, answer=LONG), Answer("fine")])
            async with assistant.stream("Count", user="u", conversation="c") as run:
                async for event in run:
                    assert event.kind == "token"
                    break
            assert await departed(server)
            after = await talk(assistant, way, "And now?")
            history = await assistant.conversation("c", user="u").history()
    assert after.output == "fine"
    assert [(turn.outcome, turn.text) for turn in history] == [("cancelled", ""), ("completed", "fine")]
    assert_all_accepted(server)


@every_wire
async def test_cancelling_a_run_closes_the_connection_and_the_turn(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    arrived = threading.Event()

    def silence(_: Request) -> Reply:
        arrived.set()
        return Hang(60)

    async def run() -> None:
        await talk(assistant, way, "Count")

    with anyio.fail_after(10):
        async with opened(server, way, tmp_path) as assistant:
            server.script(silence)
            async with anyio.create_task_group() as group:
                group.start_soon(run)
                assert await anyio.to_thread.run_sync(arrived.wait, 5)
                group.cancel_scope.cancel()
            assert await departed(server)
            server.script([Answer("fine")])
            assert (await talk(assistant, way, "And now?")).output == "fine"
            history = await assistant.conversation("c", user="u").history()
    assert [turn.outcome for turn in history] == ["cancelled", "completed"]


@every_wire
async def test_leaving_while_tools_run_answers_their_calls(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    begun = anyio.Event()

    @tool(effect="read")
    async def look() -> str:
        begun.set()
        await anyio.sleep_forever()
        return ""

    @tool
    async def pay() -> str:
        await anyio.sleep_forever()
        return ""

    with anyio.fail_after(10):
        async with opened(server, way, tmp_path, tools=[look, pay]) as assistant:
            server.script([Answer(tool_calls=(Call("look"), Call("pay")))])
            async with assistant.stream("Go", user="u", conversation="c"):
                await begun.wait()
            server.script([Answer("fine")])
            await talk(assistant, way, "And now?")
            history = await assistant.conversation("c", user="u").history()
    assert [call.outcome for call in history[0].tool_calls] == ["cancelled", "unknown"]
    assert len(tool_texts(server.requests[-1])) == 2
    assert_all_accepted(server)


@every_wire
async def test_a_provider_that_is_busy_for_a_moment_is_asked_again(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    server.script([Status(429, headers={"retry-after": "0.02"}), Status(503), Answer("fine")])
    async with opened(server, way, tmp_path) as assistant:
        result = await talk(assistant, way, "Hello")
        history = await assistant.conversation("c", user="u").history()
    assert result.output == "fine"
    assert result.usage.requests == 1
    assert [turn.outcome for turn in history] == ["completed"]
    assert len({request.raw for request in server.requests}) == 1
    assert len(server.requests) == 3


@streamed_wires
async def test_a_reader_is_told_of_each_new_attempt(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    server.script([Status(429, headers={"retry-after": "0.02"}), Status(503), Answer("fine", pieces=1)])
    async with opened(server, way, tmp_path) as assistant:
        events = await events_of(assistant, "Hello")
    retries = [event for event in events if isinstance(event, Retrying)]
    assert [(retry.attempt, retry.delay) for retry in retries] == [(2, 0.02), (3, 0.0)]
    assert [(type(retry.error), _status(retry.error)) for retry in retries] == [
        (ModelRateLimited, 429),
        (ModelUnavailable, 503),
    ]
    assert [event.kind for event in events[2:]] == ["token", "complete"]


def _status(error: Exception) -> int | None:
    assert isinstance(error, ModelError)
    return error.status


CUTS: dict[str, Reply] = {
    "cut": Cut(MID_TEXT, LONG),
    "without an end": NoTerminal(LONG),
    "an error inside": ErrorEvent(after_events=MID_TEXT, answer=LONG),
}


@streamed_wires
@pytest.mark.parametrize("cut", CUTS)
async def test_a_stream_that_breaks_off_is_an_error_and_never_a_short_answer(
    server: OpenAIServer, tmp_path: Path, way: Way, cut: str
) -> None:
    server.script([CUTS[cut], Answer("fine")])
    async with opened(server, way, tmp_path) as assistant:
        events = await events_of(assistant, "Count")
        assert (await talk(assistant, way, "And now?")).output == "fine"
        history = await assistant.conversation("c", user="u").history()
    assert _text(events).startswith("one ")
    assert events[-1].kind == "error"
    assert isinstance(events[-1].error, ModelBroke)
    assert [(turn.outcome, turn.text) for turn in history] == [("failed", ""), ("completed", "fine")]
    assert "one " not in server.requests[1].raw.decode()
    assert len(server.requests) == 2
    assert_all_accepted(server)


def _text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if event.kind == "token")


@pytest.mark.parametrize("way", [way for way in WIRES if not way.streamed], ids=str)
async def test_a_body_that_breaks_off_is_an_error(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    server.script([Cut(0, LONG), Answer("fine")])
    async with opened(server, way, tmp_path, policies=()) as assistant:
        with pytest.raises(ModelBroke):
            await talk(assistant, way, "Count")
        assert (await talk(assistant, way, "And now?")).output == "fine"
        history = await assistant.conversation("c", user="u").history()
    assert [turn.outcome for turn in history] == ["failed", "completed"]


@every_wire
async def test_a_break_after_tools_have_run_keeps_their_results(server: OpenAIServer, tmp_path: Path, way: Way) -> None:
    ran: list[int] = []

    @tool
    async def pay(amount: int) -> str:
        ran.append(amount)
        return f"paid {amount}"

    cut: Reply = Cut(MID_TEXT, LONG) if way.streamed else Cut(0, LONG)
    calls = Answer(reasoning="think", tool_calls=(Call("pay", {"amount": 1}), Call("pay", {"amount": 2})))
    server.script([calls, cut, Answer("All paid.")])
    async with opened(server, way, tmp_path, tools=[pay], policies=()) as assistant:
        with pytest.raises(ModelBroke):
            await talk(assistant, way, "Pay")
        await talk(assistant, way, "Did you?")
        history = await assistant.conversation("c", user="u").history()
    assert sorted(ran) == [1, 2]
    assert tool_texts(server.requests[2]) == ["paid 1", "paid 2"]
    assert [turn.usage.requests for turn in history] == [1, 1]
    assert [len(turn.tool_calls) for turn in history] == [2, 0]
    assert items(server.requests[2])[: len(items(server.requests[1]))] == items(server.requests[1])
    assert_all_accepted(server)


@every_wire
@pytest.mark.parametrize("begun", [False, True])
async def test_a_silent_provider_costs_no_more_than_the_time_of_the_run(
    server: OpenAIServer, tmp_path: Path, way: Way, *, begun: bool
) -> None:
    server.script([Answer("Hi."), Hang(60, after_events=MID_TEXT if begun else None, answer=LONG), Answer("fine")])
    with anyio.fail_after(10):
        async with opened(server, way, tmp_path) as assistant:
            chat = assistant.conversation("c", user="u")
            await talk(assistant, way, "Hello")  # what is loaded and connected once is not what is timed
            with pytest.raises(DeadlineExceeded) as caught:
                await talk(assistant, way, "Count", timeout=0.3)
            assert await departed(server)
            assert (await talk(assistant, way, "And now?")).output == "fine"
            history = await chat.history()
    assert (caught.value.during, caught.value.timeout) == ("a model call", 0.3)
    assert [turn.outcome for turn in history] == ["completed", "failed", "completed"]
