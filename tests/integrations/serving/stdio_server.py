"""A program that serves tools over its pipes: `python stdio_server.py asyncio|trio`."""

import sys

import anyio

from assistant_kit.integrations.serving import tool_server
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.functions import tool
from tests.integrations.serving.asking_tools import caller_of, form_of
from tests.integrations.serving.hosting import TOOLS


@tool
def chatter() -> str:
    """Print, which must not get between the messages of the protocol."""
    print("hello")  # noqa: T201  (the point of it)
    return "said"


@tool
async def confirm(context: ToolContext) -> str:
    """Ask the person."""
    form = form_of(ok={"type": "boolean"})
    return str((await caller_of(context).elicit("Sure?", form)).content["ok"])


async def main() -> None:
    await tool_server([*TOOLS, chatter, confirm], name="pipes").serve_stdio(user="local")


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
