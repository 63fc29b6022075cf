"""Whole requests, counted by the server of their model."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI

from assistant_kit.errors import ConfigurationError, ModelBroke, ModelError, ModelRejected, ModelUnauthorized
from assistant_kit.messages import File, Image, Text, UserMessage, user_message
from assistant_kit.models.openai_counter import OpenAIRequestCounter
from assistant_kit.protocols.model import ModelRequest, OutputSchema
from assistant_kit.protocols.token_counter import RequestCounter
from assistant_kit.settings import ModelSettings
from assistant_kit.tool_spec import HostedTool, ToolSpec
from tests.models.openai_asking import KEY, dump, http
from tests.openai_server import Behaviour, OpenAIServer, Status
from tests.openai_server.server import ROUTES

pytestmark = pytest.mark.anyio

WEATHER = ToolSpec(name="weather", description="Today's weather.", parameters={"type": "object", "properties": {}})
SEARCH = HostedTool(declaration={"type": "web_search"})
PICTURE = UserMessage(content=(Text(text="What is this?"), Image(url="https://example.com/a.png")))
RICH = ModelRequest(
    instructions="Help.",
    items=(PICTURE,),
    tools=(WEATHER, SEARCH),
    output=OutputSchema(name="o", schema={"type": "object"}),
    settings=ModelSettings(temperature=0.1, max_output_tokens=5, reasoning_effort="low", tool_choice="auto"),
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A server that has the route: what it gets is checked as a request to the Responses API."""
    monkeypatch.setitem(ROUTES, "/v1/responses/input_tokens", "responses")
    with OpenAIServer(Behaviour(api_key=KEY)) as running:
        yield running


@asynccontextmanager
async def counting(server: OpenAIServer, **options: Any) -> AsyncGenerator[OpenAIRequestCounter]:
    given: dict[str, Any] = {"api_key": KEY, "base_url": server.base_url, **options}
    counter = OpenAIRequestCounter("m", **given)
    try:
        with anyio.fail_after(5):
            yield counter
    finally:
        await counter.aclose()


def counted(tokens: object) -> bytes:
    return dump({"object": "response.input_tokens", "input_tokens": tokens})


async def test_the_server_counts_the_whole_request(server: OpenAIServer) -> None:
    server.script([http(counted(1_234), "application/json")])
    async with counting(server) as counter:
        assert await counter.count_request(RICH) == 1_234
    body = server.requests[0].body
    assert server.requests[0].path == "/v1/responses/input_tokens"
    assert {key for key, value in body.items() if value} == {
        "input", "instructions", "model", "reasoning", "text", "tool_choice", "tools",
    }  # fmt: skip
    assert len(body["tools"]) == 2
    assert body["input"][0]["content"][1]["type"] == "input_image"


async def test_it_is_a_request_counter(server: OpenAIServer) -> None:
    server.script([http(counted(7), "application/json")])
    async with counting(server) as counter:
        by_contract: RequestCounter = counter
        assert await by_contract.count_request(ModelRequest(items=(user_message("hi"),))) == 7
    assert repr(counter) == "OpenAIRequestCounter('m')"


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", counted("7"), counted(-1), counted(None), counted(1.5)])
async def test_what_is_no_count_is_an_error(server: OpenAIServer, body: bytes) -> None:
    server.script([http(body, "application/json")])
    async with counting(server) as counter:
        with pytest.raises(ModelBroke):
            await counter.count_request(RICH)


@pytest.mark.parametrize(("status", "error"), [(400, ModelRejected), (401, ModelUnauthorized)])
async def test_a_refusal_is_the_error_of_its_status(server: OpenAIServer, status: int, error: type[ModelError]) -> None:
    server.script([Status(status)])
    async with counting(server) as counter:
        with pytest.raises(error) as caught:
            await counter.count_request(RICH)
    assert caught.value.status == status


async def test_a_server_without_the_route_refuses() -> None:
    with OpenAIServer() as server:
        async with counting(server) as counter:
            with pytest.raises(ModelRejected) as caught:
                await counter.count_request(RICH)
    assert caught.value.status == 404


async def test_a_request_is_counted_before_it_is_made(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    server.script([http(counted(1_234), "application/json")])
    report = File(url="https://example.com/report.pdf")
    # --8<-- [start:counter]
    counter = OpenAIRequestCounter("gpt-5.6-luna")
    request = ModelRequest(items=[UserMessage(content=(report,))], tools=[SEARCH])
    tokens = await counter.count_request(request)
    await counter.aclose()
    # --8<-- [end:counter]
    assert tokens == 1_234


async def test_a_client_that_was_given_is_used_and_stays_open(server: OpenAIServer) -> None:
    server.script([http(counted(3), "application/json"), http(counted(4), "application/json")])
    async with AsyncOpenAI(api_key=KEY, base_url=server.base_url) as client:
        for tokens in (3, 4):
            async with counting(server, client=client) as counter:
                assert await counter.count_request(RICH) == tokens


async def test_without_a_key_nothing_is_sent(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with counting(server, api_key=None) as counter:
        with pytest.raises(ConfigurationError):
            await counter.count_request(RICH)
    assert server.requests == []
