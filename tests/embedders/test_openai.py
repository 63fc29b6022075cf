"""Embeddings over the wire of OpenAI, against a server on loopback."""

import json
import logging
import math
from array import array
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import anyio
import httpx2
import openai
import pytest

from assistant_kit.embedders.openai import EmbeddingLimits, OpenAIEmbedder
from assistant_kit.errors import (
    ConfigurationError,
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
from assistant_kit.protocols.embedder import Vector
from assistant_kit.token_counters.upper_bound import UpperBound
from tests.embedders.embedding_server import EmbeddingServer, Reply, encoded, listed, usual, vector_of

pytestmark = pytest.mark.anyio
KEY = "sk-secret-of-the-test"


@asynccontextmanager
async def embedder_of(
    server: EmbeddingServer, *, dimensions: int | None = None, limits: EmbeddingLimits | None = None, timeout: float = 5
) -> AsyncGenerator[OpenAIEmbedder]:
    # Without certificates, which nobody needs on loopback and which take a while to load.
    http = openai.DefaultAsyncHttpxClient(verify=False)
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, http_client=http) as client:
        with anyio.fail_after(20):
            yield OpenAIEmbedder("m", dimensions=dimensions, client=client, limits=limits, timeout=timeout)


def unit(values: Sequence[float]) -> list[float]:
    length = math.hypot(*values)
    return list(array("f", [value / length for value in values]))


async def test_texts_become_vectors_of_length_1_in_their_order() -> None:
    with EmbeddingServer() as server:
        async with embedder_of(server) as embedder:
            found = await embedder.embed(["Oslo", "Rome is large"])
            assert await embedder.embed([]) == []
    assert [list(vector) for vector in found] == [unit(vector_of("Oslo")), unit(vector_of("Rome is large"))]
    assert server.bodies == [{"model": "m", "input": ["Oslo", "Rome is large"], "encoding_format": "base64"}]
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.requests[0].path == "/v1/embeddings"


async def test_the_name_tells_model_and_dimensions() -> None:
    with EmbeddingServer() as server:
        async with embedder_of(server, dimensions=4) as embedder:
            await embedder.embed(["x"], purpose="query")
            assert (embedder.name, embedder.dimensions) == ("openai:m/4", 4)
    assert server.bodies[0]["dimensions"] == 4
    plain = OpenAIEmbedder("m", api_key=KEY)
    assert (plain.name, plain.dimensions) == ("openai:m", None)
    assert KEY not in repr(plain)
    await plain.aclose()


@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_an_empty_text_is_sent_as_a_blank(text: str) -> None:
    with EmbeddingServer() as server:
        async with embedder_of(server) as embedder:
            assert len(await embedder.embed([text])) == 1
    assert server.bodies[0]["input"] == [" "]


async def test_half_a_surrogate_pair_is_sent_as_a_question_mark() -> None:
    with EmbeddingServer() as server:
        async with embedder_of(server) as embedder:
            await embedder.embed(["a \ud800 b"])
    assert server.bodies[0]["input"] == ["a ? b"]


async def test_of_a_text_that_is_too_long_the_beginning_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddingServer() as server:
        async with embedder_of(server, limits=EmbeddingLimits(text_tokens=10)) as embedder:
            await embedder.embed(["short", "0123456789 and more", "ü" * 9])
    assert server.bodies[0]["input"] == ["short", "0123456789", "ü" * 5]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_text_of_which_nothing_fits_is_sent_as_a_blank() -> None:
    with EmbeddingServer() as server:
        async with embedder_of(server, limits=EmbeddingLimits(text_tokens=1)) as embedder:
            await embedder.embed(["漢"])
    assert server.bodies[0]["input"] == [" "]


async def test_many_texts_go_in_requests_of_a_bounded_size() -> None:
    texts = [f"{number:04}" for number in range(100)]
    by_number, by_tokens = EmbeddingLimits(texts=30), EmbeddingLimits(tokens=50)
    with EmbeddingServer() as server:
        async with embedder_of(server, limits=by_number) as embedder:
            found = await embedder.embed(texts)
        assert sorted(len(body["input"]) for body in server.bodies) == [10, 30, 30, 30]
        server.bodies.clear()
        async with embedder_of(server, limits=by_tokens) as embedder:
            again = await embedder.embed(texts)
        assert max(sum(map(len, body["input"])) for body in server.bodies) <= 50
    assert list(found) == list(again)
    assert [list(vector) for vector in found] == [unit(vector_of(text)) for text in texts]


