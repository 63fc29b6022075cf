"""The code that docs/mcp.md shows."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.messages import Json, text_of
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.tool_spec import keyed
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.services.processes import free_port
from tests.toolsets.certificates import Authority
from tests.toolsets.mcp.servers.control import ask, command, context
from tests.toolsets.mcp.servers.fault_desk import fault_desk
from tests.toolsets.mcp.servers.task_desk import task_desk
from tests.toolsets.mcp.servers.tool_server import make_server

pytestmark = pytest.mark.anyio


def targets() -> list[MCPServer]:
    # --8<-- [start:targets]
    files = MCPServer(["npx", "-y", "@modelcontextprotocol/server-filesystem", "/srv/files"], name="files")
    search = MCPServer("https://tools.example/mcp", headers={"Authorization": "Bearer …"})
    # --8<-- [end:targets]
    return [files, search]


async def test_targets_are_named() -> None:
    assert [server.name for server in targets()] == ["files", "tools.example"]


async def test_long_tasks_get_more_time() -> None:
    with task_desk("2026-07-28") as desk:
        desk.at_once = {"status": "completed", "result": {"content": [{"type": "text", "text": "built"}]}}
        url = desk.url
        # --8<-- [start:tasks]
        builds = MCPServer(url, name="builds", call_timeout=3600.0)
        # --8<-- [end:tasks]
        async with builds:
            assert {(spec.timeout, spec.reconciles) for spec in await builds.tools()} == {(3600.0, True)}
            assert text_of((await builds.call("build", {}, context("build"))).content) == "built"


async def test_effects_are_declared() -> None:
    target = command("tool_server")
    # --8<-- [start:effects]
    server = MCPServer(
        target,
        effects={"weather": "read", "add": keyed(86_400)},
        needs_approval={"die"},
        call_timeout=30.0,
    )
    # --8<-- [end:effects]
    async with server:
        specs = {spec.name: spec for spec in await server.tools()}
    assert (specs["weather"].effect, specs["add"].effect, specs["refuse"].effect) == ("read", keyed(86_400), "once")
    assert specs["die"].needs_approval


def test_a_certificate_is_shown(tmp_path: Path) -> None:
    Authority(tmp_path).caller()
    authority, certificate = tmp_path / "ca.pem", tmp_path / "caller.pem"

    # --8<-- [start:tls]
    def tls() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(certificate)
        return context

    server = MCPServer("https://tools.internal/mcp", verify=tls)
    # --8<-- [end:tls]
    assert tls().cert_store_stats()["x509_ca"] == 1
    assert server.name == "tools.internal"


async def test_tools_are_pinned(tmp_path: Path) -> None:
    target, file = make_server(), tmp_path / "files.pins.json"
    # --8<-- [start:pin]
    async with MCPServer(target) as server:
        await server.pin(file)  # once; look at the file, and commit it

    pinned = MCPServer(target, pins=file)
    # --8<-- [end:pin]
    async with pinned:
        assert await ask(pinned, "add", a=1, b=2) == "3"


async def test_progress_prolongs_a_call() -> None:
    target = make_server()
    # --8<-- [start:progress]
    server = MCPServer(target, call_timeout=30.0, call_cap=3600.0)
    # --8<-- [end:progress]
    async with server:
        assert await ask(server, "advance", steps=1, pause=0) == "arrived"


async def test_trusted_fields_are_sent() -> None:
    # --8<-- [start:meta]
    def who(context: ToolContext) -> Mapping[str, Json]:
        return {"example.org/user": context.user}

    server = MCPServer(make_server(), meta=who)
    # --8<-- [end:meta]
    async with server:
        about = json.loads(text_of((await server.call("about", {}, context())).content))
    assert about["own"]["example.org/user"] == "u1"


async def test_a_toolset_is_used_by_itself() -> None:
    target = make_server()
    # --8<-- [start:alone]
    async with MCPServer(target) as server:
        for spec in await server.tools():
            print(spec.name, spec.effect)  # noqa: T201
        call = ToolContext(user=None, conversation=None, call_id="1", tool="add", idempotency_key="1")
        try:
            output = await server.call("add", {"a": 1, "b": 2}, call)
        except OutcomeUnknown:
            ...  # it may have run: look before it is called again
        except ToolError:
            ...  # it has not run, or may be called again
        else:
            assert text_of(output.content) == "3"
    # --8<-- [end:alone]


async def test_a_server_may_be_down() -> None:
    url = f"http://127.0.0.1:{free_port()}/mcp"
    # --8<-- [start:optional]
    search = MCPServer(url, name="search", required=False)
    # --8<-- [end:optional]
    async with search:
        assert (await search.tools_for("u1")).unavailable
        assert not search.health().available


async def test_users_have_connections_of_their_own() -> None:
    tokens = {"alice": "a", "bob": "b"}
    with fault_desk() as desk:
        url = desk.url("http")

        # --8<-- [start:users]
        def credentials(user: str | None) -> Mapping[str, str]:
            return {"Authorization": f"Bearer {tokens[user]}"} if user else {}

        calendar = MCPServer(url, name="calendar", headers=credentials, max_connections=100, idle=300.0)
        # --8<-- [end:users]
        async with calendar:
            for user in tokens:
                assert (await calendar.tools_for(user)).tools
    assert {headers["authorization"] for _, _, headers in desk.requests} == {"Bearer a", "Bearer b"}
