"""The tools of an MCP server: a command, a URL, or a server object in this process."""

from collections.abc import AsyncIterator, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from assistant_kit.errors import ToolsetError
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.toolset import Offering, ToolContext, ToolOutput, ToolsetHealth
from assistant_kit.protocols.user_data import Kept, UserData
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets._availability import CannotReach
from assistant_kit.toolsets._definitions import Terms, misspelt, not_as_approved
from assistant_kit.toolsets._pins import Pins, pin_file, pins_from
from assistant_kit.toolsets._tls import Verify
from assistant_kit.toolsets.mcp.calling import Caller, Meta
from assistant_kit.toolsets.mcp.client_side import MCPClient
from assistant_kit.toolsets.mcp.connections import Connection, Connections, Keeping, Plan
from assistant_kit.toolsets.mcp.features import MCPFeatures
from assistant_kit.toolsets.mcp.link import Link
from assistant_kit.toolsets.mcp.oauth import MCPOAuth
from assistant_kit.toolsets.mcp.targets import Auth, Headers, Target, WebTransport, address
from assistant_kit.toolsets.mcp.task_watch import Connect, Left


class MCPServer:
    """The tools of one MCP server, as a toolset.

    `target` is a command as a list of strings (one string never starts a process), an `http(s)://` URL, or a server
    object of the `mcp` SDK. `env` (beside the few variables that every process needs) and `cwd` go with a command;
    `headers`, `auth`, `verify`, `transport` and `allow_private` go with a URL: see the types of `targets`; `verify` is
    an `ssl.SSLContext` that holds a client's certificate or trusts authorities of your own. Where `headers` or
    `auth` is a function of the run's user, each user has a connection of their own; `max_connections` are kept, and
    one that is not used for `idle` is closed. Times are in seconds.

    A server that is not `required` may be down: then its tools are missing, and they come back with it. One that is
    `lazy` is not connected before a run needs its tools. `prefix` stands before the names of all its tools.
    `effects` and `needs_approval` go by the names of tools; `trust_annotations` believes the server's own hints at
    their effects. `call_timeout` bounds each call; with a `call_cap` as well, it begins anew with each report of
    progress, up to `call_cap` in all. `pins` are the definitions that were approved (see `pin`): only those tools are
    offered, and none that was changed. `meta` gives further fields for the `_meta` of a call, for instance who the user
    is: of itself nothing about user and conversation is sent. `client` is what the application answers to a server that
    asks back.

    Enter it before it is used; it may be left in any task. Raises ConfigurationError when these do not fit each other.
    """

    def __init__(  # noqa: PLR0913  (settings of one connection, most of them left alone)
        self,
        target: Target,
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        headers: Headers | None = None,
        auth: Auth | None = None,
        verify: Verify | None = None,
        transport: WebTransport | None = None,
        allow_private: bool | None = None,
        required: bool = True,
        lazy: bool = False,
        prefix: str = "",
        connect_timeout: float = 30.0,
        call_timeout: float | None = None,
        call_cap: float | None = None,
        max_connections: int = 100,
        idle: float = 300.0,
        effects: Mapping[str, Effect] | None = None,
        needs_approval: bool | Collection[str] = False,
        trust_annotations: bool = False,
        pins: Pins | Path | None = None,
        meta: Meta | None = None,
        client: MCPClient | None = None,
    ) -> None:
        process = {"env": env, "cwd": cwd}
        web = {"headers": headers, "auth": auth, "verify": verify}
        web |= {"transport": transport, "allow_private": allow_private}
        self._address = address(target, name=name, connect_timeout=connect_timeout, process=process, web=web)
        self._terms = Terms(
            origin=f"MCP server {self._address.name}",
            call_timeout=call_timeout,
            call_cap=call_cap,
            pins=None if pins is None else pins_from(pins),
            effects=effects or {},
            needs_approval=needs_approval,
            trust_annotations=trust_annotations,
            prefix=prefix,
        )
        self._meta = meta
        self._client = client or MCPClient()
        self._required = required
        self._deferred = lazy or self._address.per_user
        self._keeping = Keeping(most=max_connections, idle=idle)
        self._connections: Connections | None = None
        self._approvals_seen = False
        self._pins_seen = False

    def __repr__(self) -> str:
        return f"MCPServer({self.name!r})"

    @property
    def name(self) -> str:
        """The name in errors and logs."""
        return self._address.name

    @property
    def deferred(self) -> bool:
        """Whether it is connected only when a run needs its tools."""
        return self._deferred

    async def __aenter__(self) -> Self:
        """Connect and read the tools, unless that is deferred.

        Raises ToolsetError, which says why, when that fails and the server is required.
        """
        if self._connections is not None:
            raise ToolsetError(self.name, "already entered: make an MCPServer for each connection")
        plan = Plan(
            address=self._address, terms=self._terms, check=self._check, context=copy_context(), client=self._client
        )
        self._connections = Connections(plan, self._keeping)
        try:
            if not self._deferred:
                await self.tools_for(None)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, in bounded time; a process is stopped, with all it has started."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.aclose()

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the tools on offer now to nobody in particular. Raises ToolsetError."""
        return (await self.tools_for(None)).tools

    async def tools_for(self, user: str | None) -> Offering:
        """Return the tools on offer to a user now. Raises ToolsetError when a required server cannot be reached."""
        if self._connections is None:
            raise Left(self.name, _OUTSIDE)
        with self._connections.used_by(user) as connection:
            if not self._required:
                return await connection.offering()
            return Offering(tools=(await connection.fresh()).specs)

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a tool; `name` is the one of its ToolSpec.

        Raises ToolError: as itself when the tool has not run or may be called again, as OutcomeUnknown when it may
        have run and nobody can tell. A task that an earlier attempt has left is waited for.
        """
        if self._connections is None:
            return await self._caller(self._left).call(name, arguments, context)
        with self._connections.used_by(context.user) as connection:
            output = await self._caller(connection.get).call(name, arguments, context)
            connection.answered()
            return output

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:  # noqa: ARG002  (of the protocol)
        """Return the result of a call that a server carries out as a task, once it is there; None when nobody can tell.

        The task is found by the note that the call has left. It is waited for until the deadline of `context`, over
        interruptions of the connection, and never cancelled.
        """
        if self._connections is None:
            return await self._caller(self._left).reconcile(context)
        with self._connections.used_by(context.user) as connection:
            return await self._caller(connection.get).reconcile(context)

    async def pin(self, path: str | Path, *, user: str | None = None) -> None:
        """Write a file for `pins=` with all that the server says of its tools now, for people to look at.

        Raises ToolsetError, OSError.
        """
        if self._connections is None:
            raise Left(self.name, _OUTSIDE)
        with self._connections.used_by(user) as connection:
            catalog = (await connection.fresh()).catalog
        text = pin_file({offer.name: offer.definition.said for offer in catalog.values()})
        await anyio.Path(path).write_text(text, encoding="utf-8")

    async def erase_user(self, user: str) -> None:
        """Forget the token that a user has got by OAuth. Raises StoreError; may be repeated then."""
        if isinstance(self._address.auth, MCPOAuth):
            await self._address.auth.forget(user)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Tell what a user has allowed by OAuth, without the token. Raises StoreError."""
        auth = self._address.auth
        told = await auth.told(user) if isinstance(auth, MCPOAuth) else None
        if told is not None:
            yield UserData(place="mcp", name=self.name, data=told)

    def features(self, user: str | None = None) -> MCPFeatures:
        """Return what the server has beside tools, for a user: resources, prompts, completions."""
        return MCPFeatures(self.name, partial(self._use, user), self._address.connect_timeout)

    def health(self) -> ToolsetHealth:
        """Tell how the server fares, without asking it."""
        kept = () if self._connections is None else self._connections.all
        down = [one.availability for one in kept if one.link is None and one.availability.down is not None]
        open_now = sum(one.link is not None for one in kept)
        return ToolsetHealth(
            toolset=self.name,
            available=self._connections is not None and (open_now > 0 or not down),
            reason="not entered" if self._connections is None else next((one.standing.reason for one in down), ""),
            retry_in=min((one.standing.wait(anyio.current_time()) for one in down), default=None),
            notes=tuple(dict.fromkeys(note for one in kept for note in one.notes)),
            connections=open_now,
        )

    async def check(self, user: str | None = None) -> ToolsetHealth:
        """Ask the server how it is, by reading the tools of a user. Raises nothing: what fails is a state, too."""
        try:
            with self._use(user) as connection:
                await connection.ask()
        except ToolsetError as error:
            return replace(self.health(), available=False, reason=str(error))
        return replace(self.health(), available=True, reason="", retry_in=None)

    @contextmanager
    def _use(self, user: str | None) -> Generator[Connection]:
        if self._connections is None:
            raise Left(self.name, _OUTSIDE)
        with self._connections.used_by(user) as connection:
            yield connection

    def _caller(self, connect: Connect) -> Caller:
        return Caller(self.name, connect, self._terms, self._meta)

    async def _left(self) -> Link:
        await anyio.lowlevel.checkpoint()
        raise Left(self.name, _OUTSIDE)

    def _check(self, link: Link) -> None:
        self._check_approvals(link)
        self._check_pins(link)

    def _check_pins(self, link: Link) -> None:
        """Refuse a server whose tools are not what was approved; one that is in use loses only the tool it changes."""
        problem = not_as_approved(offer.refusal for offer in link.catalog.values())
        if problem and not self._pins_seen:
            raise CannotReach(problem)
        self._pins_seen = True

    def _check_approvals(self, link: Link) -> None:
        """Refuse a misspelt name: its tool would run without the approval that was meant.

        Only of the first connection: later on a tool may be gone. And not where users may have different tools.
        """
        if self._address.per_user or self._approvals_seen:
            return
        problem = misspelt(self._terms, {model_name: offer.name for model_name, offer in link.catalog.items()})
        if problem:
            raise CannotReach(problem)
        self._approvals_seen = True


_OUTSIDE = "not connected: enter it with 'async with' before it is used"
