"""Servers of an assistant that are down, that belong to users, and that have tools of one name."""

from collections.abc import Mapping

import anyio
import pytest
from mcp.server import MCPServer as SDKServer

from assistant_kit.assistant import Assistant
from assistant_kit.errors import ToolsetError
from assistant_kit.events import Complete, Event, ToolResult, ToolsetUnavailable
from assistant_kit.testing.scripted_model import Call, CallTools, Say, ScriptedModel
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.services.processes import free_port
from tests.toolsets.mcp.servers.fault_desk import fault_desk
from tests.toolsets.mcp.servers.tool_server import make_server

pytestmark = pytest.mark.anyio


def named(name: str) -> MCPServer:
    """A server whose one tool says which server it is."""

    def who() -> str:
        return name

    server = SDKServer(name)
    server.add_tool(who, name="who")
    return MCPServer(server, name=name, effects={"who": "read"})


async def events_of(assistant: Assistant[str], user: str = "alice") -> list[Event]:
    async with assistant.stream("Hello?", user=user) as run:
        return [event async for event in run]


async def names_of(assistant: Assistant[str]) -> list[str]:
    return [tool.name for tool in await assistant.tools() if isinstance(tool, ToolSpec)]


async def test_a_run_goes_on_without_an_optional_server_and_says_so_once() -> None:
    port = free_port()
    desk = MCPServer(f"http://127.0.0.1:{port}/mcp", name="desk", required=False)
    model = ScriptedModel([CallTools(Call("add", {"a": 1, "b": 2})), Say("3"), Say("hello")])
    with anyio.fail_after(30):
        async with Assistant(model, tools=[MCPServer(make_server()), desk]) as assistant:
            events = await events_of(assistant)
            (missing,) = (event for event in events if isinstance(event, ToolsetUnavailable))
            assert events[0] is missing
            assert missing.toolset == "desk"
            assert isinstance(events[-1], Complete)
            assert "act" not in await names_of(assistant)
            conditions = assistant.health().conditions
            assert {name: conditions[f"toolset {name}"].state for name in ("tool-server", "desk")} == {
                "tool-server": "available",
                "desk": "down",
            }
            assert not assistant.health().ok
            with fault_desk(port=port):
                while "act" not in await names_of(assistant):  # noqa: ASYNC110  (as runs come)
                    await anyio.sleep(0.05)
                assert not [event for event in await events_of(assistant) if isinstance(event, ToolsetUnavailable)]


async def test_a_required_server_that_is_down_fails_the_start() -> None:
    desk = MCPServer(f"http://127.0.0.1:{free_port()}/mcp", name="desk")
    with pytest.raises(ToolsetError) as failure:
        await Assistant(ScriptedModel([]), tools=[desk]).__aenter__()
    assert failure.value.toolset == "desk"


async def test_two_tools_of_one_name_are_told_apart_and_each_call_finds_its_own() -> None:
    asked = CallTools(Call("first_who"), Call("second_who"))
    async with Assistant(ScriptedModel([asked, Say("done")]), tools=[named("first"), named("second")]) as assistant:
        events = await events_of(assistant)
    results = {event.tool: event.text for event in events if isinstance(event, ToolResult)}
    assert results == {"first_who": "first", "second_who": "second"}


async def test_a_users_run_uses_the_users_connection() -> None:
    def token_of(user: str | None) -> Mapping[str, str]:
        return {"x-token": f"of {user}"}

    asked = CallTools(Call("act"))
    with fault_desk() as desk, anyio.fail_after(30):
        server = MCPServer(desk.url("http"), headers=token_of)
        async with Assistant(ScriptedModel([asked, Say("done"), asked, Say("done")]), tools=[server]) as assistant:
            assert desk.requests == []
            for user in ("alice", "bob"):
                desk.requests.clear()
                assert isinstance((await events_of(assistant, user))[-1], Complete)
                assert {headers["x-token"] for _, _, headers in desk.requests} == {f"of {user}"}
