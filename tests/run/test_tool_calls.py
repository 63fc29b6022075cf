"""Tool calls: checked, claimed, made side by side, recorded one by one, and told to the model in words."""

import logging
import threading
from collections.abc import Callable, Sequence

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.events import Event
from assistant_kit.messages import AssistantMessage, Image, ToolAnswer, ToolCall, text_of
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.run.result import CallResult, Result
from assistant_kit.settings import RunLimits, Settings
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from assistant_kit.tool_spec import Effect
from assistant_kit.toolsets.functions import FunctionTool, tool
from assistant_kit.usage import Usage

pytestmark = pytest.mark.anyio


async def called(*tools: Callable[..., object], calls: Sequence[Call], settings: Settings | None = None) -> Result[str]:
    with ScriptedModel([CallTools(*calls), "done"]) as model, anyio.fail_after(10):
        return await Assistant(model, tools=tools, settings=settings).run("x")


def outcome(result: Result[str]) -> tuple[str | None, str]:
    (call,) = result.tool_calls
    return call.outcome, call.text


async def test_a_tool_that_raises_becomes_a_result_and_its_details_stay_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @tool
    def pay() -> str:
        raise RuntimeError("password=hunter2")

    with caplog.at_level(logging.ERROR):
        end, text = outcome(await called(pay, calls=[Call("pay")]))
    assert end == "error"
    assert "hunter2" not in text
    assert "hunter2" in caplog.text


async def test_a_tool_error_is_told_to_the_model() -> None:
    @tool
    async def pay() -> str:
        raise ToolError("the card was declined")

    assert outcome(await called(pay, calls=[Call("pay")])) == ("error", "the card was declined")


async def test_an_unknown_outcome_is_told_in_words() -> None:
    @tool
    async def pay() -> str:
        raise OutcomeUnknown("the bank did not answer")

    end, text = outcome(await called(pay, calls=[Call("pay")]))
    assert end == "unknown"
    assert "the bank did not answer" in text


async def test_a_tool_may_report_a_failure_itself() -> None:
    @tool
    async def pay() -> ToolOutput:
        return ToolOutput(content=(), is_error=True)

    assert outcome(await called(pay, calls=[Call("pay")])) == ("error", "")


