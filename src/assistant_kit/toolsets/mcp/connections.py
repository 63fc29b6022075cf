"""The connections to one MCP server: one for all, or one for each user, kept while they are of use."""

from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial

import anyio
from mcp import MCPError
from pydantic import ValidationError

from assistant_kit.errors import ConfigurationError, ToolsetError
from assistant_kit.protocols.toolset import Offering
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets._availability import Availability, CannotReach
from assistant_kit.toolsets._definitions import Terms
from assistant_kit.toolsets._own_task import OwnTask
from assistant_kit.toolsets.mcp.client_side import MCPClient, callbacks
from assistant_kit.toolsets.mcp.delivery import delivery_of
from assistant_kit.toolsets.mcp.link import Endpoint, Link, Way
from assistant_kit.toolsets.mcp.targets import Address
from assistant_kit.toolsets.mcp.task_watch import Left

Check = Callable[[Link], None]
"""Looks at a connection that was just made. Raises CannotReach when it must not be used."""


_NOTHING: Sequence[ToolSpec] = ()  # one object: a list of tools that stays the same is told by its identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How many users' connections are kept, and for how many seconds one that is not used."""

    most: int = 100
    idle: float = 300.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError when no connection could be kept."""
        if self.most < 1 or not self.idle > 0:
            raise ConfigurationError("MCPServer: max_connections= is at least 1, and idle= positive seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the connections of one server are made.

    `check` looks at each that is new; `context` holds the context variables of the tasks that hold them. `client` is
    what the application answers to the server.
    """

    address: Address
    terms: Terms
    check: Check
    context: Context
    client: MCPClient = field(default_factory=MCPClient)


