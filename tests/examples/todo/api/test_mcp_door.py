"""The MCP server beside the API: the same tokens, the same tasks."""

from pathlib import Path

import anyio
import httpx2
import pytest

from assistant_kit import Assistant, MCPServer, ToolsetError
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel
from tests.examples.todo.service import quick_app, served, settings_in, sign_up

pytestmark = pytest.mark.anyio


async def test_a_client_with_an_access_token_has_the_tools_and_the_tasks_of_its_user(tmp_path: Path) -> None:
    with anyio.fail_after(30), served(quick_app(settings_in(tmp_path))) as base:
        async with httpx2.AsyncClient(base_url=base, timeout=20) as http:
            ann, bob = await sign_up(http, "ann@example.org"), await sign_up(http, "bob@example.org")
            await bob.chat("add bread to my list")
            model = ScriptedModel([CallTools(Call("add_task", {"title": "milk"})), "Added."])
            tools = MCPServer(f"{base}/mcp", headers=ann.headers, allow_private=True)
            async with Assistant(model, tools=[tools]) as assistant:
                await assistant.run("milk")
            assert (await ann.titles(), await bob.titles()) == (["milk"], ["bread"])


async def test_a_client_without_a_token_is_not_let_in(tmp_path: Path) -> None:
    with anyio.fail_after(30), served(quick_app(settings_in(tmp_path))) as base:
        async with httpx2.AsyncClient(base_url=base, timeout=20) as http:
            answer = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        with pytest.raises(ToolsetError):
            await MCPServer(f"{base}/mcp", allow_private=True).__aenter__()


async def test_a_body_that_is_too_large_is_refused_here_as_well(tmp_path: Path) -> None:
    with anyio.fail_after(30), served(quick_app(settings_in(tmp_path))) as base:
        async with httpx2.AsyncClient(base_url=base, timeout=20) as http:
            answer = await http.post("/mcp", content=b"x" * 100_000)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
