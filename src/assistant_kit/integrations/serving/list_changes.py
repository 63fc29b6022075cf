"""Telling MCP clients that the tools on offer to them are others: on their stream of news, or in their session."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio
from mcp import MCPError
from mcp.server import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.types import (
    INTERNAL_ERROR,
    NotificationParams,
    ServerCapabilities,
    SubscriptionFilter,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from assistant_kit.errors import AssistantKitError
from assistant_kit.integrations.serving.desk import Desk
from assistant_kit.integrations.serving.mcp_call import Context
from assistant_kit.tool_spec import ToolSpec

_MOST: Final = 1024  # streams of news at a time
_BACKLOG: Final = 16  # changes that a client has not heard of yet; its stream is ended at one more
_LISTEN: Final = "subscriptions/listen"
_BEGUN: Final = "notifications/initialized"


class ListChanges:
    """Looks every so many seconds what is on offer to each client that listens; a toolset does not say when it changes.

    A toolset that is away changes nothing: what cannot be listed is looked at again.
    """

    def __init__(self, desk: Desk, user_of: Callable[[Context], str | None], *, every: float) -> None:
        """Take what is looked at."""
        self._desk = desk
        self._user_of = user_of
        self._every = every
        self._streams = 0

    async def listen(self, context: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """Serve a stream of news until its client leaves. Raises MCPError."""
        if self._streams >= _MOST:
            raise MCPError(INTERNAL_ERROR, "too many clients listen")
        bus = InMemorySubscriptionBus()
        wanted = SubscriptionFilter(tools_list_changed=params.notifications.tools_list_changed)

        async def tell() -> None:
            await bus.publish(ToolsListChanged())

        handler = ListenHandler(bus, max_buffered_events=_BACKLOG)
        result: SubscriptionsListenResult | None = None
        self._streams += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, self._user_of(context), tell)
                result = await handler(context, params.model_copy(update={"notifications": wanted}))
                tasks.cancel_scope.cancel()
        finally:
            self._streams -= 1
        assert result is not None  # noqa: S101  (the stream has ended, or cancellation has passed by here)
        return result

    async def attend(self, context: Context, _: NotificationParams | None) -> None:
        """Tell a session of changes. It ends with the session, which has begun with this notification."""
        await self._watch(self._user_of(context), context.session.send_tool_list_changed)

    async def _watch(self, user: str | None, tell: Callable[[], Awaitable[None]]) -> None:
        seen = await self._offered(user)
        while True:
            await anyio.sleep(self._every)
            now = await self._offered(user)
            if now is not None and now != seen:
                seen = now
                await tell()

    async def _offered(self, user: str | None) -> Sequence[ToolSpec] | None:
        try:
            return [found.spec for found in (await self._desk.tools(user)).values()]
        except AssistantKitError:
            return None


class TellingServer(Server[Any]):
    """A server of the SDK that can tell of changes in its tools, and promises that and no more."""

    _news: ListChanges | None = None

    def tell(self, news: ListChanges, *, sessions: bool) -> None:
        """Tell of changes from now on. `sessions`: also those who are in one, in the older protocol."""
        self._news = news
        self.add_request_handler(_LISTEN, SubscriptionsListenRequestParams, news.listen)
        if sessions:
            self.add_notification_handler(_BEGUN, NotificationParams, news.attend)

    def get_capabilities(self, *args: Any, protocol_version: str | None = None, **more: Any) -> ServerCapabilities:
        """Return what is offered."""
        found = super().get_capabilities(*args, protocol_version=protocol_version, **more)
        if self._news is None:
            return found
        if protocol_version not in MODERN_PROTOCOL_VERSIONS:
            entry = self.get_notification_handler(_BEGUN)
            told = entry is not None and entry.handler == self._news.attend
            return found.model_copy(update={"tools": _promising(found.tools, list_changed=told)})
        entry = self.get_request_handler(_LISTEN)
        if entry is None or entry.handler != self._news.listen:  # the application has put its own in its place
            return found
        quiet = {
            "prompts": _promising(found.prompts, list_changed=False),
            "resources": _promising(found.resources, list_changed=False, subscribe=False),
        }
        return found.model_copy(update=quiet)


def _promising(capability: Any, **promises: bool) -> Any:
    return None if capability is None else capability.model_copy(update=promises)
