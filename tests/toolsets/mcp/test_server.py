import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import anyio
import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.errors import ConfigurationError, OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.messages import Image, Json, text_of
from assistant_kit.protocols.toolset import ToolContext, Toolset
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.services.processes import free_port
from tests.toolsets.mcp.servers.control import ask, command, context, http_server, until_says
from tests.toolsets.mcp.servers.tool_server import PNG, make_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with http_server(free_port(), tmp_path_factory.mktemp("http") / "log") as url:
        yield url


@pytest.fixture(params=["url", "object"])
def server(request: pytest.FixtureRequest, url: str) -> MCPServer:
    """A server as most tests take it: what they show does not depend on the way to it."""
    return MCPServer({"url": url, "object": make_server()}[request.param], name="demo")


@pytest.fixture(params=["command", "url", "object"])
def any_server(request: pytest.FixtureRequest, url: str) -> MCPServer:
    """A server reached in each of the ways, a process included, which takes its time to start."""
    targets = {"command": command("tool_server"), "url": url, "object": make_server()}
    return MCPServer(targets[request.param], name="demo")


@pytest.fixture
def local() -> MCPServer:
    return MCPServer(make_server(), trust_annotations=True)


def by_name(specs: Sequence[ToolSpec]) -> dict[str, ToolSpec]:
    return {spec.name: spec for spec in specs}


async def test_tools_are_listed_and_called(any_server: MCPServer) -> None:
    toolset: Toolset = any_server
    async with any_server as server:
        specs = by_name(await server.tools())
        assert specs["add"].description == "Add two numbers."
        assert specs["add"].origin == "MCP server demo"
        assert specs["add"].effect == "once"
        assert await ask(server, "add", a=1, b=2) == "3"
        assert toolset.name == "demo"


async def test_results_of_all_kinds_come_back(any_server: MCPServer) -> None:
    async with any_server as server:
        assert json.loads(await ask(server, "weather", city="Oslo")) == {"city": "Oslo", "degrees": 3.5}
        assert (await server.call("picture", {}, context())).content == (Image(data=PNG, media_type="image/png"),)
        assert len(await ask(server, "large", size=3_000_000)) == 3_000_000


async def test_a_failure_that_the_tool_reports_is_a_result_for_the_model(server: MCPServer) -> None:
    async with server:
        output = await server.call("refuse", {}, context())
        assert output.is_error
        assert "there is no such city" in text_of(output.content)


async def test_an_error_of_the_protocol_is_a_tool_error_and_so_is_an_unknown_tool(server: MCPServer) -> None:
    async with server:
        with pytest.raises(ToolError) as protest:
            await server.call("protest", {}, context())
        assert "the account is closed" in str(protest.value)
        assert type(protest.value) is ToolError
        with pytest.raises(ToolError):
            await server.call("nothing", {}, context())
        assert await ask(server, "add", a=1, b=2) == "3"


async def test_a_name_that_no_model_api_admits_is_changed_and_found_again(server: MCPServer) -> None:
    async with server:
        assert "math_add_two" in by_name(await server.tools())
        assert await ask(server, "math_add_two", a=2, b=2) == "4"


async def test_many_calls_share_one_connection_without_waiting_for_each_other(any_server: MCPServer) -> None:
    async with any_server as server:
        answers: list[str] = []

        async def one() -> None:
            answers.append(await ask(server, "short_wait", seconds=0.5))

        with anyio.fail_after(5):  # one after the other they would take 15
            async with anyio.create_task_group() as tasks:
                for _ in range(30):
                    tasks.start_soon(one)
        assert answers == ["waited"] * 30


async def test_a_cancelled_call_is_cancelled_at_the_server_and_the_connection_goes_on(
    any_server: MCPServer, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    async with any_server as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.call, "wait", {"mark": str(mark)}, context())
            await until_says(mark, "started")
            tasks.cancel_scope.cancel()
        await until_says(mark, "cancelled")
        assert await ask(server, "add", a=1, b=2) == "3"


