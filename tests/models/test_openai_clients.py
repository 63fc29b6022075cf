"""Which client an OpenAI model uses, for how long, and what becomes of it."""

import gzip
import traceback
from collections.abc import Iterator

import anyio
import httpx2
import pytest
from openai import AsyncOpenAI

from assistant_kit.errors import ConfigurationError, ModelUnauthorized, ModelUnavailable
from assistant_kit.models.openai import OpenAI, OpenAIChat, OpenAIResponses
from assistant_kit.protocols.model import Model
from tests.models.openai_asking import BOTH, KEY, Kind, Script, ask, connected, events, http
from tests.openai_server import Answer, OpenAIServer, Status

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("kind", BOTH)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


async def test_the_environment_gives_key_and_address(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    model: Model = OpenAI("m")
    assert (await ask(model)).response.text == "ok"
    await model.aclose()
    assert server.requests[0].headers["authorization"] == "Bearer sk-from-the-environment"
    assert (model.name, repr(model)) == ("openai:m", "OpenAI('m')")


@both
async def test_one_connection_serves_many_requests(server: OpenAIServer, kind: Kind) -> None:
    opened: list[object] = []
    client = AsyncOpenAI(api_key=KEY, base_url=server.base_url)
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


async def test_a_client_that_was_given_stays_open_and_does_not_retry(server: OpenAIServer) -> None:
    client = AsyncOpenAI(api_key=KEY, base_url=server.base_url, max_retries=5)
    model = OpenAIResponses("m", client=client)
    server.script([http(b"", status=500)])
    with pytest.raises(ModelUnavailable):
        await ask(model)
    assert len(server.requests) == 1
    await model.aclose()
    assert not client.is_closed()
    await client.close()


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


@both
async def test_a_packed_answer_is_unpacked(server: OpenAIServer, kind: Kind) -> None:
    responses = {"type": "response.completed", "response": {"output": [{"type": "message", "content": "ok"}]}}
    chat = {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}
    body = gzip.compress(events(responses if kind is OpenAIResponses else chat))
    server.script([http(body, headers="content-encoding: gzip\r\n")])
    async with connected(kind, server) as model:
        assert (await ask(model)).response.text == "ok"


@both
@pytest.mark.parametrize("key", ["", "sk-secret\n", "sk secret", "sk-sécret", "\x00"])
async def test_a_key_that_cannot_be_sent_is_an_error_before_anything_is_sent(
    server: OpenAIServer, kind: Kind, key: str
) -> None:
    model = kind("m", api_key=key, base_url=server.base_url)
    with pytest.raises(ConfigurationError) as caught:
        await ask(model)
    assert not key.strip() or key.strip() not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []
    if key:
        with pytest.raises(ConfigurationError):
            kind("m", client=AsyncOpenAI(api_key=key))


async def test_a_missing_key_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    model = OpenAI("m")
    with pytest.raises(ConfigurationError) as caught:
        await ask(model)
    assert "OPENAI_API_KEY" in str(caught.value)
    assert 'api_key="none"' in str(caught.value)


async def test_a_key_for_administration_is_no_key_for_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    with pytest.raises(ConfigurationError):
        await ask(OpenAI("m"))


async def test_an_address_that_is_none_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError):
        await ask(OpenAI("m", api_key=KEY, base_url="http://host:port"))


async def test_a_client_may_bring_its_key_later(server: OpenAIServer) -> None:
    async def key() -> str:
        return KEY

    server.script([Answer("x"), Status(401)])
    async with AsyncOpenAI(api_key=key, base_url=server.base_url) as client:
        assert (await ask(OpenAI("m", client=client))).response.text == "x"
        with pytest.raises(ModelUnauthorized):
            await ask(OpenAI("m", client=client))
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_client_with_other_credentials_is_used_as_it_is(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server.script([Status(401, {"error": {"message": "not for models"}})])
    async with AsyncOpenAI(admin_api_key="sk-admin", base_url=server.base_url) as client:
        with pytest.raises(ModelUnauthorized) as caught:
            await ask(OpenAI("m", client=client))
    assert "answered 401: not for models (check" in str(caught.value)


async def test_a_client_that_cannot_send_is_an_error_of_the_configuration() -> None:
    async def broken() -> str:
        return ""

    client = AsyncOpenAI(api_key=broken, http_client=httpx2.AsyncClient(transport=Script()))
    with pytest.raises(ConfigurationError):
        await ask(OpenAIChat("m", client=client))


class Stopped(BaseException):
    """What ends a program: neither cancellation nor an error."""


class Stopping(httpx2.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        del request
        raise BaseExceptionGroup("while connecting", [Stopped()])


@both
async def test_what_ends_the_program_while_connecting_is_no_error_of_the_model(kind: Kind) -> None:
    client = AsyncOpenAI(
        api_key=KEY, base_url="http://stop.test/v1", http_client=httpx2.AsyncClient(transport=Stopping())
    )
    with pytest.raises(BaseExceptionGroup) as caught:
        await ask(kind("m", client=client))
    assert [type(error) for error in caught.value.exceptions] == [Stopped]
    await client.close()
