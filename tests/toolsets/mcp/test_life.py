"""Entering, leaving, being down, and coming back."""

import sys
from collections.abc import Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import anyio
import pytest
from pydantic import ValidationError

from assistant_kit.errors import ConfigurationError, OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.protocols.toolset import PerUserToolset
from assistant_kit.toolsets.mcp import link, mended, targets
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.mcp.targets import WebTransport
from tests.services.processes import free_port
from tests.toolsets.mcp.servers.control import HERE, alive, ask, kill, until, until_gone
from tests.toolsets.mcp.servers.fault_desk import Desk, fault_desk
from tests.toolsets.mcp.servers.http_pages import http_pages
from tests.toolsets.mcp.servers.tool_server import make_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk() -> Generator[Desk]:
    with fault_desk() as desk:
        yield desk


def faults(mode: str = "") -> list[str]:
    return [sys.executable, str(HERE / "faults.py"), mode]


@pytest.mark.parametrize("kind", ["command", "url", "object"])
async def test_a_server_is_left_in_another_task_than_the_one_that_entered_it(desk: Desk, kind: str) -> None:
    server = MCPServer({"command": faults(), "url": desk.url("http"), "object": make_server()}[kind])
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.__aenter__)
        assert len(await server.tools()) > 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.__aexit__, None, None, None)
    assert not server.health().available


async def test_servers_are_left_in_any_order_in_one_task() -> None:
    first, second = MCPServer(make_server()), MCPServer(make_server())
    with anyio.fail_after(20):
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        assert await ask(second, "add", a=1, b=2) == "3"
        await second.__aexit__(None, None, None)


async def test_a_timeout_around_entering_does_no_harm() -> None:
    with fault_desk("slow") as desk:
        with anyio.move_on_after(0.1) as scope:
            await MCPServer(desk.url("http")).__aenter__()
        assert scope.cancelled_caught
    async with AsyncExitStack() as stack:
        with anyio.fail_after(20):
            server = await stack.enter_async_context(MCPServer(make_server()))
        assert await ask(server, "add", a=1, b=2) == "3"


async def test_a_run_that_is_cancelled_takes_no_connection_with_it() -> None:
    async with MCPServer(faults()) as server:
        await kill(int(await ask(server, "act")))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.tools_for, None)  # it begins the new connection
            tasks.cancel_scope.cancel()
        assert (await ask(server, "act")).isdecimal()


async def test_an_optional_server_that_is_down_has_no_tools_and_no_error_and_comes_back() -> None:
    port = free_port()
    server = MCPServer(f"http://127.0.0.1:{port}/mcp", name="desk", required=False)
    assert isinstance(server, PerUserToolset)
    with anyio.fail_after(20):
        async with server:
            offering = await server.tools_for("alice")
            assert list(offering.tools) == []
            assert "ConnectError" in offering.unavailable
            health = server.health()
            assert (health.available, health.connections) == (False, 0)
            assert health.retry_in is not None
            with pytest.raises(ToolError) as failure:
                await ask(server, "act")
            assert type(failure.value) is ToolError
            with fault_desk(port=port):
                while not (offering := await server.tools_for("alice")).tools:  # noqa: ASYNC110  (as runs come)
                    await anyio.sleep(0.05)
                assert offering.unavailable == ""
                assert (await server.tools_for("alice")).tools is offering.tools
                assert server.health().available
                assert (await ask(server, "act")).isdecimal()


async def test_an_optional_server_that_is_down_is_not_waited_for() -> None:
    with fault_desk("slow") as desk:
        async with MCPServer(desk.url("http"), required=False, connect_timeout=0.2) as server:
            await anyio.sleep(server.health().retry_in or 0)
            with anyio.CancelScope() as scope:
                scope.cancel()  # nothing is waited for: the next wait would end here
                offering = await server.tools_for(None)  # begins an attempt
                assert offering.unavailable
                assert await server.tools_for(None) == offering
            assert not scope.cancelled_caught


async def test_a_required_server_that_is_known_to_be_down_fails_at_once() -> None:
    async with MCPServer(f"http://127.0.0.1:{free_port()}/mcp", lazy=True) as server:
        assert server.deferred
        errors: list[str] = []
        for _ in range(2):
            with anyio.fail_after(10), pytest.raises(ToolsetError) as failure:
                await server.tools()
            errors.append(str(failure.value))
        assert "tried again" not in errors[0]
        assert "tried again" in errors[1]


