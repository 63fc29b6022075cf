"""A client of MCP that writes and reads messages by hand, and checks nothing."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
from mcp.server import Server
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

ALL: Mapping[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
OLDER = "2025-11-25"
NEWER = "2026-07-28"


class Wire:
    """One connection. `answer` gets what the server asks for in a session; `heard` is what it tells on the way."""

    def __init__(self, streams: Any) -> None:
        self._read, self._write = streams
        self._ids = count(1)
        self.answer: Callable[[str, Any], dict[str, Any]] = _nothing
        self.asked: list[str] = []
        self.heard: list[Any] = []

    async def open_session(self, **capabilities: Any) -> None:
        about = {"clientInfo": {"name": "hand", "version": "1"}, "capabilities": capabilities or ALL}
        await self.request("initialize", {"protocolVersion": OLDER, **about})
        await self.notify("notifications/initialized")

    async def notify(self, method: str, **params: Any) -> None:
        await self._write.send(SessionMessage(JSONRPCNotification(jsonrpc="2.0", method=method, params=params)))

    async def send(self, method: str, params: Any) -> int:
        number = next(self._ids)
        await self._write.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=number, method=method, params=params)))
        return number

    async def request(self, method: str, params: Any) -> dict[str, Any]:
        """Send a request and return its result, or its error, in the words of the wire."""
        number = await self.send(method, params)
        while True:
            said = await self.next()
            if said.get("id") == number and "method" not in said:
                return said["result"] if "result" in said else said["error"]

    async def next(self) -> dict[str, Any]:
        """Return the next message; a request is answered first, and what is told is kept."""
        said = (await self._read.receive()).message.model_dump(by_alias=True, mode="json", exclude_none=True)
        if "method" in said and "id" in said:
            self.asked.append(said["method"])
            result = self.answer(said["method"], said.get("params"))
            await self._write.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=said["id"], result=result)))
        elif "method" in said:
            self.heard.append(said["params"])
        return said

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        answers: Any = None,
        state: str | None = None,
        level: str | None = None,
        capabilities: Mapping[str, Any] = ALL,
    ) -> dict[str, Any]:
        """Call a tool in the newer protocol."""
        meta = {PROTOCOL_VERSION_META_KEY: NEWER, CLIENT_CAPABILITIES_META_KEY: capabilities, LOG_LEVEL_META_KEY: level}
        params: dict[str, Any] = {
            "name": tool,
            "arguments": arguments or {},
            "_meta": {name: value for name, value in meta.items() if value is not None},
        }
        if answers is not None:
            params["inputResponses"] = answers
        if state is not None:
            params["requestState"] = state
        return await self.request("tools/call", params)


def _nothing(_: str, __: Any) -> dict[str, Any]:
    return {}


@asynccontextmanager
async def wired(face: Server[Any]) -> AsyncGenerator[Wire]:
    """Connect by hand to a server in this process."""
    with anyio.fail_after(20):
        async with create_client_server_memory_streams() as (mine, theirs), anyio.create_task_group() as tasks:
            tasks.start_soon(face.run, *theirs, face.create_initialization_options())
            yield Wire(mine)
            tasks.cancel_scope.cancel()
