"""A scripted model plays its steps, streams as a model does, and fails the test when the script does not fit."""

import json
from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.errors import ModelBroke, ModelUnavailable
from assistant_kit.events import Delta, ReasoningToken, RefusalToken, Token
from assistant_kit.messages import AssistantMessage, Item, ProviderItem, Reasoning, ToolCall, user_message
from assistant_kit.protocols.model import Model, ModelRequest, ModelResponse
from assistant_kit.testing.scripted_model import (
    Call,
    CallTools,
    Cut,
    Delay,
    Fail,
    Refuse,
    Say,
    ScriptedModel,
    ScriptMismatch,
    Step,
)
from assistant_kit.usage import Usage

pytestmark = pytest.mark.anyio


async def ask(
    model: Model, text: str = "Hello?", *, stream: bool = True, before: Sequence[Item] = ()
) -> tuple[ModelResponse, list[Delta]]:
    deltas: list[Delta] = []
    with anyio.fail_after(5):
        request = ModelRequest(items=[*before, user_message(text)], stream=stream)
        return await model.respond(request, deltas.append), deltas


async def test_a_text_is_said_and_streamed_word_by_word() -> None:
    with ScriptedModel(["Good  morning, Ada. "]) as model:
        response, deltas = await ask(model)
    assert response.items == (AssistantMessage(text="Good  morning, Ada. "),)
    assert response.finish == "stop"
    assert response.model == model.name == "scripted"
    assert response.usage == Usage(requests=1)
    assert deltas == [Token("Good"), Token("  morning,"), Token(" Ada."), Token(" ")]


async def test_what_is_said_can_come_in_given_pieces_with_usage_and_another_ending() -> None:
    usage = Usage(requests=1, input_tokens=7, output_tokens=3)
    with ScriptedModel([Say("abc", pieces=["a", "bc"], usage=usage, finish="length")], name="echo") as model:
        response, deltas = await ask(model)
    assert (response.text, response.usage, response.finish, response.model) == ("abc", usage, "length", "echo")
    assert deltas == [Token("a"), Token("bc")]


def test_pieces_that_do_not_give_the_text_are_refused_when_the_script_is_written() -> None:
    with pytest.raises(ValueError, match="abc"):
        Say("abc", pieces=["a", "b"])


async def test_nothing_is_emitted_when_nobody_reads_a_stream() -> None:
    steps: list[Step] = ["a", Say("b", pieces=["b"]), Refuse("c"), CallTools(Call("add"), text="d"), Cut(after="e")]
    with ScriptedModel(steps) as model:
        for _ in steps[:-1]:
            _response, deltas = await ask(model, stream=False)
            assert deltas == []
        with pytest.raises(ModelBroke):
            await ask(model, stream=False)


async def test_tool_calls_carry_json_arguments_and_numbered_ids() -> None:
    step = CallTools(Call("add", {"a": 1, "name": "Zoë"}), Call("now"), text="A moment.")
    with ScriptedModel([step, CallTools(Call("add", "{oops", call_id="mine"))]) as model:
        response, deltas = await ask(model)
        assert response.finish == "tool_calls"
        assert response.text == "A moment."
        assert deltas == [Token("A"), Token(" moment.")]
        assert [(call.call_id, call.name) for call in response.tool_calls] == [("call_1", "add"), ("call_2", "now")]
        assert json.loads(response.tool_calls[0].arguments) == {"a": 1, "name": "Zoë"}
        assert response.tool_calls[1].arguments == "{}"
        broken, deltas = await ask(model)
        assert broken.items == (ToolCall(call_id="mine", name="add", arguments="{oops"),)
        assert deltas == []


async def test_ids_of_calls_are_new_to_a_conversation_that_another_model_began() -> None:
    earlier = [
        ToolCall(call_id="call_41", name="add", arguments="{}"),
        ToolCall(call_id="fc_99", name="add", arguments="{}"),
    ]
    with ScriptedModel([CallTools(Call("add"))]) as model:
        response, _ = await ask(model, before=earlier)
    assert response.tool_calls[0].call_id == "call_42"


async def test_a_refusal_is_streamed_as_one() -> None:
    with ScriptedModel([Refuse("I will not.")]) as model:
        response, deltas = await ask(model)
    assert response.items == (AssistantMessage(text="", refusal="I will not."),)
    assert deltas == [RefusalToken("I"), RefusalToken(" will"), RefusalToken(" not.")]