async def test_a_lazy_server_is_connected_by_the_first_who_needs_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    line = ["sh", "-c", f"echo started >> {mark}; exec {sys.executable} {HERE / 'faults.py'}"]
    async with MCPServer(line, lazy=True) as server:
        assert not mark.exists()
        assert server.health().available
        assert [spec.name for spec in await server.tools()] == ["act"]
        assert mark.read_text() == "started\n"


async def test_a_server_that_dies_of_each_call_is_not_started_in_a_loop(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    line = ["sh", "-c", f"echo started >> {mark}; exec {sys.executable} {HERE / 'faults.py'}"]
    async with MCPServer(line) as server:
        for kind in (OutcomeUnknown, OutcomeUnknown, ToolError, ToolError, ToolError):
            with anyio.fail_after(10), pytest.raises(ToolError) as failure:
                await ask(server, "act", do="drop")
            assert type(failure.value) is kind
        assert mark.read_text().count("started") == 2


@pytest.mark.parametrize("mode", ["silent", "anonymous"])
async def test_a_server_that_cannot_answer_the_newer_protocol_is_soon_asked_in_the_older_one(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mended, "SILENCE", 0.3)
    with anyio.fail_after(8):  # the SDK alone waits ten seconds
        async with MCPServer(faults(mode)) as server:
            assert (await ask(server, "act")).isdecimal()
            monkeypatch.setattr(mended, "SILENCE", 1000.0)  # what is known is not searched for again
            await kill(int(await ask(server, "act")))
            assert (await ask(server, "act")).isdecimal()


async def test_a_server_that_is_stuck_after_the_first_question_gives_way_to_a_second_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mended, "SILENCE", 0.1)
    monkeypatch.setattr(targets, "PATIENCE", 0.5)
    mark = tmp_path / "mark"
    line = ["sh", "-c", f"echo $$ >> {mark}; exec {sys.executable} {HERE / 'faults.py'} wedged"]
    with anyio.fail_after(20):
        async with MCPServer(line) as server:
            second = int(await ask(server, "act"))
            first, *others = map(int, mark.read_text().split())
            assert others == [second]
            await until_gone(first)
            assert int(await ask(server, "act")) == second
        assert not alive(second)


async def test_an_old_transport_is_found_behind_a_url_and_is_not_searched_for_again(desk: Desk) -> None:
    async with MCPServer(desk.url("sse"), name="old") as server:
        assert (await ask(server, "act")).isdecimal()
        assert [request[0] for request in desk.requests[:3]] == ["POST", "POST", "GET"]
        before = len(desk.requests)
        for stream in desk.streams:
            stream.put(None)
        await until(lambda: server.health().connections == 0)
        assert (await ask(server, "act")).isdecimal()
        assert desk.requests[before][:2] == ("GET", "/sse")


async def test_a_url_that_is_neither_says_what_it_said_first(desk: Desk) -> None:
    with pytest.raises(ToolsetError) as failure:
        await MCPServer(desk.url("http").replace("/mcp", "/nothing")).__aenter__()
    assert "HTTP 405" in str(failure.value)


async def test_a_url_that_comes_from_others_leads_to_no_private_address_when_the_application_says_so(
    desk: Desk,
) -> None:
    with anyio.fail_after(10), pytest.raises(ToolsetError) as failure:
        await MCPServer(desk.url("http"), allow_private=False).__aenter__()
    assert "PrivateAddress" in str(failure.value)
    assert desk.requests == []
    async with MCPServer(desk.url("http"), allow_private=True) as server:
        assert (await ask(server, "act")).isdecimal()


async def test_a_greeting_that_does_not_follow_the_protocol_is_one_clear_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.toolsets.mcp.servers.faults.VERSION", 5)
    with anyio.fail_after(10), pytest.raises(ToolsetError) as failure:
        await MCPServer(desk.url("http")).__aenter__()
    assert isinstance(failure.value.__cause__, ValidationError)


async def test_a_call_that_lasts_longer_than_its_server_is_used_hears_that_it_was_left(desk: Desk) -> None:
    server = MCPServer(desk.url("http"), effects={"act": "read"})  # it would be called once more
    await server.__aenter__()
    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(ToolError):
                await ask(server, "act", do="hang")

        tasks.start_soon(call)
        await until(lambda: len(desk.requests) >= 4)
        with anyio.fail_after(10):
            await server.__aexit__(None, None, None)


