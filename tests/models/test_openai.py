"""Both wire formats, streamed and not: what a model makes of answers, and what it sends the next time."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from assistant_kit.errors import (
    ContextOverflow,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
)
from assistant_kit.messages import AssistantMessage, ProviderItem, Reasoning, Text, ToolAnswer, ToolCall
from assistant_kit.models.openai import OpenAI, OpenAIChat, OpenAIResponses
from assistant_kit.usage import Usage
from tests.models.openai_asking import BOTH, HI, Kind, answers, ask, connected
from tests.openai_server import (
    Answer,
    Behaviour,
    BrokenJson,
    Call,
    Cut,
    ErrorEvent,
    Failed,
    Incomplete,
    NoTerminal,
    OpenAIServer,
    Reply,
    Status,
)
from tests.openai_server import Usage as Reported

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("kind", BOTH)
streamed_or_not = pytest.mark.parametrize("stream", [True, False])
CALLS = Answer(tool_calls=(Call("weather", {"city": "Oslo"}), Call("time", '{"zone": "UTC"}', "call_of_mine")))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@both
@streamed_or_not
async def test_text_comes_whole_and_in_tokens(server: OpenAIServer, kind: Kind, *, stream: bool) -> None:
    text = 'Grüße, "Oslo"!\n\tA \\ and 🌧️, and then plain words that come as they are.'
    server.script([Answer(text, pieces=12)])
    async with connected(kind, server) as model:
        asked = await ask(model, stream=stream)
    assert asked.response.text == text
    assert asked.text == (text if stream else "")
    assert (asked.response.finish, asked.response.model) == ("stop", "m")


@both
@pytest.mark.parametrize("one_write_an_event", [True, False])
async def test_a_long_stream_loses_no_token(kind: Kind, *, one_write_an_event: bool) -> None:
    pieces = tuple(f" word{n}" if n % 7 else f' "{n}"\n' for n in range(1500))
    with OpenAIServer(Behaviour(one_write_an_event=one_write_an_event)) as server:
        server.script([Answer(pieces=pieces)])
        async with connected(kind, server) as model:
            asked = await ask(model)
    assert [delta.text for delta in asked.deltas] == list(pieces)
    assert asked.response.text == "".join(pieces)


@both
@streamed_or_not
async def test_several_tool_calls_come_in_order(server: OpenAIServer, kind: Kind, *, stream: bool) -> None:
    server.script([CALLS])
    async with connected(kind, server) as model:
        response = (await ask(model, stream=stream)).response
    assert [(call.name, json.loads(call.arguments)) for call in response.tool_calls] == [
        ("weather", {"city": "Oslo"}),
        ("time", {"zone": "UTC"}),
    ]
    assert response.tool_calls[1].call_id == "call_of_mine"
    assert response.finish == "tool_calls"
    assert response.text == ""


@both
@streamed_or_not
async def test_a_refusal_is_told_from_text(server: OpenAIServer, kind: Kind, *, stream: bool) -> None:
    server.script([Answer(refusal="I will not."), Answer("ok")])
    async with connected(kind, server) as model:
        asked = await ask(model, stream=stream)
        assert asked.response.items[0].kind == "assistant"
        (item,) = asked.response.items
        assert isinstance(item, AssistantMessage)
        assert (item.text, item.refusal) == ("", "I will not.")
        assert asked.refusal == ("I will not." if stream else "")
        assert (await ask(model, HI, item, HI)).response.text == "ok"


@both
@streamed_or_not
async def test_reasoning_is_shown(server: OpenAIServer, kind: Kind, *, stream: bool) -> None:
    server.script([Answer("Rain.", reasoning="It is Bergen.")])
    async with connected(kind, server) as model:
        asked = await ask(model, stream=stream)
    thought, said = asked.response.items
    assert isinstance(thought, Reasoning)
    assert isinstance(said, AssistantMessage)
    assert thought.text == "It is Bergen."
    assert asked.thought == ("It is Bergen." if stream else "")


@both
@streamed_or_not
async def test_usage_is_as_reported(server: OpenAIServer, kind: Kind, *, stream: bool) -> None:
    server.script([Answer("x", usage=Reported(input=10, output=5, cached=4, reasoning=3)), Answer("y", usage=None)])
    async with connected(kind, server) as model:
        assert (await ask(model, stream=stream)).response.usage == Usage(
            requests=1, input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=3
        )
        assert (await ask(model, stream=stream)).response.usage == Usage(requests=1, reported=False)


@both
@streamed_or_not
async def test_a_conversation_of_many_steps_is_accepted(server: OpenAIServer, kind: Kind, *, stream: bool) -> None:
    server.script([Answer("Let me see.", CALLS.tool_calls, reasoning="think"), CALLS, Answer("It rains.")])
    items: list[Any] = [HI]
    async with connected(kind, server) as model:
        for text in ("Let me see.", "", "It rains."):
            response = (await ask(model, *items, stream=stream)).response
            assert response.text == text
            items += response.items
            items += reversed(answers(call.call_id for call in response.tool_calls))
    assert [request.problem for request in server.requests] == [None, None, None]


@streamed_or_not
async def test_output_items_are_sent_back_to_the_byte(server: OpenAIServer, *, stream: bool) -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"q": "Ü", "n": 1.50}}
    server.script(
        [Answer("Look:", CALLS.tool_calls, reasoning="Ü", items=(search,), phase="commentary"), Answer("done")]
    )
    async with connected(OpenAIResponses, server) as model:
        first = (await ask(model, stream=stream)).response
        assert [item.kind for item in first.items] == ["reasoning", "provider", "assistant", "tool_call", "tool_call"]
        assert isinstance(first.items[1], ProviderItem)
        assert first.items[1].type == "web_search_call"
        items = [item for item in first.items if not isinstance(item, ProviderItem)]
        await ask(model, HI, *items, *answers(call.call_id for call in first.tool_calls))
    raw = server.requests[1].raw
    assert b",".join((item.raw or "").encode() for item in items) in raw
    assert '"phase":"commentary"' in (items[1].raw or "")
    assert '"encrypted_content":"gAAAAA' in (items[0].raw or "")
    assert json.loads(first.items[1].raw) == search


async def test_what_was_sent_once_is_sent_again_to_the_byte(server: OpenAIServer) -> None:
    for kind in BOTH:
        server.requests.clear()
        server.script([CALLS, Answer("done")])
        async with connected(kind, server) as model:
            first = (await ask(model)).response
            await ask(model, HI, *first.items, *answers(call.call_id for call in first.tool_calls))
        before, after = (request.raw for request in server.requests)
        assert after.startswith(before[:-2])


@both
@streamed_or_not
@pytest.mark.parametrize("quirky", [Answer("abc", CALLS.tool_calls), Answer("only text"), Answer("", CALLS.tool_calls)])
async def test_a_server_like_llama_cpp_is_understood(kind: Kind, quirky: Answer, *, stream: bool) -> None:
    with OpenAIServer(Behaviour(quirks=True)) as server:
        server.script([quirky, Answer("done")])
        async with connected(kind, server) as model:
            response = (await ask(model, stream=stream)).response
            assert response.text == quirky.text
            assert [call.name for call in response.tool_calls] == [call.name for call in quirky.tool_calls]
            if response.tool_calls:
                again = await ask(model, HI, *response.items, *answers(call.call_id for call in response.tool_calls))
                assert again.response.text == "done"


@both
@streamed_or_not
@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
async def test_an_answer_that_was_stopped_says_why(
    server: OpenAIServer, kind: Kind, reason: Any, finish: str, *, stream: bool
) -> None:
    server.script([Incomplete(reason, Answer("half an ans"))])
    async with connected(kind, server) as model:
        response = (await ask(model, stream=stream)).response
    assert (response.text, response.finish) == ("half an ans", finish)


@both
@pytest.mark.parametrize(
    "ending", [NoTerminal(), NoTerminal(Answer("", CALLS.tool_calls)), Cut(3), BrokenJson(), ErrorEvent()]
)
async def test_a_stream_without_its_end_is_no_answer(server: OpenAIServer, kind: Kind, ending: Reply) -> None:
    server.script([ending])
    async with connected(kind, server) as model:
        with pytest.raises(ModelBroke) as caught:
            await ask(model)
    assert caught.value.model == "openai:m"
    assert caught.value.request_id


@both
@pytest.mark.parametrize("ending", [Cut(), BrokenJson()])
async def test_half_a_body_is_no_answer(server: OpenAIServer, kind: Kind, ending: Reply) -> None:
    server.script([ending])
    async with connected(kind, server) as model:
        with pytest.raises(ModelBroke):
            await ask(model, stream=False)


async def test_a_chat_stream_needs_no_done_after_its_finish_reason(server: OpenAIServer) -> None:
    server.script([NoTerminal(Answer("whole"), done_only=True)])
    async with connected(OpenAIChat, server) as model:
        assert (await ask(model)).response.text == "whole"


@both
@pytest.mark.parametrize(
    ("code", "error", "should_retry"),
    [
        ("rate_limit_exceeded", ModelRateLimited, None),
        ("insufficient_quota", ModelRateLimited, False),
        ("context_length_exceeded", ContextOverflow, None),
        ("server_is_overloaded", ModelUnavailable, None),
        ("server_error", ModelBroke, None),
    ],
)
async def test_a_failure_in_mid_stream_is_what_its_code_says(
    server: OpenAIServer, kind: Kind, code: str, error: type[ModelError], *, should_retry: bool | None
) -> None:
    for reply in (ErrorEvent(code, "sorry"), Failed(code, "sorry")):
        server.script([reply])
        async with connected(kind, server) as model:
            with pytest.raises(error) as caught:
                await ask(model)
        assert (caught.value.code, caught.value.should_retry) == (code, should_retry)
        assert "sorry" in str(caught.value)


async def test_a_failed_body_is_what_its_code_says(server: OpenAIServer) -> None:
    server.script([Failed("rate_limit_exceeded")])
    async with connected(OpenAIResponses, server) as model:
        with pytest.raises(ModelRateLimited):
            await ask(model, stream=False)


@streamed_or_not
async def test_the_default_asks_by_responses(server: OpenAIServer, *, stream: bool) -> None:
    async with connected(OpenAI, server) as model:
        assert (await ask(model, stream=stream)).response.text == "ok"
    assert [request.route for request in server.requests] == ["responses"]
    assert model.name == "openai:m"


@streamed_or_not
async def test_the_default_falls_back_to_chat_and_remembers(*, stream: bool) -> None:
    with OpenAIServer(Behaviour(responses=False)) as server:
        async with connected(OpenAI, server) as model:
            for _ in range(2):
                assert (await ask(model, stream=stream)).response.text == "ok"
    assert [request.path for request in server.requests] == ["/v1/responses", *["/v1/chat/completions"] * 2]


@pytest.mark.parametrize("status", [405, 501])
async def test_a_route_that_is_not_there_may_say_so_otherwise(server: OpenAIServer, status: int) -> None:
    server.script([Status(status, {"error": {"code": status, "message": "no", "type": "not_supported"}}), Answer("x")])
    async with connected(OpenAI, server) as model:
        assert (await ask(model)).response.text == "x"


@pytest.mark.parametrize(
    "error",
    [
        {"message": "The model does not exist", "code": "model_not_found"},
        {"message": "Item with id 'rs_1' not found.", "param": "input"},
        {"message": 'model "m" not found, try pulling it first', "type": "api_error"},
    ],
)
async def test_a_model_or_an_item_that_is_not_found_is_no_missing_route(server: OpenAIServer, error: Any) -> None:
    server.script([Status(404, {"error": error})])
    async with connected(OpenAI, server) as model:
        with pytest.raises(ModelRejected) as caught:
            await ask(model)
    assert (caught.value.status, len(server.requests)) == (404, 1)
    assert error["message"] in str(caught.value)


async def test_where_neither_route_is_found_both_are_tried_again() -> None:
    with OpenAIServer(Behaviour(responses=False, chat=False)) as server:
        async with connected(OpenAI, server) as model:
            for _ in range(2):
                with pytest.raises(ModelRejected):
                    await ask(model)
    assert len(server.requests) == 4


async def test_a_chat_that_fails_for_another_reason_is_still_the_route(server: OpenAIServer) -> None:
    server.script([Status(404, "nothing"), Status(500), Answer("x")])
    async with connected(OpenAI, server) as model:
        with pytest.raises(ModelUnavailable):
            await ask(model)
        assert (await ask(model)).response.text == "x"
    assert server.requests[2].route == "chat"


async def test_another_failure_is_no_reason_to_fall_back(server: OpenAIServer) -> None:
    server.script([Status(500), ErrorEvent("rate_limit_exceeded"), ErrorEvent("server_is_overloaded")])
    async with connected(OpenAI, server) as model:
        for error in (ModelUnavailable, ModelRateLimited, ModelUnavailable):
            with pytest.raises(error):
                await ask(model)
    assert len(server.requests) == 3


async def test_an_answer_of_one_format_can_be_sent_back_in_the_other(server: OpenAIServer) -> None:
    server.script([Answer("said", CALLS.tool_calls, reasoning="thought"), Answer("x")] * 2)
    for first, second in (BOTH, BOTH[::-1]):
        async with connected(first, server) as one, connected(second, server) as other:
            response = (await ask(one)).response
            calls = [item for item in response.items if isinstance(item, ToolCall)]
            told = [ToolAnswer(call_id=call.call_id, content=(Text(text="x"),)) for call in calls]
            assert (await ask(other, HI, *response.items, *told)).response.text == "x"