async def test_a_counter_that_is_given_says_what_fits() -> None:
    class Words(UpperBound):
        def count(self, text: str) -> int:
            return len(text.split())

    with EmbeddingServer() as server:
        embedder = OpenAIEmbedder(
            "m", base_url=server.base_url, api_key=KEY, counter=Words(), limits=EmbeddingLimits(tokens=5)
        )
        await embedder.embed(["one two three", "four five", "six"])
        await embedder.aclose()
    assert sorted(body["input"] for body in server.bodies) == [["one two three", "four five"], ["six"]]


class Gate(httpx2.AsyncBaseTransport):
    """A way to a server that answers nobody until it is opened."""

    def __init__(self) -> None:
        self.opened: anyio.Event = anyio.Event()
        self.two: anyio.Event = anyio.Event()
        self.arrived: int = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.arrived += 1
        if self.arrived == 2:
            self.two.set()
        await self.opened.wait()
        return httpx2.Response(200, content=usual(json.loads(request.content)).body)


async def test_only_so_many_requests_are_under_way_at_once() -> None:
    gate = Gate()
    http = httpx2.AsyncClient(transport=gate)
    async with openai.AsyncOpenAI(base_url="http://server/v1", api_key=KEY, http_client=http) as client:
        embedder = OpenAIEmbedder("m", client=client, limits=EmbeddingLimits(texts=1, requests=2))
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for texts in ("abc", "def"):
                    group.start_soon(embedder.embed, list(texts))
                await gate.two.wait()  # the client asks a thread about the machine first
                await anyio.wait_all_tasks_blocked()
                assert gate.arrived == 2
                gate.opened.set()
    assert gate.arrived == 6


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ModelRejected),
        (401, ModelUnauthorized),
        (403, ModelUnauthorized),
        (404, ModelRejected),
        (408, ModelTimeout),
        (413, ContextOverflow),
        (429, ModelRateLimited),
        (500, ModelUnavailable),
        (503, ModelUnavailable),
    ],
)
async def test_a_status_is_an_error_with_its_data(status: int, kind: type[ModelError]) -> None:
    body = b'{"error": {"message": "words of the server", "code": "some_code"}}'
    headers = {"x-request-id": "req_7", "retry-after": "7"}
    with EmbeddingServer(Reply(body=body, status=status, headers=headers)) as server:
        async with embedder_of(server) as embedder:
            with pytest.raises(kind) as caught:
                await embedder.embed(["x"])
    found = caught.value
    assert type(found) is kind
    assert (found.model, found.status, found.code, found.request_id) == ("openai:m", status, "some_code", "req_7")
    assert found.retry_after == 7.0
    assert len(server.bodies) == 1  # nothing is tried again here
    assert "words of the server" in str(found)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
async def test_the_pause_that_a_server_asks_for_is_in_the_error(headers: dict[str, str], seconds: float | None) -> None:
    with EmbeddingServer(Reply(body=b"{}", status=429, headers=headers)) as server:
        async with embedder_of(server) as embedder:
            with pytest.raises(ModelRateLimited) as caught:
                await embedder.embed(["x"])
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "kind", "should_retry"),
    [
        (b'{"error": {"code": "insufficient_quota"}}', ModelRateLimited, False),
        (b'{"error": {"type": "exceed_context_size_error", "code": 400}}', ContextOverflow, None),
        (b"<html>" + b"x" * 900, ModelRateLimited, None),
    ],
)
async def test_a_code_says_more_than_a_status(body: bytes, kind: type[ModelError], should_retry: bool | None) -> None:  # noqa: FBT001
    with EmbeddingServer(Reply(body=body, status=429)) as server:
        async with embedder_of(server) as embedder:
            with pytest.raises(kind) as caught:
                await embedder.embed(["x"])
    assert caught.value.should_retry is should_retry
    assert len(str(caught.value)) < 700


