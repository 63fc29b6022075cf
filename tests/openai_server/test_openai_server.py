"""The test server speaks the wire formats truly: the official client reads every shape it sends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import anyio
import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response, ResponseFunctionToolCall

from tests.openai_server import (
    Answer,
    Behaviour,
    BrokenJson,
    Call,
    Cut,
    ErrorEvent,
    Failed,
    Hang,
    Incomplete,
    NoTerminal,
    OpenAIServer,
    Paced,
    Raw,
    Reply,
    Status,
    Usage,
)
from tests.openai_server.driving import complete, complete_streamed, connected, respond, respond_streamed

pytestmark = [
    pytest.mark.anyio,
    # The client leaves its own generators to the garbage collector at [DONE]; trio says so.
    pytest.mark.filterwarnings("ignore:Async generator '(openai|httpx2|httpcore2).:ResourceWarning"),
]

TWO_CALLS = Answer(tool_calls=(Call("weather", {"city": "Oslo"}), Call("time", {"zone": "UTC"}, "call_of_mine")))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as started:
        yield started


async def test_a_response_has_text_reasoning_calls_and_usage(server: OpenAIServer) -> None:
    answer = Answer("hello there", TWO_CALLS.tool_calls, reasoning="think", usage=Usage(input=5, output=6, cached=2))
    response = await respond(server, answer)
    assert response.status == "completed"
    assert response.output_text == "hello there"
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("weather", {"city": "Oslo"}),
        ("time", {"zone": "UTC"}),
    ]
    assert calls[1].call_id == "call_of_mine"
    assert response.usage is not None
    assert (response.usage.total_tokens, response.usage.input_tokens_details.cached_tokens) == (11, 2)
    assert response.model_validate(response.model_dump(by_alias=True))


async def test_a_streamed_response_numbers_its_events_and_validates_strictly(server: OpenAIServer) -> None:
    answer = Answer("abcdef", TWO_CALLS.tool_calls, refusal="no", reasoning="think hard", pieces=("ab", "cdef"))
    events = await respond_streamed(server, answer)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["ab", "cdef"]
    assert "".join(event.delta for event in events if event.type == "response.refusal.delta") == "no"
    assert "".join(event.delta for event in events if event.type == "response.reasoning_summary_text.delta")
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output == done
    for event in events:
        type(event).model_validate(event.model_dump(by_alias=True))


async def test_the_clients_stream_helpers_accept_the_streams(server: OpenAIServer) -> None:
    server.script([TWO_CALLS, Answer("text"), TWO_CALLS, Answer("text")])
    async with connected(server) as client:
        for expected in ("", "text"):
            async with client.responses.stream(model="m", input="hi") as stream:
                assert (await stream.get_final_response()).output_text == expected
        for expected in (None, "text"):
            async with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "x"}]) as chat:
                assert (await chat.get_final_completion()).choices[0].message.content == expected


async def test_a_completion_has_text_reasoning_calls_and_usage(server: OpenAIServer) -> None:
    completion = await complete(server, Answer("hello", TWO_CALLS.tool_calls, reasoning="think"))
    message = completion.choices[0].message
    assert (message.content, completion.choices[0].finish_reason) == ("hello", "tool_calls")
    assert (message.model_extra or {})["reasoning_content"] == "think"
    assert [call.id for call in message.tool_calls or ()][1] == "call_of_mine"
    assert completion.usage is not None
    assert completion.model_validate(completion.model_dump())


async def test_a_streamed_completion_sends_arguments_in_fragments_and_usage_last(server: OpenAIServer) -> None:
    answer = Answer("hello", TWO_CALLS.tool_calls, refusal="no", reasoning="think")
    chunks = await complete_streamed(server, answer, stream_options={"include_usage": True})
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "hello"
    assert "".join(delta.refusal or "" for delta in deltas) == "no"
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    texts = {
        index: "".join(c.function.arguments or "" for c in calls if c.index == index and c.function) for index in (0, 1)
    }
    assert {index: json.loads(text) for index, text in texts.items()} == {0: {"city": "Oslo"}, 1: {"zone": "UTC"}}
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump())


async def test_usage_is_streamed_only_when_asked_for(server: OpenAIServer) -> None:
    assert all(chunk.usage is None for chunk in await complete_streamed(server, Answer("x")))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status(401), openai.AuthenticationError),
        (Status(404, "<html>no</html>"), openai.NotFoundError),
        (Status(429, headers={"retry-after": "7"}), openai.RateLimitError),
        (Status(500), openai.InternalServerError),
    ],
)
async def test_a_scripted_status_is_the_clients_error(
    server: OpenAIServer, status: Status, kind: type[openai.APIStatusError]
) -> None:
    for call in (respond, respond_streamed, complete, complete_streamed):
        with pytest.raises(kind) as caught:
            await call(server, status)
        assert caught.value.response.headers.get("retry-after") == status.headers.get("retry-after")


async def test_a_cut_stream_is_a_connection_error(server: OpenAIServer) -> None:
    for call in (respond, respond_streamed, complete, complete_streamed):
        with pytest.raises(openai.APIConnectionError):
            await call(server, Cut(after_events=2))


async def test_a_server_that_leaves_without_a_word_is_a_connection_error(server: OpenAIServer) -> None:
    with pytest.raises(openai.APIConnectionError):
        await respond(server, Raw(b""))


async def test_a_stream_without_terminal_ends_cleanly(server: OpenAIServer) -> None:
    assert all(event.type != "response.completed" for event in await respond_streamed(server, NoTerminal()))
    assert all(not chunk.choices[0].finish_reason for chunk in await complete_streamed(server, NoTerminal()))
    assert (await complete_streamed(server, NoTerminal(done_only=True)))[-1].choices[0].finish_reason == "stop"


async def test_an_error_in_mid_stream_is_yielded_by_responses_and_raised_by_chat(server: OpenAIServer) -> None:
    event = (await respond_streamed(server, ErrorEvent("overloaded", "sorry")))[-1]
    assert event.type == "error"
    assert (event.code, event.sequence_number) == ("overloaded", 3)
    for reply in (ErrorEvent("overloaded", "sorry", after_events=1), Failed("overloaded", "sorry")):
        with pytest.raises(openai.APIError) as caught:
            await complete_streamed(server, reply)
        assert caught.value.code == "overloaded"


async def test_a_failed_response_says_why(server: OpenAIServer) -> None:
    event = (await respond_streamed(server, Failed("server_error", "sorry")))[-1]
    assert event.type == "response.failed"
    for response in (event.response, await respond(server, Failed("server_error", "sorry"))):
        assert response.status == "failed"
        assert response.error is not None
        assert response.error.code == "server_error"
    with pytest.raises(openai.InternalServerError):
        await complete(server, Failed())


async def test_an_incomplete_answer_says_why(server: OpenAIServer) -> None:
    event = (await respond_streamed(server, Incomplete("content_filter", Answer("ab"))))[-1]
    assert event.type == "response.incomplete"
    assert event.response.incomplete_details is not None
    assert event.response.incomplete_details.reason == "content_filter"
    assert (await complete(server, Incomplete("max_output_tokens"))).choices[0].finish_reason == "length"
    chunks = await complete_streamed(server, Incomplete("content_filter"))
    assert chunks[-1].choices[0].finish_reason == "content_filter"


async def test_broken_json_reaches_the_client(server: OpenAIServer) -> None:
    for call in (respond_streamed, complete_streamed):
        with pytest.raises(json.JSONDecodeError):
            await call(server, BrokenJson())


async def test_a_hang_ends_when_released(server: OpenAIServer) -> None:
    server.release()
    assert (await respond(server, Hang(60))).output_text == "ok"
    assert (await respond_streamed(server, Hang(60, after_events=2)))[-1].type == "response.completed"


async def test_a_paced_answer_comes_event_by_event(server: OpenAIServer) -> None:
    server.script([Paced(60, Answer("one two"))])
    async with connected(server) as client, await client.responses.create(model="m", input="x", stream=True) as stream:
        assert (await anext(stream)).type == "response.created"
        server.release()
        assert [event.type async for event in stream][-1] == "response.completed"
    assert (await respond(server, Paced(60))).output_text == "ok"


async def test_a_client_that_leaves_is_noticed(server: OpenAIServer) -> None:
    server.script([Hang(60, after_events=2)])
    async with connected(server) as client, await client.responses.create(model="m", input="x", stream=True) as stream:
        assert (await anext(stream)).type == "response.created"
    assert await anyio.to_thread.run_sync(server.wait_for_departures, 1, 5.0)


async def test_a_script_that_has_ended_is_loud(server: OpenAIServer) -> None:
    server.script([])
    async with connected(server) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.responses.create(model="m", input="x")
    assert caught.value.code == "script_end"


async def test_a_script_may_be_a_function_of_the_request(server: OpenAIServer) -> None:
    server.script(lambda request: Answer(request.body["input"].upper()))
    async with connected(server) as client:
        assert (await client.responses.create(model="m", input="abc")).output_text == "ABC"


async def test_what_a_script_raises_is_raised_in_the_test() -> None:
    def script(_: object) -> Reply:
        raise LookupError

    with pytest.raises(LookupError), OpenAIServer(script=script) as server:  # noqa: PT012 - the error leaves the server
        async with connected(server) as client:
            with pytest.raises(openai.InternalServerError):
                await client.responses.create(model="m", input="x")


async def test_every_request_is_recorded(server: OpenAIServer) -> None:
    await respond(server, Answer("x"), metadata={"a": "b"})
    (request,) = server.requests
    assert (request.route, request.path, request.headers["authorization"]) == (
        "responses",
        "/v1/responses",
        "Bearer test",
    )
    assert request.body["metadata"] == {"a": "b"}
    assert json.loads(request.raw) == request.body


async def test_a_route_that_is_turned_off_is_404_without_json() -> None:
    with OpenAIServer(Behaviour(responses=False)) as server:
        with pytest.raises(openai.NotFoundError) as caught:
            await respond(server, Answer("x"))
        assert isinstance(caught.value.body, str)
        assert (await complete(server, Answer("x"))).choices[0].message.content == "x"


async def test_the_key_is_checked_if_there_is_one() -> None:
    with OpenAIServer(Behaviour(api_key="right")) as server:
        async with connected(server, "right") as client:
            await client.responses.create(model="m", input="x")
        async with connected(server, "wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.responses.create(model="m", input="x")


async def test_llama_cpp_leaves_fields_out() -> None:
    with OpenAIServer(Behaviour(quirks=True, strict=False)) as server:
        events = await respond_streamed(server, Answer("abc", (Call("weather"),)))
        assert all(getattr(event, "sequence_number", None) is None for event in events)
        with pytest.raises(ValueError, match="parallel_tool_calls"):
            Response.model_validate((await respond(server, Answer("abc"))).model_dump())
        message = (await complete(server, Answer("", (Call("weather"),)))).choices[0].message
        assert message.content == ""
        assert message.tool_calls is not None
        assert not message.tool_calls[0].id.startswith("call")


async def test_connections_are_kept_alive(server: OpenAIServer) -> None:
    body = {"model": "m", "input": "x", "stream": True}
    addresses: list[object] = []
    async with httpx2.AsyncClient() as client:
        for _ in range(2):
            response = await client.post(f"{server.base_url}/responses", json=body)
            addresses.append(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert addresses[0] == addresses[1]


async def test_a_server_that_stops_drops_its_clients() -> None:
    server = OpenAIServer()
    async with connected(server) as client:
        with server:
            client = client.with_options(base_url=server.base_url)  # noqa: PLW2901 - the port is known only now
            stream = await client.responses.create(model="m", input="x", stream=True)
            server.script([Hang(60, after_events=1)])
            left = await client.responses.create(model="m", input="x", stream=True)
        assert [event.type async for event in stream][-1] == "response.completed"
        with pytest.raises((openai.APIConnectionError, httpx2.TransportError)):
            [event async for event in left]


def test_the_server_runs_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.openai_server", "--script", "tests.openai_server.test_openai_server:answer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        response = httpx2.post(f"{base_url}/responses", json={"model": "m", "input": "x"}, timeout=5)
        process.communicate(timeout=5)
    assert response.json()["output"][0]["content"][0]["text"] == "from the process"
    assert process.returncode == 0


def answer(_: object) -> Reply:
    return Answer("from the process")
