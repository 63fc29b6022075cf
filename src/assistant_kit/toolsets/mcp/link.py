"""One connection to an MCP server, entered and left in a task of its own.

The SDK's cancel scopes break when a connection is opened in one task and closed in another, or inside a timeout of its
own (reference/mcp.md, defect 10). So one task does both, under one scope whose deadline is lifted after connecting.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, TypeAlias, cast

import anyio
from mcp import Client, MCPError
from mcp.client import IncomingMessage, Transport
from mcp.server import MCPServer as SDKServer
from mcp.server import Server
from mcp.types import ToolListChangedNotification
from pydantic import ValidationError

from assistant_kit.toolsets.mcp.stdio import CannotStart
from assistant_kit.toolsets.mcp.tasks import ADVERTISED, offered
from assistant_kit.toolsets.mcp.tools import Catalog, Terms, catalog, fetch_tools

EXIT_TIMEOUT = 3.0  # seconds to say good-bye to a server
Mode: TypeAlias = Literal["auto", "legacy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A way to a server, ready to be entered: `held` stays open around it, `account` tells how it fared."""

    server: Transport | Server[Any] | SDKServer
    held: AbstractAsyncContextManager[object] = field(default_factory=nullcontext[None])
    account: Callable[[], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server is. `open` gets what to call when the connection has ended; times are in seconds.

    `modes`: the ways to agree on a protocol version, tried in turn: a process that dies of the first question of the
    new protocol can be asked again in the old one. `advice` is what to do when no connection can be made.
    """

    name: str
    open: Callable[[Callable[[], None]], Opening]
    modes: tuple[Mode, ...]
    connect_timeout: float
    advice: str


class Link:
    """A connection from its opening to its end; it is never opened a second time."""

    def __init__(self, endpoint: Endpoint, terms: Terms) -> None:
        self.client: Client  # from `ready` on, unless there is a problem
        self.ready = anyio.Event()
        self.problem: str | None = None
        self.cause: BaseException | None = None
        self.mode: Mode = endpoint.modes[0]
        self.catalog: Catalog = {}
        self.stale = False
        self._endpoint = endpoint
        self._terms = terms
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._account: Callable[[], str] = str

    @property
    def over(self) -> bool:
        """True when the connection could not be made, or has ended."""
        return self.ready.is_set() and self._ended.is_set()

    def close(self) -> None:
        """Ask for the end of the connection; `run` returns when it has ended."""
        if not self.ready.is_set():
            self._scope.cancel()
        self._ended.set()

    async def refresh(self) -> None:
        """Read the tools anew. Raises what the SDK raises."""
        self.stale = False  # before reading: a change meanwhile counts
        try:
            self.catalog = await self._read_tools(self.client)
        except BaseException:
            self.stale = True
            raise

    async def run(self) -> None:
        """Open the connection, hold it until it ends, close it. Raises nothing but cancellation."""
        failure: BaseException | None = None
        try:
            with self._scope:
                self._scope.deadline = anyio.current_time() + self._endpoint.connect_timeout
                for mode in self._endpoint.modes:
                    failure = await self._attempt(mode)
                    if self.ready.is_set() or isinstance(failure, CannotStart):
                        break
        finally:
            if not self.ready.is_set():
                self.cause = None if self._scope.cancelled_caught else failure
                self.problem = self._explain(self.cause)
            self._ended.set()
            self.ready.set()

    async def _attempt(self, mode: Mode) -> BaseException | None:
        """Hold a connection while it lasts; return what kept it from being made."""
        ended = self._ended = anyio.Event()
        opening = self._endpoint.open(ended.set)
        self._account = opening.account
        failure: BaseException | None = None
        try:
            async with (
                opening.held,
                Client(
                    opening.server, mode=mode, cache=None, message_handler=self._hear, extensions=[ADVERTISED]
                ) as client,
            ):
                self.catalog = await self._read_tools(client)
                self.client, self.mode = client, mode
                self._scope.deadline = inf
                self.ready.set()
                await ended.wait()
                self._scope.deadline = anyio.current_time() + EXIT_TIMEOUT
        except* Exception as group:  # noqa: BLE001  (of a connection; whoever waits for it gets it)
            failure = _cause(group)
        return failure

    async def _read_tools(self, client: Client) -> Catalog:
        return catalog(await fetch_tools(client), self._terms, offered(client.server_capabilities))

    async def _hear(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self.stale = True

    def _explain(self, failure: BaseException | None) -> str:
        match failure:
            case CannotStart():
                return str(failure)
            case None:
                what = f"no answer within connect_timeout={self._endpoint.connect_timeout:g} s"
            case MCPError():
                what = f"cannot connect: {failure.message}"
            case ValidationError():
                what = f"what it answers does not follow the protocol: {failure}"
            case _:
                what = f"cannot connect: {type(failure).__name__}: {failure}"
        return "; ".join(piece for piece in (what, self._account(), self._endpoint.advice) if piece)


def _cause(error: BaseException) -> BaseException:
    """Find in a nest of exception groups what came first."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