async def test_a_change_of_tools_is_heard_of_in_the_newer_protocol() -> None:
    async with MCPServer(make_server()) as server:
        before = await server.tools()
        assert await ask(server, "grow") == "grown"
        with anyio.fail_after(5):
            while "grown" not in {spec.name for spec in await server.tools()}:  # noqa: ASYNC110  (it is on its way)
                await anyio.sleep(0.01)
        after = await server.tools()
        assert len(after) == len(before) + 1
        assert await server.tools() is after


async def test_a_tool_that_breaks_the_protocol_is_told_of_and_the_others_are_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.toolsets.mcp.servers.faults.TOOL", {"name": "act"})
    async with MCPServer(desk.url("http")) as server:
        assert [spec.name for spec in await server.tools()] == ["act"]
        (note,) = server.health().notes
        assert "'act'" in note


async def test_all_names_of_a_server_get_its_prefix_and_lose_it_in_the_call() -> None:
    async with MCPServer(make_server(), prefix="calc", effects={"add": "read"}, needs_approval={"calc_add"}) as server:
        specs = {spec.name: spec for spec in await server.tools()}
        assert specs["calc_add"].effect == "read"
        assert specs["calc_add"].needs_approval
        assert await ask(server, "calc_add", a=1, b=2) == "3"
        assert await ask(server, "calc_math_add_two", a=1, b=2) == "3"


async def test_settings_of_connections_are_checked() -> None:
    for refused in (
        lambda: MCPServer(["npx"], transport="sse"),
        lambda: MCPServer("https://tools.example/mcp", transport=cast("WebTransport", "stdio")),
        lambda: MCPServer("https://tools.example/mcp", max_connections=0),
        lambda: MCPServer("https://tools.example/mcp", idle=0),
    ):
        with pytest.raises(ConfigurationError):
            refused()


def test_no_more_than_a_few_notes_are_kept() -> None:
    way = link.Way(name="x", open=lambda _: link.Opening(server=make_server()), mode="auto")
    endpoint = link.Endpoint(name="x", ways=(way,), connect_timeout=1, advice="")

    async def scene() -> None:
        one = link.Link(endpoint, link.Terms(origin="x"))
        for number in range(2 * link.NOTES):
            one.note(str(number))
        assert len(one.notes) == link.NOTES
        await anyio.lowlevel.checkpoint()

    anyio.run(scene)


GONE = (503, "text/plain", "")


async def test_an_optional_server_that_fails_a_call_has_no_tools_until_it_is_back() -> None:
    with http_pages() as endpoint, anyio.fail_after(20):
        async with MCPServer(endpoint.url, required=False) as server:
            assert (await server.check()).available
            endpoint.page = GONE
            with pytest.raises(ToolError):
                await ask(server, "echo")
            assert (await server.tools_for(None)).unavailable
            assert not (await server.check()).available
            endpoint.page = None
            while not (await server.tools_for(None)).tools:  # noqa: ASYNC110  (as runs come)
                await anyio.sleep(0.05)
            assert (await server.check()).available
        assert not (await server.check()).available


async def test_a_server_that_one_user_finds_gone_is_down_for_the_health_of_the_application() -> None:
    with http_pages() as endpoint, anyio.fail_after(20):
        async with MCPServer(endpoint.url, headers=lambda user: {"x-user": str(user)}, required=False) as server:
            for user in ("ann", "bob", "carl"):
                assert (await server.tools_for(user)).tools
            await ask(server, "echo")
            endpoint.page = GONE
            assert (server.health().available, server.health().connections) == (True, 4)
            assert not (await server.check("u1")).available
            assert (server.health().available, server.health().connections) == (False, 0)
            endpoint.page = None
            for user in ("ann", "bob"):
                while not (await server.check(user)).available:  # noqa: ASYNC110  (as runs come)
                    await anyio.sleep(0.05)
            assert (server.health().available, server.health().connections) == (True, 2)


async def test_a_connection_that_a_call_waits_on_outlives_a_look_that_fails() -> None:
    with http_pages() as endpoint, anyio.fail_after(20):
        async with MCPServer(endpoint.url, required=False) as server, anyio.create_task_group() as tasks:
            endpoint.fault = "hang"
            tasks.start_soon(_fails, server)
            while not endpoint.calls:  # noqa: ASYNC110  (no event comes from there)
                await anyio.sleep(0.005)
            endpoint.page = GONE
            assert not (await server.check()).available
            assert server.health().connections == 1
            endpoint.page = None
            assert (await server.check()).available
            endpoint.cancelled.set()


async def _fails(server: MCPServer) -> None:
    with pytest.raises(OutcomeUnknown):
        await ask(server, "echo")
