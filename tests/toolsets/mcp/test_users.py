"""Connections of users: each has one of their own, with their own credentials and tools."""

from collections.abc import Generator, Mapping
from contextvars import copy_context

import anyio
import httpx2
import pytest

from assistant_kit.errors import ToolError, ToolsetError
from assistant_kit.messages import Json, text_of
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets._definitions import Terms
from assistant_kit.toolsets.mcp.connections import Connections, Keeping, Plan
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.mcp.targets import Address
from tests.policies.timing import LOOPS, in_virtual_time
from tests.toolsets.mcp.servers.control import until
from tests.toolsets.mcp.servers.fault_desk import Desk, fault_desk
from tests.toolsets.mcp.servers.http_pages import http_pages
from tests.toolsets.mcp.servers.tool_server import make_server


@pytest.fixture
def desk() -> Generator[Desk]:
    with fault_desk() as desk:
        yield desk


def of(user: str | None) -> ToolContext:
    return ToolContext(user=user, conversation="c", call_id="1", tool="act", idempotency_key="1")


def token_of(user: str | None) -> Mapping[str, str]:
    return {"x-token": f"of {user}"}


def tokens(desk: Desk) -> set[str]:
    return {headers.get("x-token", "none") for _, _, headers in desk.requests}


@pytest.mark.anyio
async def test_each_user_has_a_connection_with_their_own_credentials(desk: Desk) -> None:
    async with MCPServer(desk.url("http"), headers=token_of) as server:
        assert server.deferred
        assert desk.requests == []
        for user in ("alice", "bob"):
            desk.requests.clear()
            assert (await server.tools_for(user)).tools
            assert text_of((await server.call("act", {}, of(user))).content).isdecimal()
            assert tokens(desk) == {f"of {user}"}
        desk.requests.clear()
        async with anyio.create_task_group() as tasks:
            for user in ("alice", "bob") * 5:
                tasks.start_soon(server.call, "act", dict[str, Json](), of(user))
        assert tokens(desk) == {"of alice", "of bob"}
        assert len(desk.requests) == 10
        assert server.health().connections == 2


@pytest.mark.anyio
async def test_authentication_may_be_the_users_too_and_need_not_be_there(desk: Desk) -> None:
    def auth_of(user: str | None) -> httpx2.Auth | None:
        return None if user is None else httpx2.BasicAuth(user, "secret")

    async with MCPServer(desk.url("http"), auth=auth_of) as server:
        await server.call("act", {}, of("alice"))
        signed = {headers.get("authorization", "none") for _, _, headers in desk.requests}
        desk.requests.clear()
        await server.call("act", {}, of(None))
        plain = {headers.get("authorization", "none") for _, _, headers in desk.requests}
    assert len(signed) == 1
    assert signed != plain == {"none"}


@pytest.mark.anyio
async def test_one_authentication_serves_all_users_over_one_connection(desk: Desk) -> None:
    async with MCPServer(desk.url("http"), auth=httpx2.BasicAuth("app", "secret")) as server:
        assert not server.deferred
        for user in ("alice", "bob"):
            await server.call("act", {}, of(user))
        assert server.health().connections == 1


@pytest.mark.anyio
async def test_a_user_without_credentials_fails_alone(desk: Desk) -> None:
    def only_alice(user: str | None) -> Mapping[str, str]:
        return {"x-token": {"alice": "secret"}[str(user)]}

    async with MCPServer(desk.url("http"), headers=only_alice) as server:
        with pytest.raises(ToolsetError) as failure:
            await server.tools_for("bob")
        assert isinstance(failure.value.__cause__, KeyError)
        assert "secret" not in str(failure.value)
        with pytest.raises(ToolError):
            await server.call("act", {}, of("bob"))
        assert (await server.tools_for("alice")).tools


@pytest.mark.anyio
async def test_the_connections_not_used_for_the_longest_time_give_way(desk: Desk) -> None:
    async with MCPServer(desk.url("sse"), transport="sse", headers=token_of, max_connections=2) as server:
        for user in ("alice", "bob", "alice", "carol"):
            with anyio.fail_after(10):
                await server.call("act", {}, of(user))
        assert server.health().connections == 2
        desk.requests.clear()
        await server.call("act", {}, of("alice"))
        assert not [request for request in desk.requests if request[0] == "GET"]
        await server.call("act", {}, of("bob"))
        assert [request[2]["x-token"] for request in desk.requests if request[0] == "GET"] == ["of bob"]


@pytest.mark.anyio
async def test_a_connection_in_use_does_not_give_way_and_is_not_idle() -> None:
    with http_pages() as pages:
        address = Address(target=pages.url, name="pages", headers=token_of)
        plan = Plan(address=address, terms=Terms(origin="x"), check=lambda _: None, context=copy_context())
        connections = Connections(plan, Keeping(most=1, idle=0.05))
        with anyio.fail_after(10):
            with connections.used_by("alice") as alices:
                with connections.used_by("bob") as bobs:
                    await bobs.get()
                await alices.get()
                await until(lambda: len(connections.all) == 1)
                await anyio.sleep(0.2)
                assert connections.all == (alices,)
                assert alices.link is not None
            await until(lambda: connections.all == ())
            await connections.aclose()


@pytest.mark.anyio
async def test_a_connection_that_was_closed_is_not_made_again() -> None:
    address = Address(target=make_server(), name="own")
    plan = Plan(address=address, terms=Terms(origin="x"), check=lambda _: None, context=copy_context())
    connections = Connections(plan, Keeping())
    with connections.used_by("alice") as connection:
        assert (await connection.offering()).tools
        await connections.aclose()
        assert connection.availability.peek() is None
        with pytest.raises(ToolsetError):
            await connection.availability.get()
        with pytest.raises(ToolsetError):
            await connection.get()
        assert connection.link is None
    with anyio.fail_after(5):
        await connections.aclose()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_is_not_used_is_closed_in_time(loop: str) -> None:
    async def scene() -> None:
        address = Address(target=make_server(), name="own", headers=token_of)
        plan = Plan(address=address, terms=Terms(origin="x"), check=lambda _: None, context=copy_context())
        connections = Connections(plan, Keeping(idle=300.0))
        kept: list[int] = []
        with connections.used_by("alice") as alices:
            await alices.get()
        await anyio.sleep(200)
        with connections.used_by("bob") as bobs:
            await bobs.get()
        for _ in range(4):
            kept.append(len(connections.all))
            await anyio.sleep(101)
        kept.append(len(connections.all))
        assert kept == [2, 1, 1, 0, 0]
        await connections.aclose()

    in_virtual_time(loop, scene)
