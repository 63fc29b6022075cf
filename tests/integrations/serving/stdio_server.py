"""A program that serves tools over its pipes: `python stdio_server.py asyncio|trio`."""

import sys

import anyio

from assistant_kit.integrations.serving import tool_server
from assistant_kit.toolsets.functions import tool
from tests.integrations.serving.hosting import TOOLS


@tool
def chatter() -> str:
    """Print, which must not get between the messages of the protocol."""
    print("hello")  # noqa: T201  (the point of it)
    return "said"


async def main() -> None:
    await tool_server([*TOOLS, chatter], name="pipes").serve_stdio(user="local")


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