async def test_a_tool_that_does_not_exist_is_answered_with_those_that_do() -> None:
    @tool
    async def pay() -> str:
        return "paid"

    end, text = outcome(await called(pay, calls=[Call("play")]))
    assert end == "error"
    assert "pay" in text


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", "[" * 100_000])
async def test_arguments_that_are_no_json_object_are_answered_not_raised(arguments: str) -> None:
    @tool
    async def pay() -> str:
        return "paid"

    end, text = outcome(await called(pay, calls=[Call("pay", arguments)]))
    assert end == "error"
    assert "JSON object" in text


async def test_no_arguments_at_all_are_an_empty_object() -> None:
    @tool
    async def pay() -> str:
        return "paid"

    assert outcome(await called(pay, calls=[Call("pay", "")])) == ("ok", "paid")


@pytest.mark.parametrize(("effect", "expected"), [("read", "error"), ("idempotent", "error"), ("once", "unknown")])
async def test_a_tool_that_outlives_its_timeout_is_reported_by_its_effect(effect: Effect, expected: str) -> None:
    @tool(effect=effect, timeout=0.01)
    async def slow() -> str:
        await anyio.sleep_forever()
        return ""

    assert outcome(await called(slow, calls=[Call("slow")]))[0] == expected


async def test_a_sync_tool_that_outlives_its_timeout_does_not_hold_the_run_up() -> None:
    release = threading.Event()

    @tool(timeout=0.01)
    def slow() -> str:
        release.wait(10)
        return ""

    try:
        assert outcome(await called(slow, calls=[Call("slow")]))[0] == "unknown"
    finally:
        release.set()


async def test_a_sync_tool_can_see_that_it_is_cancelled_and_end() -> None:
    ended = threading.Event()

    @tool(timeout=0.3)  # enough for its thread to begin
    def slow(context: ToolContext) -> str:
        waiting = threading.Event()
        try:
            while not waiting.wait(0.001):
                context.check_cancelled()
        finally:
            ended.set()
        return ""

    assert outcome(await called(slow, calls=[Call("slow")]))[0] == "unknown"
    assert await anyio.to_thread.run_sync(ended.wait, 5)


async def test_calls_of_one_step_run_side_by_side_and_are_answered_in_order() -> None:
    arrived = 0
    everyone = anyio.Event()

    @tool(effect="read")
    async def meet(name: str) -> str:
        nonlocal arrived
        arrived += 1
        if arrived == 3:
            everyone.set()
        await everyone.wait()
        return name

    calls = [Call("meet", {"name": name}) for name in "abc"]
    result = await called(meet, calls=calls)
    assert [call.text for call in result.tool_calls] == ["a", "b", "c"]
    answers = [item for item in result.messages if isinstance(item, ToolAnswer)]
    assert [text_of(item.content) for item in answers] == ["a", "b", "c"]


async def test_no_more_calls_run_at_once_than_the_limit() -> None:
    running = peak = 0

    @tool(effect="read")
    async def work(number: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        return number

    calls = [Call("work", {"number": number}) for number in range(7)]
    result = await called(work, calls=calls, settings=Settings(limits=RunLimits(parallel_tools=2)))
    assert peak == 2
    assert [call.text for call in result.tool_calls] == [str(number) for number in range(7)]


async def test_a_failing_call_does_not_disturb_the_others() -> None:
    @tool(effect="read")
    async def work(number: int) -> int:
        if number == 1:
            raise ToolError("no")
        return number

    calls = [Call("work", {"number": number}) for number in range(3)]
    result = await called(work, calls=calls)
    assert [call.outcome for call in result.tool_calls] == ["ok", "error", "ok"]


async def test_a_tool_knows_its_call() -> None:
    seen: list[ToolContext] = []

    @tool
    async def note(text: str, context: ToolContext) -> str:
        seen.append(context)
        return text

    with ScriptedModel([CallTools(Call("note", {"text": "a"}), Call("note", {"text": "b"})), "done"]) as model:
        async with Assistant(model, tools=[note], store="memory:") as assistant:
            await assistant.run("x", user="u", conversation="c", timeout=60)
    assert {(context.user, context.conversation, context.tool) for context in seen} == {("u", "c", "note")}
    assert {context.call_id for context in seen} == {"call_1", "call_2"}
    assert len({context.idempotency_key for context in seen}) == 2
    assert all(context.deadline.remaining(anyio.current_time()) <= 60 for context in seen)


async def test_text_that_cannot_be_stored_is_replaced() -> None:
    @tool
    async def broken() -> str:
        return "a\ud800b"

    assert outcome(await called(broken, calls=[Call("broken")])) == ("ok", "a?b")


async def test_a_picture_without_content_becomes_words() -> None:
    @tool
    async def look() -> Image:
        return Image()

    assert outcome(await called(look, calls=[Call("look")])) == ("ok", "(image without content)")


async def test_calls_without_an_id_or_with_one_twice_get_ids_of_their_own() -> None:
    @tool(effect="read")
    async def echo(text: str) -> str:
        return text

    items = tuple(
        ToolCall(call_id=name, name="echo", arguments=f'{{"text": "{n}"}}') for n, name in enumerate(["", "x", "x"])
    )
    said = AssistantMessage(text="Well.")
    response = ModelResponse(items=(said, *items), usage=Usage(requests=1), model="m")
    with ScriptedModel([response, "done"]) as model:
        result = await Assistant(model, tools=[echo]).run("x")
    assert result.messages[1] is said
    assert [call.text for call in result.tool_calls] == ["0", "1", "2"]
    assert len({call.call_id for call in result.tool_calls}) == 3


async def test_the_reader_sees_each_call_and_its_result() -> None:
    @tool(effect="read")
    async def echo(text: str) -> str:
        return text

    events: list[Event] = []
    with ScriptedModel([CallTools(Call("echo", {"text": "a"}), Call("echo", "{")), "done"]) as model:
        async with Assistant(model, tools=[echo]).stream("x") as run:
            events = [event async for event in run]
    requests = [(event.call_id, event.arguments) for event in events if event.kind == "tool_request"]
    assert requests == [("call_1", {"text": "a"}), ("call_2", None)]
    results = {e.call_id: (e.tool, e.outcome) for e in events if e.kind == "tool_result"}
    assert results == {"call_1": ("echo", "ok"), "call_2": ("echo", "error")}
    assert [e.text for e in events if e.kind == "tool_result" and e.outcome == "ok"] == ["a"]


@pytest.fixture
def deletions() -> list[str]:
    return []


@pytest.fixture
def delete(deletions: list[str]) -> FunctionTool[[str], str]:
    @tool(needs_approval=True)
    def delete(name: str) -> str:
        deletions.append(name)
        return f"deleted {name}"

    return delete


async def test_a_call_that_needs_approval_waits_and_is_made_when_approved(
    delete: FunctionTool[[str], str], deletions: list[str]
) -> None:
    with ScriptedModel([CallTools(Call("delete", {"name": "a"})), "Gone."]) as model:
        async with Assistant(model, tools=[delete], store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            async with chat.stream("Delete a") as run:
                events = [event async for event in run]
                waiting = await run.result()
            assert [event.kind for event in events] == ["approval_required", "complete"]
            assert (waiting.status, waiting.output, deletions) == ("waiting", None, [])
            assert [call.tool for call in waiting.waiting_for] == ["delete"]
            await chat.approve("call_1", by="ann")
            result = await chat.resume()
            assert [turn.outcome for turn in await chat.history()] == ["completed"]
    assert (result.status, result.output, deletions) == ("completed", "Gone.", ["a"])


async def test_a_denied_call_is_not_made_and_the_model_is_told(
    delete: FunctionTool[[str], str], deletions: list[str]
) -> None:
    with ScriptedModel([CallTools(Call("delete", {"name": "a"})), "Kept."]) as model:
        async with Assistant(model, tools=[delete], store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            await chat.run("Delete a")
            await chat.deny("call_1")
            async with chat.stream_resumed() as run:
                result = await run.result()
    assert (result.output, deletions) == ("Kept.", [])
    assert [call.outcome for call in result.tool_calls] == ["denied"]


async def test_other_calls_of_the_step_are_made_while_one_waits(
    delete: FunctionTool[[str], str], deletions: list[str]
) -> None:
    made: list[str] = []

    @tool
    def note(text: str) -> str:
        made.append(text)
        return "noted"

    step = CallTools(Call("note", {"text": "n"}), Call("delete", {"name": "a"}), Call("delete", {"name": "b"}))
    with ScriptedModel([step, "done"]) as model:
        async with Assistant(model, tools=[note, delete], store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            await chat.run("x")
            assert made == ["n"]
            await chat.approve("call_2")
            again = await chat.resume()
            assert [call.call_id for call in again.waiting_for] == ["call_3"]
            await chat.approve("call_3")
            result = await chat.resume()
    assert result.status == "completed"
    assert (made, deletions) == (["n"], ["a", "b"])


async def test_a_one_off_run_cannot_wait_for_approval(delete: FunctionTool[[str], str], deletions: list[str]) -> None:
    end, _ = outcome(await called(delete, calls=[Call("delete", {"name": "a"})]))
    assert (end, deletions) == ("denied", [])


async def test_a_call_that_is_cancelled_is_recorded_by_its_effect() -> None:
    started = anyio.Event()
    outcomes: list[CallResult] = []

    @tool(effect="read")
    async def look() -> str:
        await anyio.sleep_forever()
        return ""

    @tool
    async def pay() -> str:
        started.set()
        await anyio.sleep_forever()
        return ""

    with ScriptedModel([CallTools(Call("look"), Call("pay"))]) as model, anyio.fail_after(10):
        async with Assistant(model, tools=[look, pay], store="memory:") as assistant:
            chat = assistant.conversation("c", user="u")
            async with chat.stream("x"):
                await started.wait()
            (turn,) = await chat.history()
            outcomes.extend(turn.tool_calls)
    assert turn.outcome == "cancelled"
    assert [call.outcome for call in outcomes] == ["cancelled", "unknown"]
