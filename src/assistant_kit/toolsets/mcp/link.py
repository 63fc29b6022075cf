"""One connection to an MCP server, entered and left in a task of its own.

The SDK's cancel scopes break when a connection is opened in one task and closed in another, or inside a timeout of its
own (reference/mcp.md, defect 10). So one task does both, under one scope whose deadline is lifted after connecting.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import Context
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any, Literal, TypeAlias, cast

import anyio
from mcp import Client, MCPError
from mcp.client import IncomingMessage, Transport
from mcp.server import MCPServer as SDKServer
from mcp.server import Server
from mcp.types import ResourceUpdatedNotification, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from assistant_kit.background import Background
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets._definitions import Terms
from assistant_kit.toolsets._own_task import OwnTask
from assistant_kit.toolsets.mcp.client_side import Callbacks, ask_for_log
from assistant_kit.toolsets.mcp.delivery import delivery_of
from assistant_kit.toolsets.mcp.mended import mended_transport
from assistant_kit.toolsets.mcp.news import watch_tools
from assistant_kit.toolsets.mcp.patience import connecting
from assistant_kit.toolsets.mcp.stdio import CannotStart
from assistant_kit.toolsets.mcp.tasks import ADVERTISED, offered
from assistant_kit.toolsets.mcp.tools import Catalog, catalog, fetch_tools

EXIT_TIMEOUT = 3.0  # seconds to say good-bye to a server
NOTES = 50  # kept of what was put right in a server's answers
Mode: TypeAlias = Literal["auto", "legacy"]
_log = logging.getLogger("assistant_kit.tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A way to a server, ready to be entered: `held` stays open around it, `account` tells how it fared."""

    server: Transport | Server[Any] | SDKServer
    held: AbstractAsyncContextManager[object] = field(default_factory=nullcontext[None])
    account: Callable[[], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to speak to a server: how to get there, and how to agree on a version of the protocol.

    `open` gets what to call when the connection has ended. `after`: HTTP statuses of the way before, only after which
    this one is tried; None for after any failure.
    """

    name: str
    open: Callable[[Callable[[], None]], Opening]
    mode: Mode
    after: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server is. `ways` to it are tried in turn; times are in seconds.

    A process that dies of the first question of the new protocol can be asked again in the old one. One that says
    nothing for `patience` gets a second one beside it, which is asked in the old one: nobody can tell a server that
    starts slowly from one that never will. `advice` is what to do when no connection can be made.
    """

    name: str
    ways: tuple[Way, ...]
    connect_timeout: float
    advice: str
    patience: float = inf

    def preferring(self, known: Way | None) -> "Endpoint":
        """Return this endpoint with a way first that has worked before."""
        if known is None:
            return self
        first = next(replace(way, mode=known.mode, after=None) for way in self.ways if way.name == known.name)
        return replace(self, ways=(first, *(way for way in self.ways if (way.name, way.mode) != _kind(first))))


class Link:
    """A connection from its opening to its end; it is never opened a second time.

    `specs` are its tools: the same object while they are the same. `served` tells that a call got an answer, `way` by
    which of the ways of its endpoint the server was reached, and `notes` what was put right in its answers.
    `callbacks` answer for the application. `listeners` hear of resources that may be others, and None at the end.
    """

    def __init__(self, endpoint: Endpoint, terms: Terms, callbacks: Callbacks | None = None) -> None:
        self.client: Client  # from `ready` on, unless there is a problem
        self.ready: anyio.Event = anyio.Event()
        self.problem: str | None = None
        self.cause: BaseException | None = None
        self.way: Way = endpoint.ways[0]
        self.catalog: Catalog = {}
        self.specs: Sequence[ToolSpec] = ()
        self.stale: bool = False
        self.served: bool = False
        self.notes: dict[str, None] = {}
        self.listeners: list[Callable[[str | None], None]] = []
        self._callbacks: Callbacks = {} if callbacks is None else callbacks
        self._endpoint = endpoint
        self._terms = terms
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._account: Callable[[], str] = str
        self._tries: list[_Try] = []

    @property
    def over(self) -> bool:
        """True when the connection could not be made, or has ended."""
        return self.ready.is_set() and self._ended.is_set()

    def start(self, context: Context) -> OwnTask:
        """Open the connection in a task of its own, which is returned."""
        return OwnTask(self.run, context=context)

    def close(self) -> None:
        """Ask for the end of the connection; `run` returns when it has ended."""
        if not self.ready.is_set():
            self._scope.cancel()
        self._ended.set()

    async def refresh(self) -> None:
        """Read the tools anew. Raises what the SDK raises."""
        self.stale = False  # before reading: a change meanwhile counts
        try:
            await self._read_tools(self.client)
        except BaseException:
            self.stale = True
            raise

    async def run(self) -> None:
        """Open the connection, hold it until it ends, close it. Raises nothing but cancellation."""
        failures: list[BaseException] = []
        try:
            with self._scope, connecting(self._scope):
                self._scope.deadline = anyio.current_time() + self._endpoint.connect_timeout
                await self._try_ways(failures)
        finally:
            if not self.ready.is_set():
                # The first failure says most: what comes after is a guess at what else the server may be.
                self.cause = None if self._scope.cancelled_caught or not failures else failures[0]
                self.problem = self._explain(self.cause)
            self._ended.set()
            self.ready.set()

    async def _try_ways(self, failures: list[BaseException]) -> None:
        async with anyio.create_task_group() as tasks:
            for way in self._endpoint.ways:
                if failures and not _leads_to(way, failures[-1]):
                    continue
                attempt = _Try(self, way)
                self._tries.append(attempt)
                tasks.start_soon(attempt.run, failures)
                with anyio.move_on_after(self._endpoint.patience):
                    await attempt.settled.wait()
                if self.ready.is_set():
                    break

    def note(self, words: str) -> None:
        """Remember, and log once, what was put right."""
        if words not in self.notes and len(self.notes) < NOTES:
            self.notes[words] = None
            _log.warning("MCP server %s: %s", self._endpoint.name, words)

    async def hold(self, way: Way) -> None:
        """Hold a connection while it lasts. Raises what kept it from being made, in a group."""
        ended = anyio.Event()
        opening = way.open(ended.set)
        self._account = opening.account
        async with opening.held, self._made(opening, way.mode) as client:
            await self._read_tools(client)
            modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
            self.client, self.way, self._ended = client, replace(way, mode="auto" if modern else "legacy"), ended
            self._scope.deadline = inf
            self.ready.set()
            for attempt in self._tries:
                attempt.give_way(way)
            async with Background(partial(watch_tools, client, self._changed)):
                await ask_for_log(client, self._callbacks)
                await ended.wait()
            self._tell(None)
            self._scope.deadline = anyio.current_time() + EXIT_TIMEOUT

    def _made(self, opening: Opening, mode: Mode) -> Client:
        server = opening.server
        if isinstance(server, AbstractAsyncContextManager):
            server = mended_transport(server, self.note)
        return Client(
            server,
            mode=mode,
            cache=None,
            message_handler=self._hear,
            extensions=[ADVERTISED],
            **self._callbacks,
        )

    async def _read_tools(self, client: Client) -> None:
        self.catalog = catalog(await fetch_tools(client), self._terms, offered(client.server_capabilities))
        for refusal in filter(None, (offer.refusal for offer in self.catalog.values())):
            self.note(refusal.words)
        specs = [offer.spec for offer in self.catalog.values() if offer.refusal is None]
        if specs != self.specs:  # whoever has worked something out from a list need not do it again
            self.specs = specs

    def _changed(self) -> None:
        self.stale = True

    async def _hear(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed()
        if isinstance(message, ResourceUpdatedNotification):
            self._tell(message.params.uri)

    def _tell(self, uri: str | None) -> None:
        for hear in self.listeners:
            hear(uri)

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


class _Try:
    """An attempt to connect in one way; `settled` is set when it has succeeded or failed."""

    def __init__(self, link: Link, way: Way) -> None:
        self.settled: anyio.Event = anyio.Event()
        self._link = link
        self._way = way
        self._scope = anyio.CancelScope()

    async def run(self, failures: list[BaseException]) -> None:
        try:
            with self._scope:
                await self._link.hold(self._way)
        except* Exception as group:  # noqa: BLE001  (of a connection; whoever waits for it gets it)
            failures.append(_cause(group))
        finally:
            self.settled.set()

    def give_way(self, to: Way) -> None:
        """End, unless this is the way in which the server was reached."""
        self.settled.set()
        if to is not self._way:
            self._scope.cancel()


def _kind(way: Way) -> tuple[str, Mode]:
    return way.name, way.mode


def _leads_to(way: Way, failure: BaseException) -> bool:
    """Tell whether a way is worth a try after the one before has failed."""
    if isinstance(failure, CannotStart):
        return False
    if way.after is None:
        return True
    delivery = delivery_of(failure) if isinstance(failure, MCPError) else None
    return delivery is not None and delivery.status in way.after


def _cause(error: BaseException) -> BaseException:
    """Find in a nest of exception groups what came first."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
