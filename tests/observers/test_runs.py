"""Observers that are given to an assistant are told of its runs."""

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import StepLimitExceeded
from assistant_kit.messages import Text, UserMessage
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.protocols.observer import (
    ApprovalAsked,
    Compacted,
    ModelCallBegan,
    ModelCallEnded,
    RunBegan,
    RunEnded,
    ToolAnswered,
    ToolCallBegan,
)
from assistant_kit.resilience import Policies
from assistant_kit.settings import RunLimits, Settings, WindowSettings
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import Call, CallTools, Delay, Say, ScriptedModel
from assistant_kit.toolsets.functions import tool
from assistant_kit.usage import Usage
from tests.observers.collected import Collected
from tests.observers.kept import Kept
from tests.policies.timing import LOOPS, in_virtual_time

pytestmark = pytest.mark.anyio
USED = Usage(requests=1, input_tokens=100, output_tokens=10)


@tool(effect="read")
def look(what: str) -> str:
    """Look."""
    return f"seen: {what}"


@tool(needs_approval=True)
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


async def test_a_turn_is_told_from_its_beginning_to_its_end() -> None:
    kept, reading = Kept(), Kept(content=True)
    steps = [CallTools(Call("look", {"what": "it"}), Call("made_up"), usage=USED), Say("Seen.", usage=USED)]
    model = ScriptedModel(steps, name="openai:gpt-5.6-luna")
    settings = Settings(name="helper")
    async with Assistant(
        model, tools=[look], store="memory:", settings=settings, policies=Policies(observers=[kept, reading])
    ) as assistant:
        result = await assistant.run("Look", user="ann", conversation="c1")

    began, ended = kept.only(RunBegan), kept.only(RunEnded)
    assert (began.run, began.assistant, began.user, began.conversation) == (result.turn, "helper", "ann", "c1")
    assert (began.model, began.streams, began.messages) == ("openai:gpt-5.6-luna", False, None)
    assert (ended.status, ended.error, ended.usage) == ("completed", "", result.usage)
    assert ended.cost == sum(it.cost or 0 for it in kept.of(ModelCallEnded)) > 0
    assert {it.began.run for it in kept.of(ModelCallEnded)} == {result.turn}
    assert sorted((it.tool, it.outcome) for it in kept.of(ToolAnswered)) == [("", "error"), ("look", "ok")]
    assert kept.only(ToolCallBegan).call_id == result.tool_calls[0].call_id
    assert kept.told[0] == "run_began"
    assert kept.told[-1] == "run_ended"
    assert reading.only(RunBegan).messages == (UserMessage(content=(Text(text="Look"),)),)
    assert reading.only(RunEnded).messages == result.messages


async def test_a_turn_that_waits_ends_and_goes_on_as_another_run() -> None:
    kept = Kept()
    model = ScriptedModel([CallTools(Call("pay", {"amount": 5}), usage=USED), Say("Paid.", usage=USED)], name="m")
    async with Assistant(model, tools=[pay], store="memory:", policies=Policies(observers=[kept])) as assistant:
        waiting = await assistant.run("Pay", user="ann", conversation="c1")
        conversation = assistant.conversation("c1", user="ann")
        await conversation.approve(waiting.waiting_for[0].call_id)
        done = await conversation.resume()

    assert [(it.status, it.usage) for it in kept.of(RunEnded)] == [("waiting", USED), ("completed", USED)]
    assert done.usage == USED + USED
    assert [it.run for it in kept.of(RunBegan)] == [waiting.turn, waiting.turn]
    assert (kept.only(ApprovalAsked).tool, kept.only(ToolAnswered).outcome) == ("pay", "ok")


async def test_a_turn_that_fails_is_told_by_its_error() -> None:
    kept = Kept()
    model = ScriptedModel([CallTools(Call("look", {"what": "it"}))], name="m")
    settings = Settings(limits=RunLimits(max_steps=1))
    with pytest.raises(StepLimitExceeded):
        await Assistant(model, tools=[look], settings=settings, policies=Policies(observers=[kept])).run("Look")

    assert (kept.only(RunEnded).status, kept.only(RunEnded).error) == ("failed", "StepLimitExceeded")


async def test_a_stream_that_is_left_is_a_run_that_was_cancelled() -> None:
    kept = Kept()
    model = ScriptedModel([Delay(3600, "late")], name="m")
    assistant = Assistant(model, policies=Policies(observers=[kept]))

    with anyio.fail_after(5):
        async with assistant.stream("Hello"):
            while not kept.of(ModelCallBegan):
                await anyio.lowlevel.checkpoint()

    assert kept.told == ["run_began", "model_call_began", "model_call_ended", "run_ended"]
    assert kept.only(RunEnded).status == "cancelled"


@pytest.mark.parametrize("loop", LOOPS)
def test_what_was_added_to_the_first_token_is_told_and_an_attempt_that_took_too_long_is_an_error(loop: str) -> None:
    kept = Kept()
    model = ScriptedModel([Delay(60, "late"), Delay(2, "It rains.")], name="m")
    policies = Policies(observers=[kept], timeouts=Timeouts(attempt=10))

    async def main() -> None:
        async with Assistant(model, policies=policies).stream("Rain?") as run:
            await run.result()

    in_virtual_time(loop, main)
    first, second = kept.of(ModelCallEnded)
    assert (first.status, first.error, first.seconds) == ("error", "ModelTimeout", 10)
    assert (second.status, second.first_token) == ("ok", 2)
    ended = kept.only(RunEnded)
    assert ended.first_token is not None
    assert ended.added == ended.first_token - 2 >= 10


async def test_a_window_that_is_made_smaller_is_told() -> None:
    kept = Kept()
    model = ScriptedModel(["word " * 300] * 8, name="m")
    settings = Settings(window=WindowSettings(max_tokens=1500, reserved_output=500))
    async with Assistant(
        model, store=MemoryStore(), settings=settings, policies=Policies(observers=[kept])
    ) as assistant:
        for _ in range(8):
            await assistant.run("Say something long", user="ann", conversation="c1")

    assert kept.of(Compacted)
    assert {it.run for it in kept.of(Compacted)} <= {it.run for it in kept.of(RunBegan)}


async def test_a_nested_assistant_stands_below_the_tool_that_asks_it() -> None:
    collected = Collected()
    observer = collected.observer()
    inner = Assistant(
        ScriptedModel(["Inside."], name="inner"),
        settings=Settings(name="inner"),
        policies=Policies(observers=[observer]),
    )
    model = ScriptedModel([CallTools(Call("ask", {"message": "it"})), "Outside."], name="outer")
    async with Assistant(
        model,
        tools=[inner.as_tool(name="ask", description="Ask.")],
        settings=Settings(name="outer"),
        policies=Policies(observers=[observer]),
    ) as assistant:
        await assistant.run("Hello")

    assert collected.tree() == {
        ("chat inner", "invoke_agent inner"),
        ("invoke_agent inner", "execute_tool ask"),
        ("execute_tool ask", "invoke_agent outer"),
        ("chat outer", "invoke_agent outer"),
        ("invoke_agent outer", None),
    }
