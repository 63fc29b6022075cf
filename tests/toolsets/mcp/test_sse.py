from collections.abc import Generator

import anyio
import pytest

from assistant_kit.errors import OutcomeUnknown, ToolsetError
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.toolsets.mcp.servers.control import ask, context
from tests.toolsets.mcp.servers.fault_desk import Desk, fault_desk

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk() -> Generator[Desk]:
    with fault_desk() as desk:
        yield desk


def at(desk: Desk, path: str) -> MCPServer:
    return MCPServer(desk.url("sse").replace("/sse", path), transport="sse", headers={"x-token": "secret"}, name="old")


async def test_a_redirect_is_followed_while_it_stays_with_the_server(desk: Desk) -> None:
    async with at(desk, "/moved") as server:
        assert (await ask(server, "act")).isdecimal()
    assert {headers["x-token"] for _, _, headers in desk.requests} == {"secret"}


@pytest.mark.parametrize(
    ("path", "told"), [("/away", "HTTP 307"), ("/round", "redirects"), ("/page", "HTTP 200"), ("/nothing", "HTTP 405")]
)
async def test_what_is_no_stream_of_events_is_one_clear_error(desk: Desk, path: str, told: str) -> None:
    with anyio.fail_after(10), pytest.raises(ToolsetError) as failure:
        await at(desk, path).__aenter__()
    assert told in str(failure.value)
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.2:9/messages", "https://127.0.0.1/messages", "//u:p@other/x"])
async def test_messages_are_posted_to_no_other_server(desk: Desk, elsewhere: str) -> None:
    desk.endpoint = elsewhere
    with anyio.fail_after(10), pytest.raises(ToolsetError):
        await at(desk, "/sse").__aenter__()
    assert [method for method, _, _ in desk.requests] == ["GET"]


async def test_a_stream_that_ends_before_it_says_where_to_post_is_one_clear_error() -> None:
    with fault_desk("dies") as desk, anyio.fail_after(10), pytest.raises(ToolsetError) as failure:
        await at(desk, "/sse").__aenter__()
    assert "ended before" in str(failure.value)


async def test_a_message_that_is_redirected_is_one_clear_error(desk: Desk) -> None:
    desk.endpoint = "/moved"
    with anyio.fail_after(10), pytest.raises(ToolsetError) as failure:
        await at(desk, "/sse").__aenter__()
    assert "HTTP 307" in str(failure.value)


@pytest.mark.parametrize("mode", ["", "cut"])
async def test_a_stream_that_ends_fails_the_calls_that_wait_and_the_next_one_has_a_new_stream(
    desk: Desk, mode: str
) -> None:
    desk.mode = mode
    async with at(desk, "/sse") as server:
        async with anyio.create_task_group() as tasks:

            async def interrupted() -> None:
                with pytest.raises(OutcomeUnknown):
                    await server.call("act", {"do": "hang"}, context())

            tasks.start_soon(interrupted)
            with anyio.fail_after(10):
                while len(desk.requests) < 5:  # noqa: ASYNC110  (the last is the call)
                    await anyio.sleep(0.01)
            desk.streams[0].put(None)
        assert (await ask(server, "act")).isdecimal()
        assert len(desk.streams) == 2


async def test_a_call_that_a_server_does_not_take_as_its_stream_has_ended_is_made_on_a_new_one(desk: Desk) -> None:
    async with at(desk, "/sse") as server:
        desk.mode = "ends first"
        with anyio.fail_after(10):
            assert (await ask(server, "act")).isdecimal()
        assert len(desk.streams) == 2


async def test_empty_and_foreign_events_are_passed_over(desk: Desk) -> None:
    async with at(desk, "/sse") as server:
        desk.streams[0].put(b": still here\n\nevent: message\ndata:\n\nevent: ping\ndata: x\n\ndata: noise\n\n")
        assert (await ask(server, "act")).isdecimal()