async def test_a_key_that_a_server_quotes_is_in_no_error() -> None:
    body = f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode()
    with EmbeddingServer(Reply(body=body, status=401)) as server:
        async with embedder_of(server) as embedder:
            with pytest.raises(ModelUnauthorized) as caught:
                await embedder.embed(["x"])
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_answer_that_does_not_hold_the_vectors_is_an_error() -> None:
    with EmbeddingServer(Reply(body=listed([encoded([1, 0])]), headers={"x-request-id": "req_7"})) as server:
        async with embedder_of(server) as embedder:
            with pytest.raises(ModelBroke) as caught:
                await embedder.embed(["a", "b"])
    assert (caught.value.status, caught.value.request_id) == (200, "req_7")


async def test_vectors_of_other_dimensions_than_were_asked_for_are_an_error() -> None:
    with EmbeddingServer() as server:
        async with embedder_of(server, dimensions=3) as embedder:
            with pytest.raises(ModelBroke):
                await embedder.embed(["x"])


@pytest.mark.parametrize("cut", [0, 20])
async def test_a_connection_that_breaks_is_an_error(cut: int) -> None:
    with EmbeddingServer(Reply(body=usual({"input": ["x"]}).body, cut=cut)) as server:
        async with embedder_of(server) as embedder:
            with pytest.raises(ModelUnreachable):
                await embedder.embed(["x"])
            assert len(await embedder.embed(["x"])) == 1  # and the next request is served


async def test_no_server_is_an_error() -> None:
    embedder = OpenAIEmbedder("m", base_url="http://127.0.0.1:1/v1", api_key=KEY)
    with anyio.fail_after(10), pytest.raises(ModelUnreachable):
        await embedder.embed(["x"])
    await embedder.aclose()


async def test_a_silent_server_is_an_error() -> None:
    with EmbeddingServer(Reply(body=b"{}", wait=True)) as server:
        async with embedder_of(server, timeout=0.05) as embedder:
            with pytest.raises(ModelTimeout):
                await embedder.embed(["x"])


async def test_the_first_request_that_fails_ends_the_others() -> None:
    with EmbeddingServer(Reply(body=b"{}", wait=True), Reply(body=b"{}", status=500)) as server:
        async with embedder_of(server, limits=EmbeddingLimits(texts=1), timeout=60) as embedder:
            with pytest.raises(ModelUnavailable):
                await embedder.embed(["a", "b"])


async def test_leaving_ends_the_request() -> None:
    with EmbeddingServer(Reply(body=b"{}", wait=True)) as server:
        async with embedder_of(server, timeout=60) as embedder:
            with anyio.move_on_after(0.05) as scope:
                await embedder.embed(["a"])
            assert scope.cancelled_caught


async def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    for embedder in (
        OpenAIEmbedder("m"),
        OpenAIEmbedder("m", api_key="two words"),
        OpenAIEmbedder("m", api_key=KEY, base_url="http://host:port"),
    ):
        with pytest.raises(ConfigurationError):
            await embedder.embed(["x"])
        await embedder.aclose()


async def test_a_client_that_is_given_is_used_and_stays_open() -> None:
    with EmbeddingServer(Reply(body=b"{}", status=500)) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="its own", max_retries=5) as client:
            embedder = OpenAIEmbedder("m", client=client)
            with anyio.fail_after(5), pytest.raises(ModelUnavailable):
                await embedder.embed(["x"])
            await embedder.aclose()
            await embedder.embed(["x"])
            assert not client.is_closed()
            await embedder.aclose()
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer its own"] * 2


async def test_a_client_without_credentials_is_a_wrong_set_up() -> None:
    with EmbeddingServer() as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="k") as client:
            client.api_key = ""
            with pytest.raises(ConfigurationError):
                await OpenAIEmbedder("m", client=client).embed(["x"])
    assert server.requests == []


def test_one_embedder_serves_several_event_loops() -> None:
    with EmbeddingServer() as server:
        embedder = OpenAIEmbedder("m", base_url=server.base_url, api_key=KEY)

        async def once() -> Sequence[Vector]:
            try:
                return await embedder.embed(["x"])
            finally:
                await embedder.aclose()

        assert anyio.run(once) == anyio.run(once, backend="trio")


@pytest.mark.parametrize("name", ["texts", "tokens", "text_tokens", "requests"])
async def test_limits_that_let_nothing_through_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        partial(EmbeddingLimits, **{name: 0})()
