"""What goes wrong between the OpenAI models and a server, as errors of this library with their data."""

import json
import math
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest

from assistant_kit.errors import (
    ContextOverflow,
    ModelBroke,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelTimeout,
    ModelUnauthorized,
    ModelUnavailable,
    ModelUnreachable,
)
from assistant_kit.events import Delta
from assistant_kit.models.openai import OpenAI, OpenAIResponses
from assistant_kit.protocols.model import ModelRequest
from tests.models.openai_asking import BOTH, HI, KEY, Kind, Script, ask, connected, events, http, scripted_client
from tests.openai_server import Answer, Behaviour, Cut, Hang, OpenAIServer, Raw, Status

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("kind", BOTH)
streamed_or_not = pytest.mark.parametrize("stream", [True, False])


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@both
@streamed_or_not
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, ModelUnauthorized),
        (403, ModelUnauthorized),
        (429, ModelRateLimited),
        (400, ModelRejected),
        (404, ModelRejected),
        (409, ModelRejected),
        (413, ModelRejected),
        (422, ModelRejected),
        (408, ModelTimeout),
        (500, ModelUnavailable),
        (503, ModelUnavailable),
    ],
)
async def test_a_status_is_an_error_with_its_data(
    server: OpenAIServer, kind: Kind, status: int, error: type[ModelError], *, stream: bool
) -> None:
    server.script([Status(status, {"error": {"message": "words of the server", "code": "some_code"}})])
    async with connected(kind, server) as model:
        with pytest.raises(error) as caught:
            await ask(model, stream=stream)
    found = caught.value
    assert type(found) is error
    assert (found.model, found.status, found.code, found.should_retry) == ("openai:m", status, "some_code", None)
    assert (found.request_id or "").startswith("req_")
    assert found.retry_after is None
    assert "words of the server" in str(found)


@both
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 99 Jan 2001 00:00:00 GMT"}, None),
    ],
)
async def test_how_long_to_wait_is_as_the_server_says(
    server: OpenAIServer, kind: Kind, headers: dict[str, str], seconds: float | None
) -> None:
    server.script([Status(429, headers=headers)])
    async with connected(kind, server) as model:
        with pytest.raises(ModelRateLimited) as caught:
            await ask(model)
    assert caught.value.retry_after == seconds


async def test_how_long_to_wait_may_be_a_date(server: OpenAIServer) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    server.script([Status(503, headers={"retry-after": until})])
    async with connected(OpenAI, server) as model:
        with pytest.raises(ModelUnavailable) as caught:
            await ask(model)
    assert math.isclose(caught.value.retry_after or 0, 100, abs_tol=20)


@pytest.mark.parametrize(
    ("status", "code", "header", "should_retry"),
    [
        (429, "rate_limit_exceeded", None, None),
        (429, "insufficient_quota", None, False),
        (429, "insufficient_quota", "true", False),
        (500, None, "false", False),
        (400, None, "true", True),
        (400, None, "perhaps", None),
    ],
)
async def test_whether_to_repeat_is_as_the_server_says(
    server: OpenAIServer, status: int, code: str | None, header: str | None, *, should_retry: bool | None
) -> None:
    headers = {} if header is None else {"x-should-retry": header}
    server.script([Status(status, {"error": {"message": "no", "code": code}}, headers=headers)])
    async with connected(OpenAI, server) as model:
        with pytest.raises(ModelError) as caught:
            await ask(model)
    assert caught.value.should_retry is should_retry
    assert len(server.requests) == 1


@both
@pytest.mark.parametrize(
    ("body", "code", "quoted"),
    [
        ("<html>bad gateway</html>", None, "<html>bad gateway</html>"),
        ({"detail": "Not here"}, None, "Not here"),
        ({"error": "plain words"}, None, "plain words"),
        ({"error": {"code": 500, "message": "no grammar", "type": "server_error"}}, "server_error", "no grammar"),
        ({"error": {"code": 500, "message": "no grammar"}}, "500", "no grammar"),
        ({"error": {"message": "no", "type": "overloaded_error"}}, "overloaded_error", "no"),
        ({"error": {"message": "no", "code": ["?"]}}, None, "no"),
        ("", None, "nothing"),
    ],
)
async def test_an_error_of_any_shape_is_quoted(
    server: OpenAIServer, kind: Kind, body: dict[str, object] | str, code: str | None, quoted: str
) -> None:
    server.script([Status(502, body)])
    async with connected(kind, server) as model:
        with pytest.raises(ModelUnavailable) as caught:
            await ask(model)
    assert caught.value.code == code
    assert quoted in str(caught.value)


