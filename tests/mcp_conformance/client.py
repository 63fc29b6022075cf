"""The program that the official conformance suite runs: a client that is nothing but the adapter.

The suite starts it with the URL of a server as its last argument, and says in the environment what it is to do.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from assistant_kit import MCPServer
from assistant_kit.errors import ToolError
from assistant_kit.messages import JsonObject
from assistant_kit.toolsets.mcp.client_side import MCPClient
from assistant_kit.toolsets.mcp.elicitation import Elicitation, Reply
from tests.toolsets.mcp.oauth.conformance_auth import auth_for
from tests.toolsets.mcp.servers.control import context

SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
GIVEN: Mapping[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))


async def call(server: MCPServer, tool: str, **arguments: Any) -> None:
    """Call a tool."""
    await server.call(tool, arguments, context(tool))


async def lists(server: MCPServer) -> None:
    """Look at what is offered: entering has read it."""
    await server.tools()


async def adds(server: MCPServer) -> None:
    """Call one tool."""
    await call(server, "add_numbers", a=5, b=3)


async def reconnects(server: MCPServer) -> None:
    """Call the tool whose server hangs up in between."""
    await call(server, "test_reconnection")


async def calls_what_is_given(server: MCPServer) -> None:
    """Make the calls that the suite asks for, of the tools that are offered."""
    offered = {spec.name for spec in await server.tools()}
    for one in GIVEN.get("toolCalls", []):
        if one["name"] in offered:
            await _tried(server, one["name"], one.get("arguments") or {})


async def calls_all(server: MCPServer) -> None:
    """Call every tool that is offered, with the least it takes."""
    for spec in await server.tools():
        await _tried(server, spec.name, _least(spec.parameters))


async def elicits(server: MCPServer) -> None:
    """Call the tool that asks a person."""
    await call(server, "test_client_elicitation_defaults")


async def resumes(server: MCPServer) -> None:
    """Call the tools that ask for input in rounds."""
    for tool in ("test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"):
        await call(server, tool)


async def echoes(server: MCPServer) -> None:
    """Send a schema back as it came."""
    with TemporaryDirectory() as folder:
        pins = anyio.Path(folder, "pins.json")
        await server.pin(str(pins))  # what the server said, word for word: models get what their API takes
        said = json.loads(await pins.read_text())
    await call(server, "json_schema_echo", schema=said["json_schema_2020_12_tool"]["inputSchema"])


ACTS: Mapping[str, Callable[[MCPServer], Awaitable[None]]] = {
    "initialize": lists,
    "json-schema-ref-no-deref": lists,
    "json-schema-2020-12-preservation": echoes,
    "tools_call": adds,
    "request-metadata": calls_all,
    "http-standard-headers": calls_all,
    "sse-retry": reconnects,
    "http-custom-headers": calls_what_is_given,
    "http-invalid-tool-headers": calls_all,
    "elicitation-sep1034-client-defaults": elicits,
    "sep-2322-client-request-state": resumes,
}


async def _tried(server: MCPServer, tool: str, arguments: JsonObject) -> None:
    try:
        await call(server, tool, **arguments)
    except ToolError as error:
        sys.stderr.write(f"{tool}: {error}\n")


def _least(schema: JsonObject) -> dict[str, Any]:
    by_type: dict[str, Any] = {
        "string": "x",
        "integer": 0,
        "number": 0,
        "boolean": False,
        "object": {},
        "array": [],
        "null": None,
    }
    given: Any = schema
    return {name: by_type.get(given["properties"].get(name, {}).get("type"), "x") for name in given.get("required", ())}


async def yes(question: Elicitation) -> Reply:
    """Answer a form with what it says by itself, and confirm what is asked."""
    fields: Any = (question.schema or {}).get("properties", {})
    return Reply(action="accept", content={"confirmed": True} if "confirmed" in fields else {})


async def main() -> None:
    """Play the scenario on the event loop that CONFORMANCE_LOOP names."""
    url = sys.argv[-1]
    auth = auth_for(url, SCENARIO, GIVEN) if SCENARIO.startswith("auth/") else None
    client = MCPClient(elicitation=yes, roots=())
    async with MCPServer(url, auth=auth, client=client) as server:
        await ACTS.get(SCENARIO, calls_all)(server)


if __name__ == "__main__":
    anyio.run(main, backend=os.environ.get("CONFORMANCE_LOOP", "asyncio"))
