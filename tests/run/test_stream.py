"""Reading a run while it goes on, and leaving it."""

import asyncio

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import InputError, ModelBroke
from assistant_kit.events import Event, TextRetracted
from assistant_kit.run.result import Result
from assistant_kit.run.stream import RunStream
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Delay, Fail, ScriptedModel
from assistant_kit.toolsets.functions import tool

pytestmark = pytest.mark.anyio


async def test_tokens_come_as_they_are_made_and_the_last_event_is_complete() -> None:
    with ScriptedModel(["Hello there friend"]) as model:
        async with Assistant(model).stream("x") as run:
            events = [event async for event in run]
            result = await run.result()
    assert [event.text for event in events if event.kind == "token"] == ["Hello", " there", " friend"]
    last = events[-1]
    assert last.kind == "complete"
    assert (last.output, last.usage) == (result.output, result.usage)
    assert model.requests[0].stream


async def test_a_token_arrives_before_the_next_one_is_made() -> None:
    go_on = anyio.Event()

    @tool
    async def wait() -> str:
        await go_on.wait()
        return ""

    with ScriptedModel([CallTools(Call("wait"), text="Wait"), "done"]) as model, anyio.fail_after(10):
        async with Assistant(model, tools=[wait]).stream("x") as run:
            first = await anext(run)
            assert first.kind == "token"
            go_on.set()
            assert [event.kind async for event in run] == ["tool_request", "tool_result", "token", "complete"]


async def test_a_failed_run_ends_with_an_error_event_and_raises_it() -> None:
    broke = ModelBroke("cut", model="m")
    events: list[Event] = []
    with ScriptedModel([Cut(after="Hel lo", error=broke)]) as model:
        async with Assistant(model).stream("x") as run:
            with pytest.raises(ModelBroke):  # noqa: PT012  (what came before the error is looked at, too)
                async for event in run:
                    events.append(event)  # noqa: PERF401  (a comprehension would lose them)
            with pytest.raises(ModelBroke):
                await run.result()
    assert [event.kind for event in events] == ["token", "token", "text_retracted", "error"]
    assert events[2] == TextRetracted(text="Hel lo")


async def test_a_bug_leaves_through_the_reader() -> None:
    with ScriptedModel([Fail(KeyError("bug"))]) as model:
        async with Assistant(model).stream("x") as run:
            with pytest.raises(KeyError):
                await run.result()


async def test_leaving_early_stops_the_work_closes_the_turn_and_frees_the_conversation() -> None:
    with ScriptedModel([Delay(3600, "never"), "now"]) as model, anyio.fail_after(10):
        async with Assistant(model, store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            async with chat.stream("one"):
                while not model.requests:
                    await anyio.lowlevel.checkpoint()
            result = await chat.run("two")
            assert [turn.outcome for turn in await chat.history()] == ["cancelled", "completed"]
    assert result.output == "now"


async def test_an_error_in_the_body_leaves_as_itself() -> None:
    async def read() -> None:
        async with Assistant(model).stream("x"):
            while not model.requests:
                await anyio.lowlevel.checkpoint()
            raise ZeroDivisionError

    with ScriptedModel([Delay(3600, "never")]) as model, anyio.fail_after(10), pytest.raises(ZeroDivisionError):
        await read()


async def test_cancelling_the_reader_stops_the_run() -> None:
    with ScriptedModel([Delay(3600, "never")]) as model:
        async with Assistant(model, store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            with anyio.move_on_after(0.05) as scope:
                async with chat.stream("x") as run:
                    async for _ in run:
                        pass
            assert scope.cancelled_caught
            assert [turn.outcome for turn in await chat.history()] == ["cancelled"]


async def test_a_stream_is_entered_once_and_before_it_is_read() -> None:
    with ScriptedModel(["x"]) as model:
        stream = Assistant(model).stream("x")
        with pytest.raises(InputError):
            await anext(stream)
        async with stream:
            with pytest.raises(InputError):
                await stream.__aenter__()
            await stream.result()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_stream_whose_run_is_stopped_by_the_event_loop_ends() -> None:
    """`Task.cancel()` reaches the run before its reader, who waits for nothing more."""

    async def stopped(_: object) -> Result[str]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.sleep(60)
        raise NotImplementedError

    with anyio.fail_after(5):
        async with RunStream(stopped) as run:
            assert [event async for event in run] == []
