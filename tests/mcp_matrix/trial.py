"""One server over one transport: listed, called, given wrong arguments, killed in mid-call, used again."""

import os
import re
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process

from assistant_kit import MCPServer
from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.messages import JsonObject, text_of
from tests.mcp_matrix.servers import RealServer, Start, Transport
from tests.services.processes import free_port
from tests.toolsets.mcp.servers.control import context, listens

PATIENCE = 60.0  # seconds for everything a trial does: servers of others take up to ten to start
LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(slots=True)
class Running:
    """A server that runs by itself, not as a child of the adapter, and can be killed and started again."""

    start: Start
    folder: Path
    port: int
    variables: Mapping[str, str]
    process: Process | None = None

    async def launch(self) -> None:
        """Start it, and wait until it listens."""
        own = {self.start.port_variable: str(self.port)} if self.start.port_variable else {}
        self.process = await anyio.open_process(
            list(self.start.command(self.folder, self.port)),
            env={**os.environ, **self.variables, **own},
            stdin=None,
            stdout=None,
            stderr=None,
            start_new_session=True,
        )
        while not listens(self.port):  # noqa: ASYNC110  (no event tells of it)
            await anyio.sleep(0.02)

    async def kill(self) -> None:
        """End it with all it has started."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def trial(server: RealServer, transport: Transport, folder: Path) -> None:
    """Run everything that is asked of one server over one transport. Raises what goes wrong."""
    server.prepare(folder)
    with anyio.fail_after(PATIENCE):
        if transport == "stdio":
            command = list(server.starts["stdio"].command(folder, 0))
            async with MCPServer(command, env=dict(server.variables(folder)) or None, name=server.name) as adapter:
                await _used(server, adapter, folder)
                await _killed_as_child(server, adapter, folder)
        else:
            async with _running(server, transport, folder) as running:
                url = f"http://127.0.0.1:{running.port}{running.start.path}"
                options: dict[str, Any] = {"transport": "sse"} if transport == "sse" else {}
                async with MCPServer(url, name=server.name, **options) as adapter:
                    await _used(server, adapter, folder)
                    await _killed(server, adapter, folder, running)


async def _used(server: RealServer, adapter: MCPServer, folder: Path) -> None:
    tools = await adapter.tools()
    assert len(tools) >= server.tools, [tool.name for tool in tools]
    assert all(LEGAL.fullmatch(tool.name) for tool in tools)
    await _answered(server, adapter, folder)
    await _refused(adapter, server.known.tool, server.known.wrong)
    await _answered(server, adapter, folder)


async def _answered(server: RealServer, adapter: MCPServer, folder: Path) -> None:
    if not server.known.answer:
        await _refused(adapter, server.known.tool, server.known.arguments(folder))
        return
    output = await adapter.call(server.known.tool, server.known.arguments(folder), context(server.known.tool))
    assert server.known.answer in text_of(output.content), text_of(output.content)
    assert not output.is_error


async def _refused(adapter: MCPServer, tool: str, arguments: JsonObject) -> None:
    """See that a refusal is an answer for the model, whoever refuses."""
    try:
        output = await adapter.call(tool, arguments, context(tool))
    except OutcomeUnknown:
        raise
    except ToolError:
        return
    assert output.is_error, text_of(output.content)


async def _killed_as_child(server: RealServer, adapter: MCPServer, folder: Path) -> None:
    (pid,) = _children()
    os.killpg(pid, signal.SIGSTOP)
    await _broken(server, adapter, server.known.arguments(folder), lambda: os.killpg(pid, signal.SIGKILL))
    await _answered(server, adapter, folder)


def _children() -> list[int]:
    """The processes that this one has started and that run: a thread may have started them."""
    threads = Path("/proc/self/task").iterdir()
    return [int(pid) for thread in threads for pid in (thread / "children").read_text().split()]


async def _killed(server: RealServer, adapter: MCPServer, folder: Path, running: Running) -> None:
    assert running.process is not None
    group = running.process.pid
    os.killpg(group, signal.SIGSTOP)
    await _broken(server, adapter, server.known.arguments(folder), lambda: os.killpg(group, signal.SIGKILL))
    await running.process.wait()
    await running.launch()
    await _answered(server, adapter, folder)


async def _broken(server: RealServer, adapter: MCPServer, arguments: JsonObject, kill: Callable[[], None]) -> None:
    """Call a server that is frozen, kill it, and see that the call alone fails, with an unknown outcome."""
    failed: list[ToolError] = []

    async def call() -> None:
        try:
            await adapter.call(server.known.tool, arguments, context(server.known.tool))
        except ToolError as error:
            failed.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        kill()
    (error,) = failed
    assert isinstance(error, OutcomeUnknown), error


@asynccontextmanager
async def _running(server: RealServer, transport: Transport, folder: Path) -> AsyncGenerator[Running]:
    running = Running(server.starts[transport], folder, free_port(), server.variables(folder))
    await running.launch()
    try:
        yield running
    finally:
        with anyio.CancelScope(shield=True):
            await running.kill()
