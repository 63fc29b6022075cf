"""Cycles of using a server, ending it, and using it again."""

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal, TypeAlias

import anyio

from assistant_kit.deadline import Deadline
from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.services.processes import ending_with_us, free_port, running
from tests.toolsets.mcp.servers.control import HERE, alive, ask, context, kill, listens

Transport: TypeAlias = Literal["stdio", "http"]
BOUND = 20.0  # seconds for any one thing
PATIENCE = 1.0  # seconds for a call that has no answer
MOST = 4  # calls under way when a server ends


@dataclass
class Tally:
    """What has come of it; `say` is told of what is wrong."""

    say: Callable[[str], None]
    cycles: int = 0
    calls: int = 0
    unknown: int = 0
    wrong: int = 0
    pids: set[int] = field(default_factory=set[int])

    def fault(self, what: str) -> None:
        self.wrong += 1
        self.say(what)

    @property
    def left(self) -> list[int]:
        """The processes that still run."""
        return [pid for pid in self.pids if alive(pid)]


class Stage:
    """A server of one transport that can be ended, and is begun again for HTTP; over pipes the library does that."""

    def __init__(self, transport: Transport, folder: Path) -> None:
        self.transport = transport
        self._log = folder / "log"
        self._port = free_port()
        self._running = ExitStack()

    def target(self) -> MCPServer:
        if self.transport == "stdio":
            return MCPServer([sys.executable, str(HERE / "faults.py")], name="faults")
        return MCPServer(f"http://127.0.0.1:{self._port}/mcp", name="faults")

    def begin(self) -> None:
        if self.transport == "stdio":
            return
        line = [sys.executable, "-m", "tests.toolsets.mcp.servers.fault_desk", str(self._port)]
        line = [*ending_with_us(signal.SIGKILL), *line]  # with this thread: so it is begun here, and not beside
        self._running.enter_context(
            running(line, stop=signal.SIGKILL, log=self._log, answers=lambda: listens(self._port))
        )

    async def end(self, pid: int) -> None:
        if self.transport == "stdio":
            await kill(pid)  # until it is gone: of what is written to it before, nobody knows whether it has read it
        self._running.close()

    def close(self) -> None:
        """End for good."""
        self._running.close()


async def run_cycles(transport: Transport, cycles: int, random: Random, tally: Tally, folder: Path) -> None:
    """Use, end and use again, so many times."""
    stage = Stage(transport, folder)
    stage.begin()
    while cycles > 0:
        server = stage.target()
        async with anyio.create_task_group() as tasks:  # entered in one task, left in another
            tasks.start_soon(server.__aenter__)
        for _ in range(min(cycles, 8)):
            cycles -= 1
            await _cycle(stage, server, random, tally)
        with anyio.fail_after(BOUND):
            await server.__aexit__(None, None, None)
    stage.close()


async def _cycle(stage: Stage, server: MCPServer, random: Random, tally: Tally) -> None:
    pid = await _used(server, tally)
    if stage.transport == "stdio" and random.random() < 0.25:
        tally.pids.add(int(await ask(server, "act", do="child")))
    async with anyio.create_task_group() as tasks:
        for _ in range(random.randrange(MOST + 1)):
            tasks.start_soon(_interrupted, server, tally)
        await anyio.sleep(random.random() * 0.02)
        await stage.end(pid)
    if stage.transport == "http" and random.random() < 0.5:
        await _interrupted(server, tally)  # nobody is there
    stage.begin()
    if await _used(server, tally) == pid:
        tally.fault(f"the server that was ended goes on: {pid}")
    tally.cycles += 1


async def _used(server: MCPServer, tally: Tally) -> int:
    tally.calls += 1
    try:
        with anyio.fail_after(BOUND):
            pid = int(await ask(server, "act"))
    except (ToolError, TimeoutError) as error:
        tally.fault(f"a call does not work: {error!r}")
        return 0
    tally.pids.add(pid)
    return pid


async def _interrupted(server: MCPServer, tally: Tally) -> None:
    """Make a call that nobody answers; it has to end, and not with a result.

    It has a little time: what the server did not get before it ended is sent to the next one, which is silent, too.
    """
    tally.calls += 1
    soon = Deadline.after(PATIENCE, now=anyio.current_time())
    try:
        with anyio.fail_after(BOUND):
            await server.call("act", {"do": "hang"}, context("act", deadline=soon))
        tally.fault("a call without an answer has a result")
    except OutcomeUnknown:
        tally.unknown += 1
    except ToolError:
        pass
    except TimeoutError:
        tally.fault("a call does not end with its server")
