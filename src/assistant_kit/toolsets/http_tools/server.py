"""The tools of a plain HTTP server."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import httpx2
from pydantic_core import from_json

from assistant_kit.errors import ToolError, ToolsetError
from assistant_kit.messages import Json, JsonObject
from assistant_kit.protocols.toolset import Offering, ToolContext, ToolOutput, ToolsetHealth
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets._definitions import Terms, on_offer
from assistant_kit.toolsets._pins import Pins, pin_file, pins_from
from assistant_kit.toolsets._tls import Verify
from assistant_kit.toolsets.http_tools.calling import Caller
from assistant_kit.toolsets.http_tools.discovery import Discovery, Rhythm
from assistant_kit.toolsets.http_tools.offers import Offer
from assistant_kit.toolsets.http_tools.wire import HEALTH, Broken, Unreachable, UserAuth, UserHeaders, Wire

_WORDS = 100  # characters of what a server says of its health
_USERS = 100  # lists of tools that are kept where each user has one of their own


class HTTPTools:
    """The tools of a server that speaks the plain HTTP contract, as a toolset.

    `url` is what comes before `/mcp/discover`, `/mcp/execute` and `/health`. `auth` and `headers` are the credentials;
    a function of the user gives each user their own, and a list of tools of their own. Times are in seconds; the list
    of tools counts for `ttl`. `effects` and `needs_approval` go by the names of tools, `trust_annotations` believes the
    server's own hints at their effects, `prefix` stands before each name. `pins` are the definitions that were
    approved (see `pin`): only those tools are offered. Redirects are not followed.
    `verify` is an `ssl.SSLContext` that holds a client's certificate or trusts authorities of your own, or a function
    that makes one when this is entered. `transport` carries the requests in place of the network; it may hand them to
    an ASGI application in this process.
    An assistant can do without a server that is not `required`: its tools are missing while it is down.

    Raises ConfigurationError when these do not fit each other.
    """

    def __init__(  # noqa: PLR0913  (settings of one server, most of them left alone, as for MCPServer)
        self,
        url: str,
        *,
        name: str | None = None,
        headers: UserHeaders = None,
        auth: UserAuth = None,
        required: bool = True,
        verify: Verify | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        connect_timeout: float = 30.0,
        call_timeout: float | None = None,
        ttl: float = 300.0,
        effects: Mapping[str, Effect] | None = None,
        needs_approval: bool | Collection[str] = False,
        trust_annotations: bool = False,
        prefix: str = "",
        pins: Pins | Path | None = None,
    ) -> None:
        self._wire = Wire(
            url, auth=auth, headers=headers, connect_timeout=connect_timeout, transport=transport, verify=verify
        )
        self.name: str = name or self._wire.place
        self._terms = Terms(
            origin=f"HTTP tools {self.name}",
            call_timeout=call_timeout,
            effects=effects or {},
            needs_approval=needs_approval,
            trust_annotations=trust_annotations,
            prefix=prefix,
            pins=None if pins is None else pins_from(pins),
        )
        self._required = required
        self._rhythm = Rhythm(ttl=ttl, timeout=connect_timeout)
        self._lists: OrderedDict[str | None, Discovery] = OrderedDict()
        self._caller = Caller(
            name=self.name, wire=self._wire, call_timeout=call_timeout, find_again=self._find_again, doubt=self._doubt
        )

    def __repr__(self) -> str:
        return f"HTTPTools({self.name!r})"

    async def __aenter__(self) -> Self:
        """Read the tools. Raises ToolsetError, which says why, when that fails."""
        if self._wire.open:
            raise ToolsetError(self.name, "already entered: make another HTTPTools")
        try:
            self._wire.start()
        except Exception as error:
            problem = f"verify= of the application has failed: {type(error).__name__}"
            raise ToolsetError(self.name, problem) from error
        try:
            if not self.deferred:
                await self.tools_for(None)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        lists, self._lists = self._lists, OrderedDict()
        with anyio.CancelScope(shield=True):
            for each in lists.values():
                await each.aclose()
            await self._wire.aclose()

    @property
    def deferred(self) -> bool:
        """Whether its tools are not asked for before a run needs them: so where each user has credentials."""
        return self._wire.per_user

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the tools on offer now: the same list while nothing has changed. Raises ToolsetError."""
        return (await self.tools_for(None)).tools

    async def tools_for(self, user: str | None) -> Offering:
        """Return the tools on offer to a user now, or why there are none. Raises ToolsetError if it is required."""
        return await (await self._list(user)).offering()

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a tool; `name` is the one of its ToolSpec.

        Raises ToolError: as itself when the tool has not run or may be called again, as OutcomeUnknown when it may
        have run and nobody can tell.
        """
        try:
            found = await (await self._list(context.user)).catalog()
        except ToolsetError as error:
            raise ToolError(f"{name} was not called: {self.name} is not available at present") from error
        offer = on_offer(name, found.offers, server=self.name)
        return await self._caller.call(offer, offer.check.fitting(arguments), context)

    async def pin(self, path: str | Path, *, user: str | None = None) -> None:
        """Write a file for `pins=` with all that the server says of its tools now, for people to look at.

        Raises ToolsetError, OSError.
        """
        found = await (await self._list(user)).catalog()
        text = pin_file({offer.definition.name: offer.definition.said for offer in found.offers.values()})
        await anyio.Path(path).write_text(text, encoding="utf-8")

    def health(self) -> ToolsetHealth:
        """Return how the server fares, as far as is known; nothing is asked."""
        known = [each.health() for each in self._lists.values()]
        return min(known, key=lambda each: each.available, default=ToolsetHealth(toolset=self.name, available=True))

    async def check(self, user: str | None = None) -> ToolsetHealth:
        """Ask the server how it is, by `GET /health`, with a user's credentials. Raises nothing: it is a state, too."""
        try:
            with anyio.fail_after(self._rhythm.timeout):
                reply = await self._wire.get(HEALTH, user=user)
        except TimeoutError:
            return self._health("no answer")
        except (Unreachable, Broken) as error:
            return self._health(f"cannot be reached ({error})")
        return self._health(_complaint(reply.status, reply.body))

    def _health(self, complaint: str) -> ToolsetHealth:
        return ToolsetHealth(toolset=self.name, available=not complaint, reason=complaint, notes=self.health().notes)

    async def _find_again(self, name: str, user: str | None) -> Offer | None:
        found = await self._list(user)
        try:
            return (await found.reread(await found.catalog())).offers.get(name)
        except ToolsetError:
            return None

    async def _doubt(self, user: str | None) -> None:
        (await self._list(user)).doubt()

    async def _list(self, user: str | None) -> Discovery:
        if not self._wire.open:
            raise ToolsetError(self.name, "not connected: enter it with 'async with' before it is used")
        key = user if self._wire.per_user else None
        found = self._lists.pop(key, None) or self._discovery(key)
        self._lists[key] = found
        if len(self._lists) > _USERS:
            _, oldest = self._lists.popitem(last=False)
            await oldest.aclose()
        return found

    def _discovery(self, user: str | None) -> Discovery:
        return Discovery(self.name, self._wire, self._terms, self._rhythm, user=user, required=self._required)


def _complaint(status: int, body: bytes) -> str:
    """Read an answer to `GET /health`: "" if all is well. Its status counts, and an `ok` or `status` in its JSON."""
    try:
        said: Json = from_json(body)
    except ValueError:
        said = None
    word = said.get("status") if isinstance(said, Mapping) else None
    told = f"it says {word[:_WORDS]!r}" if isinstance(word, str) else "it says that it is not"
    if status >= HTTPStatus.BAD_REQUEST:
        return f"it answers {status}"
    return told if isinstance(said, Mapping) and said.get("ok") is False else ""
