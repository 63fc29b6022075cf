from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.services.processes import free_port
from tests.toolsets.mcp.servers.control import ask, http_server, until_says
from tests.toolsets.mcp.servers.http_pages import Endpoint, http_pages

pytestmark = pytest.mark.anyio


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with http_pages() as endpoint:
        yield endpoint


async def test_a_server_that_is_not_there_is_one_clear_error_without_secrets() -> None:
    port = free_port()
    with pytest.raises(ToolsetError) as failure:
        async with MCPServer(f"http://user:secret@127.0.0.1:{port}/mcp?key=secret"):
            pass
    assert failure.value.toolset == f"127.0.0.1:{port}"
    assert "ConnectError" in str(failure.value)
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ((404, "text/html", "<h1>no such page</h1>"), "HTTP 404 Not Found"),
        ((401, "application/json", '{"error": "no token"}'), "no token"),
        ((500, "text/plain", ""), "HTTP 500 Internal Server Error"),
        ((200, "text/html", "<h1>welcome</h1>"), "text/html"),
        ((200, "application/json", "welcome"), "Failed to parse JSON"),
    ],
)
async def test_what_is_no_mcp_endpoint_is_one_clear_error(
    endpoint: Endpoint, page: tuple[int, str, str], told: str
) -> None:
    endpoint.page = page
    with anyio.fail_after(20), pytest.raises(ToolsetError) as failure:
        async with MCPServer(endpoint.url, name="page"):
            pass
    assert failure.value.toolset == "page"
    assert told in str(failure.value)
    assert "secret" not in str(failure.value)


async def test_a_version_of_the_protocol_that_nobody_knows_is_one_clear_error(endpoint: Endpoint) -> None:
    endpoint.version = "1999-01-01"
    with pytest.raises(ToolsetError) as failure:
        async with MCPServer(endpoint.url):
            pass
    assert "1999-01-01" in str(failure.value)


async def test_a_list_that_is_none_of_tools_offers_none(endpoint: Endpoint) -> None:
    endpoint.tools = [{"inputSchema": {"type": "object"}}]
    async with MCPServer(endpoint.url) as server:
        assert list(await server.tools()) == []
        assert len(server.health().notes) == 1


@pytest.mark.parametrize("fault", ["drop", "half", "half stream", "nonsense", "500", "502"])
async def test_a_call_that_breaks_on_its_way_fails_alone_and_its_outcome_is_unknown(
    endpoint: Endpoint, fault: str
) -> None:
    async with MCPServer(endpoint.url) as server:
        endpoint.fault = fault
        with anyio.fail_after(10), pytest.raises(OutcomeUnknown):
            await ask(server, "echo", text="hello")
        endpoint.fault = ""
        assert await ask(server, "echo", text="hello") == '{"text": "hello"}'
        assert endpoint.calls == 2


async def test_a_call_that_breaks_fails_plainly_when_it_may_be_repeated(endpoint: Endpoint) -> None:
    async with MCPServer(endpoint.url, effects={"echo": "idempotent"}) as server:
        endpoint.fault = "drop"
        with pytest.raises(ToolError) as failure:
            await ask(server, "echo", text="hello")
        assert type(failure.value) is ToolError


async def test_a_call_that_is_refused_has_not_run(endpoint: Endpoint) -> None:
    async with MCPServer(endpoint.url) as server:
        endpoint.fault = "429"
        with pytest.raises(ToolError) as failure:
            await ask(server, "echo", text="hello")
        assert type(failure.value) is ToolError


@pytest.mark.parametrize(
    "lost",
    [
        (404, -32001, "Session not found"),
        (400, -32000, "Bad Request: No valid session ID provided"),  # server-everything, as the SDK for Node shows it
    ],
)
async def test_a_lost_session_is_replaced_without_a_word(endpoint: Endpoint, lost: tuple[int, int, str]) -> None:
    async with MCPServer(endpoint.url) as server:
        endpoint.session, endpoint.lost = "s2", lost
        assert await ask(server, "echo", text="hello") == '{"text": "hello"}'
        assert endpoint.calls == 1


async def test_a_session_that_is_lost_at_each_call_is_not_replaced_for_ever(endpoint: Endpoint) -> None:
    async with MCPServer(endpoint.url) as server:
        endpoint.fault = "404"
        with anyio.fail_after(10), pytest.raises(ToolError) as failure:
            await ask(server, "echo", text="hello")
        assert type(failure.value) is ToolError


async def test_headers_are_sent_with_each_request(endpoint: Endpoint) -> None:
    async with MCPServer(endpoint.url.replace("user:secret@", ""), headers={"authorization": "Bearer token"}) as server:
        await ask(server, "echo", text="hello")
    assert set(endpoint.authorizations) == {"Bearer token"}


@pytest.mark.parametrize("form", ["stream", "json"])
async def test_a_server_that_comes_back_is_used_again(tmp_path: Path, form: str) -> None:
    port = free_port()
    mark = tmp_path / "mark"
    with ExitStack() as first:
        url = first.enter_context(http_server(port, tmp_path / "first", form))
        async with MCPServer(url) as server, anyio.create_task_group() as tasks:
            assert await ask(server, "add", a=1, b=2) == "3"

            async def interrupted() -> None:
                with pytest.raises(OutcomeUnknown):
                    await ask(server, "wait", mark=str(mark))

            tasks.start_soon(interrupted)
            await until_says(mark, "started")
            first.close()
            with pytest.raises(ToolError) as failure:
                await ask(server, "add", a=1, b=2)
            assert type(failure.value) is ToolError
            with http_server(port, tmp_path / "second", form):
                assert await ask(server, "add", a=1, b=2) == "3"


async def test_leaving_a_server_that_is_gone_takes_no_time(tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(http_server(free_port(), tmp_path / "log"))
        with anyio.fail_after(5):
            async with MCPServer(url):
                stack.close()
