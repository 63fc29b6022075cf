"""A server of the official SDK, over stdio, HTTP (give a port) or, by `make_server`, in this process.

HTTP is the streamable one, with `json` one that answers in single documents, with `sse` the older one.
"""

import os
import subprocess
import sys
from pathlib import Path

import anyio
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001"
    "e221bc330000000049454e44ae426082"
)


class Weather(BaseModel):
    city: str
    degrees: float


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def weather(city: str) -> Weather:
    return Weather(city=city, degrees=3.5)


def picture() -> Image:
    return Image(data=PNG, format="png")


def refuse() -> str:
    raise ToolError("there is no such city")


def protest() -> str:
    raise MCPError(-32099, "the account is closed")


def about(ctx: Context) -> dict[str, object]:
    """Tell what the server knows of itself and of the call."""
    meta = dict(ctx.request_context.meta or {})
    return {
        "pid": os.getpid(),
        "secret": os.environ.get("SECRET", ""),
        "own": {
            key: value for key, value in meta.items() if "modelcontextprotocol" not in key and key != "progress_token"
        },
    }


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


async def short_wait(seconds: float) -> str:
    await anyio.sleep(seconds)
    return "waited"


async def advance(steps: int, pause: float, ctx: Context) -> str:
    """Report progress before each pause."""
    for step in range(steps):
        await ctx.report_progress(step + 1, steps, f"step {step + 1}")
        await anyio.sleep(pause)
    return "arrived"


def say(text: str) -> str:
    """Write to the channel of the protocol, as a forgotten print() does."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return "said"


def large(size: int) -> str:
    return "x" * size


def leave_child() -> str:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(1000)"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    return str(child.pid)


def die(words: str) -> str:
    sys.stderr.write(words + "\n")
    os._exit(7)


def make_server() -> MCPServer:
    server = MCPServer("tool-server")
    for function in (
        *(weather, picture, refuse, protest, about, say, large, leave_child, die),
        *(wait, short_wait, advance),
    ):
        server.add_tool(function)
    server.add_tool(add, annotations=ToolAnnotations(read_only_hint=True))
    server.add_tool(add, name="math.add/two")

    def grow() -> str:
        server.add_tool(add, name="grown")
        return "grown"

    server.add_tool(grow)
    return server


if __name__ == "__main__":
    if "sse" in sys.argv:
        make_server().run("sse", port=int(sys.argv[1]))
    elif len(sys.argv) > 1:
        make_server().run("streamable-http", port=int(sys.argv[1]), json_response="json" in sys.argv)
    else:
        make_server().run("stdio")