@both
@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": 400, "type": "exceed_context_size_error", "n_ctx": 4096}, "exceed_context_size_error"),  # llama.cpp
        ({"code": "context_length_exceeded", "type": "invalid_request_error"}, "context_length_exceeded"),
    ],
)
@pytest.mark.parametrize("status", [400, 200])
async def test_a_request_over_the_context_window_says_which_setting_to_change(
    server: OpenAIServer, kind: Kind, error: dict[str, object], code: str, status: int
) -> None:
    body = {"error": {"message": "request (5137 tokens) exceeds the context size", **error}}
    server.script([Status(400, body) if status != 200 else http(json.dumps(body).encode(), "application/json")])
    async with connected(kind, server) as model:
        with pytest.raises(ContextOverflow) as caught:
            await ask(model)
    assert caught.value.code == code
    assert "WindowSettings(max_tokens=" in str(caught.value)


@both
@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",  # vLLM
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",  # SGLang
    ],
)
async def test_a_server_without_a_code_for_a_request_that_is_too_long_is_understood(
    server: OpenAIServer, kind: Kind, message: str
) -> None:
    body = {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
    server.script([Status(400, body), Status(400, {"error": body}), Status(500, {"error": body})])
    async with connected(kind, server) as model:
        for error in (ContextOverflow, ContextOverflow, ModelUnavailable):
            with pytest.raises(error):
                await ask(model)


@both
async def test_a_servers_words_are_cut(server: OpenAIServer, kind: Kind) -> None:
    server.script([Status(400, {"error": {"message": "word " * 1000}})])
    async with connected(kind, server) as model:
        with pytest.raises(ModelRejected) as caught:
            await ask(model)
    assert 500 < len(str(caught.value)) < 700


@both
@streamed_or_not
@pytest.mark.parametrize(
    ("body", "kind_of_body"),
    [
        (b"<html>Welcome</html>", "text/html"),
        (b'{"hello": "world"}', "application/json"),
        (b"[1, 2]", "application/json"),
        (b"", "application/json"),
        (b'{"hello":', "application/json"),
    ],
)
async def test_what_is_no_answer_is_shown(
    server: OpenAIServer, kind: Kind, body: bytes, kind_of_body: str, *, stream: bool
) -> None:
    server.script([http(body, kind_of_body)])
    async with connected(kind, server) as model:
        with pytest.raises(ModelBroke) as caught:
            await ask(model, stream=stream)
    assert (body.decode() or "nothing") in str(caught.value)


@both
@streamed_or_not
async def test_an_error_object_in_place_of_an_answer_is_that_error(
    server: OpenAIServer, kind: Kind, *, stream: bool
) -> None:
    body = b'{"error": {"code": 429, "type": "of_its_own", "message": "slower"}}'
    server.script([http(body, "application/json")])
    async with connected(kind, server) as model:
        with pytest.raises(ModelRateLimited) as caught:
            await ask(model, stream=stream)
    assert "slower" in str(caught.value)


@both
async def test_a_whole_answer_to_a_streamed_request_is_taken(kind: Kind) -> None:
    body: dict[str, Any] = {
        "output": [{"type": "message", "content": "all at once"}, {"type": "message", "content": []}],
        "choices": [{"message": {"content": "all at once"}}],
    }
    script = Script([json.dumps(body).encode()], kind="application/json")
    asked = await ask(kind("m", client=scripted_client(script)))
    assert (asked.text, asked.response.text) == ("all at once", "all at once")


@both
@streamed_or_not
async def test_no_server_is_an_error_that_names_the_address(kind: Kind, *, stream: bool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        model = kind("m", api_key=KEY, base_url=address)
        with pytest.raises(ModelUnreachable) as caught:
            await ask(model, stream=stream)
        await model.aclose()
    assert address in str(caught.value)
    assert "OPENAI_BASE_URL" in str(caught.value)


async def test_an_address_without_a_scheme_says_so() -> None:
    model = OpenAI("m", api_key=KEY, base_url="localhost/v1")
    with pytest.raises(ModelUnreachable) as caught:
        await ask(model)
    assert "protocol" in str(caught.value)
    await model.aclose()


@both
@streamed_or_not
async def test_a_connection_that_ends_before_an_answer_is_unreachable(
    server: OpenAIServer, kind: Kind, *, stream: bool
) -> None:
    server.script([Answer("x"), Raw(b""), Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), Answer("y")])
    async with connected(kind, server) as model:
        await ask(model, stream=stream)  # the next one finds a connection that was kept and has been dropped
        for _ in range(2):
            with pytest.raises(ModelUnreachable):
                await ask(model, stream=stream)
        assert (await ask(model, stream=stream)).response.text == "y"


@both
async def test_a_stream_that_is_cut_has_begun(server: OpenAIServer, kind: Kind) -> None:
    server.script([Cut(5, Answer("one two three", pieces=3))])
    deltas: list[Delta] = []
    async with connected(kind, server) as model:
        with pytest.raises(ModelBroke), anyio.fail_after(5):
            await model.respond(ModelRequest(items=[HI]), deltas.append)
    assert deltas


async def test_a_connection_that_is_cut_after_the_end_does_not_matter(server: OpenAIServer) -> None:
    body = events({"type": "response.completed", "response": {"output": []}})
    server.script([Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n" + body)])
    async with connected(OpenAIResponses, server) as model:
        assert (await ask(model)).response.items == ()


async def test_a_server_that_keeps_a_finished_stream_open_is_left(server: OpenAIServer) -> None:
    ended = Answer("x")
    server.script(lambda request: Hang(60, after_events=9 if request.route == "responses" else 5, answer=ended))
    for kind in BOTH:
        async with connected(kind, server) as model:
            assert (await ask(model)).response.text == "x"


@both
@streamed_or_not
async def test_silence_is_a_timeout(server: OpenAIServer, kind: Kind, *, stream: bool) -> None:
    server.script([Hang(60)])
    async with connected(kind, server, timeout=0.05) as model:
        with pytest.raises(ModelTimeout):
            await ask(model, stream=stream)


@both
async def test_silence_in_mid_stream_is_a_timeout(server: OpenAIServer, kind: Kind) -> None:
    server.script([Hang(60, after_events=4)])
    async with connected(kind, server, timeout=0.05) as model:
        with pytest.raises(ModelTimeout):
            await ask(model)


@both
async def test_cancellation_passes_through_and_closes_the_connection(server: OpenAIServer, kind: Kind) -> None:
    server.script([Hang(60, after_events=6, answer=Answer("a b c d", pieces=4))])
    async with connected(kind, server) as model:
        with anyio.fail_after(5), anyio.CancelScope() as scope:
            await model.respond(ModelRequest(items=[HI]), lambda _: scope.cancel())
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(server.wait_for_departures, 1, 5.0)


@both
async def test_an_error_of_the_reader_passes_through_and_closes_the_connection(
    server: OpenAIServer, kind: Kind
) -> None:
    def refuse(_: Delta) -> None:
        raise LookupError

    server.script([Hang(60, after_events=6)])
    async with connected(kind, server) as model:
        with pytest.raises(LookupError), anyio.fail_after(5):
            await model.respond(ModelRequest(items=[HI]), refuse)
        assert await anyio.to_thread.run_sync(server.wait_for_departures, 1, 5.0)


@both
async def test_the_key_is_in_no_error_and_no_repr(kind: Kind) -> None:
    with OpenAIServer(Behaviour(api_key="another")) as server:
        async with connected(kind, server) as model:
            with pytest.raises(ModelUnauthorized) as wrong:
                await ask(model)
            assert "OPENAI_API_KEY" in str(wrong.value)
        server.script([Status(400, {"error": {"message": f"what is {KEY}?"}})])
        async with connected(kind, server) as model:
            with pytest.raises(ModelError) as echoed:
                await ask(model)
            for shown in (str(echoed.value), repr(echoed.value), repr(model), repr(vars(model))):
                assert KEY not in shown
