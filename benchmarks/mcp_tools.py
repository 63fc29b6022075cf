"""The MCP server that is called while calls are measured: over stdio, or over streamable HTTP at a port."""

from __future__ import annotations

import sys

import anyio
from mcp.server import MCPServer


async def nap(seconds: float) -> str:
    """Answer after some time."""
    await anyio.sleep(seconds)
    return "woken"


async def echo(text: str) -> str:
    """Answer at once."""
    return text


def main() -> None:
    """Serve until the pipe, or the process, ends."""
    server = MCPServer("measured", log_level="WARNING")
    server.add_tool(nap, structured_output=False)
    server.add_tool(echo, structured_output=False)
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]), json_response=True)
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