async def test_nobody_knows_what_became_of_a_call_whose_time_is_over(any_server: MCPServer, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with any_server as server:
        soon = Deadline.after(0.3, now=anyio.current_time())
        with pytest.raises(OutcomeUnknown):
            await server.call("wait", {"mark": str(mark)}, context(deadline=soon))
        await until_says(mark, "cancelled")
        assert await ask(server, "add", a=1, b=2) == "3"


async def test_a_call_that_may_be_repeated_fails_plainly_when_its_time_is_over(url: str) -> None:
    for target in (url, make_server()):
        async with MCPServer(target, call_timeout=0.1, effects={"short_wait": "read"}) as server:
            with pytest.raises(ToolError) as failure:
                await ask(server, "short_wait", seconds=5)
            assert type(failure.value) is ToolError
            assert by_name(await server.tools())["short_wait"].timeout == 0.1


async def test_the_idempotency_key_is_sent_and_user_and_conversation_are_not(server: MCPServer) -> None:
    async with server:
        about = json.loads(await ask(server, "about"))
    assert about["own"] == {"assistant-kit/idempotency-key": "key-1"}


async def test_the_application_may_add_fields_to_a_call() -> None:
    def user(context: ToolContext) -> Mapping[str, Json]:
        return {"example.org/user": context.user}

    async with MCPServer(make_server(), meta=user) as server:
        about = json.loads(await ask(server, "about"))
    assert about["own"] == {"assistant-kit/idempotency-key": "key-1", "example.org/user": "u1"}


async def test_the_servers_hints_count_when_the_application_trusts_them(local: MCPServer) -> None:
    async with local:
        assert by_name(await local.tools())["add"].effect == "read"


async def test_approval_is_asked_for_the_named_tools_or_for_all() -> None:
    async with MCPServer(make_server(), needs_approval={"add", "math.add/two"}) as server:
        assert {spec.name for spec in await server.tools() if spec.needs_approval} == {"add", "math_add_two"}
    async with MCPServer(make_server(), needs_approval=True) as server:
        assert all(spec.needs_approval for spec in await server.tools())


async def test_approval_for_a_tool_that_is_not_there_is_refused_for_it_is_a_slip_of_the_pen() -> None:
    with pytest.raises(ToolsetError) as refusal:
        async with MCPServer(make_server(), needs_approval={"ad"}):
            pass
    assert refusal.value.toolset == "tool-server"


async def test_a_server_is_used_inside_its_context_only_and_once_at_a_time(local: MCPServer) -> None:
    with pytest.raises(ToolsetError):
        await local.tools()
    with pytest.raises(ToolError):
        await ask(local, "add", a=1, b=2)
    async with local:
        with pytest.raises(ToolsetError):
            async with local:
                pass
        assert await ask(local, "add", a=1, b=2) == "3"
    with pytest.raises(ToolsetError):
        await local.tools()
    async with local:
        assert await ask(local, "add", a=1, b=2) == "3"
    await local.__aexit__(None, None, None)


async def test_an_error_in_the_body_leaves_as_itself(server: MCPServer) -> None:
    with pytest.raises(KeyError):
        async with server:
            raise KeyError


async def test_a_cancelled_body_ends_the_connection(server: MCPServer) -> None:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, server:
            tasks.cancel_scope.cancel()
            await anyio.sleep_forever()


@pytest.mark.parametrize("first", [0, 1])
async def test_two_servers_can_be_left_in_any_order(first: int) -> None:
    async def hold(server: MCPServer, entered: anyio.Event, leave: anyio.Event, left: anyio.Event) -> None:
        async with server:
            entered.set()
            await leave.wait()
        left.set()

    servers = [MCPServer(command("tool_server")), MCPServer(make_server())]
    events = [[anyio.Event() for _ in range(3)] for _ in servers]
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for server, (entered, leave, left) in zip(servers, events, strict=True):
                tasks.start_soon(hold, server, entered, leave, left)
                await entered.wait()
            for index in (first, 1 - first):
                events[index][1].set()
                await events[index][2].wait()
                if index == first:
                    assert await ask(servers[1 - first], "add", a=1, b=2) == "3"


@pytest.mark.parametrize("target", ["npx -y some-server", "", "file:///etc/passwd", "http://", [], ["npx", 1]])
async def test_what_is_no_target_is_refused_and_starts_nothing(target: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        MCPServer(target)


async def test_settings_that_do_not_go_with_the_target_are_refused() -> None:
    for refused in (
        lambda: MCPServer("https://tools.example/mcp", env={}),
        lambda: MCPServer("https://tools.example/mcp", cwd="/"),
        lambda: MCPServer(["npx"], headers={}),
        lambda: MCPServer(make_server(), headers={}),
        lambda: MCPServer(["npx"], needs_approval="delete"),
    ):
        with pytest.raises(ConfigurationError):
            refused()


async def test_a_server_is_named_after_its_target_and_shows_no_secret() -> None:
    assert MCPServer(["/usr/bin/npx", "-y", "x"], env={"TOKEN": "secret"}).name == "npx"
    assert MCPServer("https://tools.example/mcp").name == "tools.example"
    shown = repr(MCPServer("https://u:secret@tools.example:8000/mcp?k=secret", headers={"authorization": "secret"}))
    assert shown == "MCPServer('tools.example:8000')"
