from threading import Barrier

import anyio
import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.errors import ToolError, ToolsetError
from assistant_kit.messages import text_of
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.protocols.user_data import Keeper, UserData
from assistant_kit.toolsets.mcp.oauth import MCPOAuth, MemoryTokens, Redirect, TokenKey
from assistant_kit.toolsets.mcp.patience import connecting, while_a_person_decides
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.toolsets.mcp.oauth.guarded_server import GuardedServer, person

pytestmark = pytest.mark.anyio


def run_of(user: str) -> ToolContext:
    return ToolContext(
        user=user, conversation="c1", call_id="call-1", tool="echo", idempotency_key="k1", deadline=Deadline()
    )


async def test_each_user_calls_with_a_token_of_their_own(server: GuardedServer) -> None:
    with anyio.fail_after(30):
        async with MCPServer(server.url, auth=MCPOAuth(server.url, consent=person())) as mcp:
            said = [text_of((await mcp.call("echo", {}, run_of(user))).content) for user in ("ada", "bob", "ada")]
    assert said == ["ada", "bob", "ada"]
    assert len(server.consents) == 2


async def test_a_user_who_is_erased_leaves_no_token_and_is_told_of_it_before(server: GuardedServer) -> None:
    storage = MemoryTokens()
    with anyio.fail_after(30):
        async with MCPServer(server.url, auth=MCPOAuth(server.url, consent=person(), storage=storage)) as mcp:
            await mcp.call("echo", {}, run_of("ada"))
            assert isinstance(mcp, Keeper)
            [told] = [told async for told in mcp.export_user("ada")]
            await mcp.erase_user("ada")
            assert [told async for told in mcp.export_user("ada")] == []
    assert isinstance(told, UserData)
    assert told.data["issuer"] == server.issuer
    assert "access-" not in str(told)
    assert await storage.load(TokenKey(server=server.url, kind="grant", user="ada")) is None
    other = MCPServer(["true"])
    await other.erase_user("ada")
    assert [told async for told in other.export_user("ada")] == []


async def test_calls_over_one_connection_go_side_by_side(server: GuardedServer) -> None:
    said: list[str] = []

    async def call(mcp: MCPServer) -> None:
        said.append(text_of((await mcp.call("echo", {}, run_of("ada"))).content))

    with anyio.fail_after(60):
        async with MCPServer(server.url, auth=MCPOAuth(server.url, consent=person())("ada")) as mcp:
            server.together = Barrier(64)  # none is answered before all are there
            async with anyio.create_task_group() as tasks:
                for _ in range(64):
                    tasks.start_soon(call, mcp)
            server.together = None
    assert said == ["ada"] * 64


async def test_one_authentication_serves_a_program_with_one_user(server: GuardedServer) -> None:
    with anyio.fail_after(30):
        async with MCPServer(server.url, auth=MCPOAuth(server.url, consent=person())()) as mcp:
            assert [tool.name for tool in await mcp.tools()] == ["echo"]
            server.demands = "write"
            assert text_of((await mcp.call("echo", {}, run_of("ada"))).content) == "nobody"
    assert server.consents[-1]["scope"] == "write"


async def test_a_consent_that_is_refused_is_an_error_of_the_one_call(server: GuardedServer) -> None:
    async def nothing(_: object) -> None:
        pass

    async def no_code(_: object) -> str:
        return "http://127.0.0.1/callback"

    consent = Redirect(redirect_uri="http://127.0.0.1/callback", open_url=nothing, wait_for_code=no_code)
    with anyio.fail_after(30):
        with pytest.raises(ToolsetError):
            async with MCPServer(server.url, auth=MCPOAuth(server.url, consent=consent)()):
                pass
        somebody = MCPOAuth(server.url, consent=person())()
        async with MCPServer(server.url, auth=somebody) as mcp:
            server.faults["/as/token"] = (503, {})
            server.tokens.clear()
            with pytest.raises(ToolError):
                await mcp.call("echo", {}, run_of("ada"))
            server.faults.clear()
            assert text_of((await mcp.call("echo", {}, run_of("ada"))).content) == "nobody"


async def test_the_time_for_a_connection_stands_still_while_a_person_decides() -> None:
    with anyio.fail_after(1) as scope, connecting(scope):
        before = scope.deadline
        with while_a_person_decides():
            assert scope.deadline == float("inf")
            await anyio.lowlevel.checkpoint()
        assert before <= scope.deadline < float("inf")
    with while_a_person_decides():
        assert scope.deadline < float("inf")
