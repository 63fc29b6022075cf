"""Starting the servers of this folder, and looking at what they leave."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio

from assistant_kit.deadline import Deadline
from assistant_kit.messages import text_of
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.services.processes import ending_with_us, running

HERE = Path(__file__).parent


def command(server: str) -> list[str]:
    """The command line of a server of this folder."""
    return [sys.executable, str(HERE / f"{server}.py")]


@contextmanager
def http_server(port: int, log: Path, *options: str) -> Generator[str]:
    """Run the tool server over HTTP inside the block; gives its URL. It ends with a crash, as servers do."""
    line = [*ending_with_us(signal.SIGKILL), *command("tool_server"), str(port), *options]
    with running(line, stop=signal.SIGKILL, log=log, answers=lambda: listens(port)):
        yield f"http://127.0.0.1:{port}/mcp"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def context(tool: str = "add", deadline: Deadline | None = None) -> ToolContext:
    return ToolContext(
        user="u1",
        conversation="c1",
        call_id="call-1",
        tool=tool,
        idempotency_key="key-1",
        deadline=deadline or Deadline(),
    )


async def ask(server: MCPServer, tool: str, **arguments: str | float) -> str:
    """Call a tool and return the text of its answer."""
    return text_of((await server.call(tool, arguments, context(tool))).content)


def alive(pid: int) -> bool:
    """Tell whether any thread of a process runs; one that has ended and waits for its parent does not."""
    threads = Path(f"/proc/{pid}/task")
    try:
        return any(
            (thread / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX" for thread in threads.iterdir()
        )
    except (FileNotFoundError, ProcessLookupError):  # a thread, or the process, has ended meanwhile
        return threads.exists() and alive(pid)


async def until_gone(pid: int) -> None:
    """Wait, 5 seconds at most, for the end of a process."""
    await until(lambda: not alive(pid))


async def until(happened: Callable[[], bool]) -> None:
    """Wait, 5 seconds at most, for something in another process."""
    with anyio.fail_after(5):
        while not happened():  # noqa: ASYNC110  (no event comes from there)
            await anyio.sleep(0.005)


def read(mark: Path) -> str:
    return mark.read_text() if mark.exists() else ""


async def until_says(mark: Path, words: str) -> None:
    """Wait, 5 seconds at most, for a file to hold `words`."""
    await until(lambda: read(mark).strip() == words)


async def until_written(mark: Path) -> str:
    """Wait, 5 seconds at most, for a line in a file, and return it."""
    await until(lambda: read(mark).endswith("\n"))
    return read(mark).strip()


async def kill(pid: int) -> None:
    """End a server at once, as a crash does."""
    os.kill(pid, signal.SIGKILL)
    await until_gone(pid)
