"""An ASGI application on a real socket, and tools to serve."""

import contextlib
import socket
import threading
from collections.abc import Generator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import uvicorn
from opentelemetry.trace import get_current_span

from assistant_kit.deadline import Deadline
from assistant_kit.errors import ToolError
from assistant_kit.messages import File, Image, Part, Text
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.functions import tool
from tests.toolsets.mcp.servers.tool_server import PNG

START_SECONDS = 10.0


@contextlib.contextmanager
def hosted(app: Any, *, port: int = 0) -> Generator[str]:
    """Serve inside the block, in a thread with a loop of its own; gives `http://127.0.0.1:port`."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", lifespan="on", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive())
        assert server.started
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def wait_for(happened: Any) -> None:
    """Wait in a thread for something in another one."""
    pause = threading.Event()
    for _ in range(int(START_SECONDS / 0.01)):
        if happened():
            return
        pause.wait(0.01)


def called(
    tool: str, *, key: str | None = None, deadline: Deadline | None = None, user: str | None = "u1"
) -> ToolContext:
    """What a call of a tool knows of itself; each has a key of its own unless one is given."""
    return ToolContext(
        user=user,
        conversation="c1",
        call_id="call-1",
        tool=tool,
        idempotency_key=key or uuid4().hex,
        deadline=deadline or Deadline(),
    )


@tool(effect="read")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def weather(city: str) -> dict[str, Any]:
    return {"city": city, "degrees": 3.5}


@tool
def picture() -> Image:
    return Image(data=PNG, media_type="image/png")


@tool
def pieces() -> list[Part]:
    return [
        Text(text="two files"),
        File(data=b"sound", media_type="audio/wav", filename="a.wav"),
        File(data=b"page", media_type="application/pdf", filename="b.pdf"),
    ]


@tool
def refuse() -> str:
    raise ToolError("there is no such city")


@tool
def explode() -> str:
    raise RuntimeError("password=hunter2")


@tool
def about(context: ToolContext) -> dict[str, str | None]:
    return {"user": context.user, "key": context.idempotency_key, "conversation": context.conversation}


@tool
async def wait(mark: str) -> str:
    """Wait until cancelled; say in the file `mark` how far it came."""
    note(mark, "started")
    try:
        await anyio.sleep_forever()
    finally:
        note(mark, "cancelled")
    return ""


def note(mark: str, words: str) -> None:
    Path(mark).write_text(words)


@tool
async def short_wait(seconds: float) -> str:
    await anyio.sleep(seconds)
    return "waited"


@tool
async def steps(context: ToolContext) -> str:
    """Report progress on the way."""
    for done in (1, 2):
        context.report_progress(done, 2, f"step {done}")
        await anyio.sleep(0.15)  # further reports within a tenth of a second are dropped
    return "done"


@tool
def large(size: int) -> str:
    return "x" * size


_tally = count(1)


@tool
def tally() -> int:
    """Count its calls."""
    return next(_tally)


@tool
def trace() -> str:
    """Tell in which trace this call is."""
    return f"{get_current_span().get_span_context().trace_id:032x}"


@tool(needs_approval=True)
def pay(amount: int) -> str:
    return f"paid {amount}"


TOOLS = [add, weather, picture, pieces, refuse, explode, about, wait, short_wait, steps, large, tally, trace, pay]
