"""What a caller gets of each fault on each transport; that its task lives, and that the next call works."""

import sys
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import anyio
import pytest
from mcp.server import MCPServer as SDKServer

from assistant_kit.deadline import Deadline
from assistant_kit.errors import OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.toolsets.mcp import mended
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.services.processes import free_port
from tests.toolsets.mcp.servers.control import HERE, ask, context, kill
from tests.toolsets.mcp.servers.fault_desk import fault_desk
from tests.toolsets.mcp.servers.faults import LARGE

pytestmark = pytest.mark.anyio
Transport: TypeAlias = Literal["stdio", "http", "sse"]
TRANSPORTS: tuple[Transport, ...] = ("stdio", "http", "sse")


@dataclass
class Stage:
    """A server of one transport, which meets its clients as `mode` says; it can be ended and begun again."""

    transport: Transport
    port: int = field(default_factory=free_port)
    running: ExitStack = field(default_factory=ExitStack)

    def begin(self, mode: str = "") -> MCPServer:
        if self.transport == "stdio":
            return MCPServer([sys.executable, str(HERE / "faults.py"), mode], name="faults", call_timeout=5)
        desk = self.running.enter_context(fault_desk(mode, self.port))
        return MCPServer(desk.url(self.transport), name="faults", transport=self.transport, call_timeout=5)

    async def end(self, server: MCPServer) -> None:
        if self.transport == "stdio":
            await kill(int(await ask(server, "act")))
        else:
            await anyio.to_thread.run_sync(self.running.close)


@pytest.fixture(params=TRANSPORTS)
def stage(request: pytest.FixtureRequest) -> Generator[Stage]:
    stage = Stage(request.param)
    with stage.running:
        yield stage


async def works(server: MCPServer) -> bool:
    with anyio.fail_after(20):
        return (await ask(server, "act")).isdecimal()


async def failure_of(server: MCPServer, do: str) -> type[ToolError]:
    """The kind of error that a call ends with; that it is raised at all shows that its task was not cancelled."""
    with anyio.fail_after(20), pytest.raises(ToolError) as failure:
        await ask(server, "act", do=do)
    return type(failure.value)


@pytest.mark.parametrize("do", ["drop", "half", "malformed"])
async def test_a_call_that_was_sent_and_has_no_proper_answer_may_have_run_and_the_next_one_works(
    stage: Stage, do: str
) -> None:
    async with stage.begin() as server:
        assert await failure_of(server, do) is OutcomeUnknown
        assert await works(server)


async def test_a_call_that_hangs_ends_with_its_time_and_the_next_one_works(stage: Stage) -> None:
    async with stage.begin() as server:
        soon = Deadline.after(0.3, now=anyio.current_time())
        with anyio.fail_after(20), pytest.raises(OutcomeUnknown):
            await server.call("act", {"do": "hang"}, context(deadline=soon))
        assert await works(server)


async def test_a_result_of_20_mb_comes_whole(stage: Stage) -> None:
    async with stage.begin() as server:
        with anyio.fail_after(60):
            assert len(await ask(server, "act", do="large")) == LARGE
        assert await works(server)


async def test_a_result_of_20_mb_comes_whole_in_this_process() -> None:
    own = SDKServer("own")
    own.add_tool(lambda: "x" * LARGE, name="act", description="")
    with anyio.fail_after(60):
        async with MCPServer(own) as server:
            assert len(await ask(server, "act")) == LARGE


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize(
    ("status", "kind"), [("500", OutcomeUnknown), ("502", OutcomeUnknown), ("503", ToolError), ("401", ToolError)]
)
async def test_a_status_that_refuses_a_call_fails_it_alone(
    transport: Transport, status: str, kind: type[ToolError]
) -> None:
    stage = Stage(transport)
    with stage.running:
        async with stage.begin() as server:
            assert await failure_of(server, status) is kind
            assert await works(server)


async def test_a_server_that_restarts_between_calls_is_used_again_without_a_word(stage: Stage) -> None:
    async with stage.begin() as server:
        assert await works(server)
        await stage.end(server)
        if stage.transport != "stdio":
            stage.begin()
        assert await works(server)


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_server_that_is_gone_fails_a_call_that_has_not_run_and_works_when_it_is_back(
    transport: Transport,
) -> None:
    stage = Stage(transport)
    with stage.running:
        async with stage.begin() as server:
            await stage.end(server)
            assert await failure_of(server, "echo") is ToolError
            stage.begin()
            await anyio.sleep(server.health().retry_in or 0)  # half a second at most: it is left alone
            assert await works(server)


async def test_nobody_at_the_address_is_one_error_at_once() -> None:
    url = f"http://127.0.0.1:{free_port()}/mcp"
    for server in (MCPServer(["no-such-command"]), MCPServer(url), MCPServer(url, transport="sse")):
        with anyio.fail_after(10), pytest.raises(ToolsetError):
            await server.__aenter__()


async def test_a_server_that_starts_slowly_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mended, "SILENCE", 0.1)  # as 3 seconds to a start that takes ten
    with anyio.fail_after(20):
        async with stage.begin("slow") as server:
            assert await works(server)


async def test_a_server_that_ends_while_it_is_greeted_is_one_error(stage: Stage) -> None:
    with anyio.fail_after(20), pytest.raises(ToolsetError) as failure:
        await stage.begin("dies").__aenter__()
    assert failure.value.toolset == "faults"
    if stage.transport == "stdio":
        assert "exit code 3; the last it wrote: no licence" in str(failure.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_calls_beside_one_that_breaks_go_on(transport: Transport) -> None:
    stage = Stage(transport)
    with stage.running:
        async with stage.begin() as server:
            answers: list[bool] = []

            async def call() -> None:
                answers.append(await works(server))

            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(call)
                assert await failure_of(server, "malformed") is OutcomeUnknown
            assert answers == [True] * 5