async def test_a_failure_is_raised_before_anything_is_emitted() -> None:
    down = ModelUnavailable("down", model="scripted", status=503)
    with ScriptedModel([Fail(down)]) as model:
        with pytest.raises(ModelUnavailable) as caught:
            await ask(model)
        assert caught.value is down


async def test_a_cut_emits_its_text_and_then_breaks() -> None:
    deltas: list[Delta] = []
    request = ModelRequest(items=[user_message("Hello?")])
    mine = ModelUnavailable("gone", model="scripted")
    with ScriptedModel([Cut(after="The answer is"), Cut(after="x", error=mine)]) as model:
        with anyio.fail_after(5), pytest.raises(ModelBroke) as caught:
            await model.respond(request, deltas.append)
        assert caught.value.model == "scripted"
        assert deltas == [Token("The"), Token(" answer"), Token(" is")]
        with pytest.raises(ModelUnavailable) as other:
            await ask(model)
        assert other.value is mine


async def test_a_delay_waits_on_the_clock_of_the_event_loop() -> None:
    with ScriptedModel([Delay(3600.0, Say("late"))]) as model:
        with anyio.move_on_after(0.01) as scope:
            await ask(model)
        assert scope.cancelled_caught
    with ScriptedModel([Delay(0.001, "soon")]) as model:
        before = anyio.current_time()
        response, _ = await ask(model)
        assert response.text == "soon"
        assert anyio.current_time() - before >= 0.001


async def test_a_function_decides_by_the_request() -> None:
    def echo(request: ModelRequest) -> Step:
        return f"{len(request.items)} item"

    with ScriptedModel([echo]) as model:
        response, _ = await ask(model)
    assert response.text == "1 item"


async def test_a_whole_response_is_given_as_it_is() -> None:
    given = ModelResponse(
        items=(
            Reasoning(text="well then", raw="{}"),
            ProviderItem(type="web_search_call", raw="{}"),
            AssistantMessage(text="So."),
        ),
        usage=Usage(requests=1, reasoning_tokens=9),
        model="other",
    )
    with ScriptedModel([given]) as model:
        response, deltas = await ask(model)
    assert response is given
    assert deltas == [ReasoningToken("well"), ReasoningToken(" then"), Token("So.")]


async def test_requests_are_kept_as_they_were() -> None:
    items: list[Item] = [user_message("first")]
    with ScriptedModel(["a"]) as model:
        await model.respond(ModelRequest(items=items, instructions="Be brief."), lambda _: None)
        items.append(user_message("later"))
    assert model.requests[0].instructions == "Be brief."
    assert list(model.requests[0].items) == [user_message("first")]


async def test_a_step_left_over_fails_the_test() -> None:
    with pytest.raises(ScriptMismatch) as caught, ScriptedModel(["a", "b"], name="eve") as model:
        await ask(model)
    assert (caught.value.name, caught.value.planned, caught.value.asked) == ("eve", 2, 1)


async def test_a_request_beyond_the_end_fails_the_test_even_when_somebody_swallows_the_error() -> None:
    model = ScriptedModel(["a"])
    await ask(model)
    with pytest.raises(ScriptMismatch):
        await ask(model)
    with pytest.raises(ScriptMismatch) as caught, model:
        pass
    assert (caught.value.planned, caught.value.asked) == (1, 2)


async def test_an_exception_of_the_test_is_not_hidden_by_steps_left_over() -> None:
    with pytest.raises(LookupError), ScriptedModel(["a"]):
        raise LookupError


async def test_other_tasks_get_their_turn_between_two_pieces() -> None:
    seen: list[str] = []

    async def watch() -> None:
        for _ in range(3):
            seen.append("watch")
            await checkpoint()

    with ScriptedModel(["a b c"]) as model, anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await model.respond(ModelRequest(items=[user_message("?")]), lambda _: seen.append("piece"))
    assert "watch" in seen[seen.index("piece") :]


async def test_closing_is_noted_and_may_be_repeated() -> None:
    model = ScriptedModel([])
    assert not model.closed
    await model.aclose()
    await model.aclose()
    assert model.closed
