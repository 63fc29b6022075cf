"""Which client an OpenAI model uses, for how long, and what becomes of it."""

import gzip
from collections.abc import Iterator

import anyio
import httpx2
import pytest
from openai import AsyncOpenAI

from assistant_kit.models.openai import OpenAI, OpenAIChat, OpenAIResponses
from assistant_kit.protocols.model import Model
from tests.models.openai_asking import BOTH, KEY, ask, connected, events, http
from tests.openai_server import Answer, OpenAIServer

both = pytest.mark.parametrize("kind", BOTH)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.mark.anyio
async def test_the_environment_gives_key_and_address(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    model: Model = OpenAI("m")
    assert (await ask(model)).response.text == "ok"
    await model.aclose()
    assert server.requests[0].headers["authorization"] == "Bearer sk-from-the-environment"
    assert (model.name, repr(model)) == ("openai:m", "OpenAI('m')")


@pytest.mark.anyio
@both
async def test_one_connection_serves_many_requests(server: OpenAIServer, kind: type[OpenAI]) -> None:
    opened: list[object] = []
    client = AsyncOpenAI(api_key=KEY, base_url=server.base_url)
    model = kind("m", client=client)
    server.script(lambda _: Answer("some words", pieces=2))

    async def note(response: httpx2.Response) -> None:
        opened.append(response.extensions["network_stream"].get_extra_info("client_addr"))

    async with httpx2.AsyncClient(event_hooks={"response": [note]}) as own:
        model = kind("m", client=client.with_options(http_client=own))
        for stream in (True, False) * 3:
            await ask(model, stream=stream)
    await client.close()
    assert len(opened) == 6
    assert len(set(opened)) == 1


@pytest.mark.anyio
async def test_a_client_that_was_given_stays_open_and_does_not_retry(server: OpenAIServer) -> None:
    client = AsyncOpenAI(api_key=KEY, base_url=server.base_url, max_retries=5)
    model = OpenAIResponses("m", client=client)
    server.script([http(b"", status=500)])
    with pytest.raises(Exception, match="500"):
        await ask(model)
    assert len(server.requests) == 1
    await model.aclose()
    assert not client.is_closed()
    await client.close()


@pytest.mark.anyio
async def test_a_model_may_be_closed_twice_and_before_its_first_use(server: OpenAIServer) -> None:
    model = OpenAI("m", api_key=KEY, base_url=server.base_url)
    await model.aclose()
    await ask(model)
    await model.aclose()
    await model.aclose()


def test_a_model_serves_one_event_loop_after_another(server: OpenAIServer) -> None:
    model = OpenAIChat("m", api_key=KEY, base_url=server.base_url)

    async def main() -> None:
        assert (await ask(model)).response.text == "ok"
        await model.aclose()

    for backend in ("asyncio", "trio", "asyncio"):
        anyio.run(main, backend=backend)


def test_a_model_that_was_left_open_by_a_loop_serves_the_next(server: OpenAIServer) -> None:
    model = OpenAIChat("m", api_key=KEY, base_url=server.base_url)
    server.script(lambda _: http(b'{"choices": [{"message": {"content": "ok"}}]}', "application/json"))

    async def main() -> None:  # the server closes each connection, so nothing is left behind
        assert (await ask(model, stream=False)).response.text == "ok"

    anyio.run(main)
    anyio.run(main)


@pytest.mark.anyio
@both
async def test_a_packed_answer_is_unpacked(server: OpenAIServer, kind: type[OpenAI]) -> None:
    responses = {"type": "response.completed", "response": {"output": [{"type": "message", "content": "ok"}]}}
    chat = {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}
    body = gzip.compress(events(responses if kind is OpenAIResponses else chat))
    server.script([http(body, headers="content-encoding: gzip\r\n")])
    async with connected(kind, server) as model:
        assert (await ask(model)).response.text == "ok"