class Connection:
    """The connection of one user, made anew when it has ended; whoever comes meanwhile waits for the same attempt.

    `users` counts who uses it now, `used_at` is when the last of them left. `known` is the way that has worked.
    `lost` tells that the server was not there any more when it was asked for its tools again.
    """

    def __init__(self, plan: Plan, user: str | None, known: dict[str, Way]) -> None:
        self.users: int = 0
        self.used_at: float = anyio.current_time()
        self.lost: bool = False
        self.availability: Availability[Link] = Availability(plan.address.name, self._connect, context=plan.context)
        self._plan = plan
        self._user = user
        self._known = known
        self._links: dict[Link, OwnTask] = {}
        self._notes: dict[str, None] = {}
        self._closed = False

    @property
    def link(self) -> Link | None:
        """The connection, while it is there."""
        link = self.availability.value
        if link is not None and link.over:
            self.availability.lost("its connection ends as soon as it is made", served=link.served)
            return None
        return link

    @property
    def notes(self) -> tuple[str, ...]:
        """What was put right in the server's answers, or left out."""
        return tuple(dict.fromkeys((*self._notes, *(note for link in self._links for note in link.notes))))

    async def get(self) -> Link:
        """Return the connection, made if need be. Raises ToolsetError, as Left when there will be none any more."""
        if self._closed:
            raise Left(self.availability.name, "its connection was closed")
        return self.link or await self.availability.get()

    async def fresh(self) -> Link:
        """Return the connection with the tools that are on offer now. Raises ToolsetError."""
        link = await self.get()
        if link.stale:
            await self._refresh(link)
        return link

    async def ask(self) -> None:
        """See that the server is there, by reading its tools now. Raises ToolsetError."""
        known = self.link
        link = await self.get()
        if link is known:
            await self._refresh(link)

    async def offering(self) -> Offering:
        """Return the tools, or say why there are none; a server that is known to be down is not waited for."""
        if self.link is None:
            down = self.availability.down
            if down is not None and self.availability.peek() is None:
                return Offering(tools=_NOTHING, unavailable=down)
        try:
            return Offering(tools=(await self.fresh()).specs)
        except ToolsetError as error:
            return Offering(tools=_NOTHING, unavailable=self.availability.down or str(error))

    def answered(self) -> None:
        """Take note that the server has answered a call: it is one that does not only end."""
        for link in self._links:
            link.served = True

    async def aclose(self) -> None:
        """End the connection for good, in bounded time."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            for link in self._links:
                link.close()
            await self.availability.aclose()
            for task in list(self._links.values()):
                await task.ended.wait()

    async def _connect(self) -> Link:
        if self._closed:  # while this attempt was being begun
            raise CannotReach("its connection was closed")
        for old in [link for link, task in self._links.items() if task.ended.is_set()]:
            self._notes.update(old.notes)
            del self._links[old]
        answers = callbacks(self._plan.client, self.availability.name, self._user)
        link = Link(self._endpoint(), self._plan.terms, answers)
        self._links[link] = link.start(self._plan.context.copy())
        try:
            await link.ready.wait()
            _look_at(link)
            self._plan.check(link)
        except BaseException:
            link.close()
            raise
        self._known["way"] = link.way  # what has worked is not searched for again
        self.lost = False
        return link

    def _endpoint(self) -> Endpoint:
        try:
            endpoint = self._plan.address.endpoint(self._user)
        except Exception as error:
            raise CannotReach(
                f"headers=, auth= or verify= of the application has failed: {type(error).__name__}"
            ) from error
        return endpoint.preferring(self._known.get("way"))

    async def _refresh(self, link: Link) -> None:
        try:
            with anyio.fail_after(self._plan.address.connect_timeout):
                await link.refresh()
        except (MCPError, ValidationError, TimeoutError) as error:
            problem = f"cannot read the list of tools: {error}"
            if _unreached(error) and self.users == 1:  # otherwise somebody waits for an answer over it
                link.close()
                self.availability.failed(problem)
                self.lost = True
            raise ToolsetError(self.availability.name, problem) from error


class Connections:
    """The connections of one server: one for all, or one for each user where credentials are the user's.

    A user's connection serves nobody else. Where there are more than are kept, those not used for the longest time are
    closed, but none that is in use.
    """

    def __init__(self, plan: Plan, keeping: Keeping) -> None:
        """Begin without any. Call it in an event loop."""
        self._plan = plan
        self._keeping = keeping
        self._known: dict[str, Way] = {}
        self._by_user: OrderedDict[str | None, Connection] = OrderedDict()
        self._closing: dict[Connection, OwnTask] = {}
        self._janitor: OwnTask | None = None

    @property
    def all(self) -> Sequence[Connection]:
        """Those that are kept now."""
        return tuple(self._by_user.values())

    @contextmanager
    def used_by(self, user: str | None) -> Generator[Connection]:
        """Give the connection of a user, which is kept at least until the block is left."""
        key = user if self._plan.address.per_user else None
        connection = self._by_user.get(key)
        if connection is None:
            connection = self._by_user[key] = Connection(self._plan, key, self._known)
            if self._plan.address.per_user and self._janitor is None:
                self._janitor = OwnTask(self._close_idle, context=self._plan.context.copy())
        self._by_user.move_to_end(key)
        connection.users += 1
        try:
            yield connection
        finally:
            connection.users -= 1
            connection.used_at = anyio.current_time()
            if connection.lost:
                self._close_others(connection)
            self._close_surplus()

    async def aclose(self) -> None:
        """Close all, in bounded time."""
        with anyio.CancelScope(shield=True):
            if self._janitor is not None:
                await self._janitor.stop()
            for user in list(self._by_user):
                self._close(user)
            for task in list(self._closing.values()):
                await task.ended.wait()

    async def _close_idle(self) -> None:
        while True:
            now = anyio.current_time()
            spare = {user: one.used_at + self._keeping.idle for user, one in self._by_user.items() if not one.users}
            for user in [user for user, until in spare.items() if until <= now]:
                self._close(user)
                del spare[user]
            # One that is in use now is not idle before that time, either.
            await anyio.sleep(min(spare.values(), default=now + self._keeping.idle) - now)

    def _close_others(self, lost: Connection) -> None:
        """Close what nobody uses and seems open: it is to the same server, which is not there any more."""
        for user, one in list(self._by_user.items()):
            if one is not lost and one.link is not None and not one.users:
                self._close(user)

    def _close_surplus(self) -> None:
        surplus = len(self._by_user) - self._keeping.most
        spare = [user for user, connection in self._by_user.items() if not connection.users]
        for user in spare[: max(0, surplus)]:
            self._close(user)

    def _close(self, user: str | None) -> None:
        connection = self._by_user.pop(user)
        self._closing[connection] = OwnTask(partial(self._closed, connection), context=self._plan.context.copy())

    async def _closed(self, connection: Connection) -> None:
        try:
            await connection.aclose()
        finally:
            del self._closing[connection]


def _unreached(error: Exception) -> bool:
    delivery = delivery_of(error) if isinstance(error, MCPError) else None
    return isinstance(error, TimeoutError) or (delivery is not None and delivery.unreached)


def _look_at(link: Link) -> None:
    if link.problem is not None:
        raise CannotReach(link.problem) from link.cause
