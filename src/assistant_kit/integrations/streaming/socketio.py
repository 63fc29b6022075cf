"""Entries over Socket.IO: to clients of a python-socketio server, or passed on from server-sent events.

A client gets each entry as an event of the entry's name, with `{"id", "conversation", "data"}`. It asks for a
conversation by `join` with `{"conversation", "after"}`, where `after` is the last id that it has, and by `leave` with
`{"conversation"}` for no more of it. When following fails, `failed` says why: it joins again.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias, cast

import anyio
from anyio.abc import TaskGroup

from assistant_kit.errors import AssistantKitError, InputError
from assistant_kit.integrations.streaming.failures import Tell, failure_of
from assistant_kit.integrations.streaming.relay import Relay
from assistant_kit.integrations.streaming.sse import FAILED, Parser, read
from assistant_kit.integrations.streaming.wire import error_data
from assistant_kit.messages import Json, JsonObject
from assistant_kit.protocols.event_log import Entry

_log = logging.getLogger("assistant_kit.streaming")
_MOST: Final = 16  # conversations that one client follows at once

Emit: TypeAlias = Callable[[str, JsonObject], object]
UserOf: TypeAlias = Callable[[str], Awaitable[str]]
"""Returns the user who stands behind a client's `sid`; raises AssistantKitError when nobody does."""


def payload(entry: Entry, conversation: str) -> JsonObject:
    """Return what a client gets with an entry; the event's name is the entry's."""
    return {"id": entry.id, "conversation": conversation, "data": entry.data}


def forward(pieces: Iterable[bytes], emit: Emit, *, conversation: str, parser: Parser | None = None) -> None:
    """Pass on a stream of server-sent events, such as a response's body, until it ends: for servers without `async`.

    With `parser`, its `last_id` is where to go on when the connection is lost. Raises InputError, and what `pieces` and
    `emit` raise.
    """
    for entry in read(pieces, parser):
        emit(entry.name, payload(entry, conversation))


class Server(Protocol):
    """What is used of a `socketio.AsyncServer`."""

    def on(self, event: str, handler: Callable[..., Any], namespace: str | None = None) -> Any:
        """Let a function handle an event of clients."""
        ...

    async def emit(self, event: str, data: Any, *, to: str, namespace: str | None = None) -> None:
        """Send an event to a client."""
        ...


class _Clients:
    """Who follows what, on one server."""

    def __init__(
        self, server: Server, relay: Relay[Any], group: TaskGroup, *, user_of: UserOf, namespace: str, tell: Tell
    ) -> None:
        self._server = server
        self._relay = relay
        self._group = group
        self._user_of = user_of
        self._namespace = namespace
        self._tell = tell
        self._following: dict[str, dict[str, anyio.CancelScope]] = {}

    async def join(self, sid: str, data: object) -> JsonObject:
        """Follow a conversation for a client; the answer is `{"ok": true}`, or an error."""
        try:
            conversation, after = _asked(data)
            user = await self._user_of(sid)
            mine = self._following.setdefault(sid, {})
            if conversation in mine:
                mine.pop(conversation).cancel()
            if len(mine) >= _MOST:
                raise InputError(f"a client follows at most {_MOST} conversations at once")
            entries = self._relay.follow(user=user, conversation=conversation, after=after)
        except AssistantKitError as error:
            return {"error": error_data(error, tell=self._tell)}
        scope = mine[conversation] = anyio.CancelScope()

        async def follow() -> None:
            try:
                with scope:
                    async with entries:
                        async for entry in entries:
                            await self._emit(sid, entry.name, payload(entry, conversation))
            except AssistantKitError as error:
                _log.info("a client is told that events cannot be read: %s", type(error).__name__)
                told = {"conversation": conversation, "error": error_data(error, tell=self._tell)}
                await self._emit(sid, FAILED, told)
            finally:
                if mine.get(conversation) is scope:
                    del mine[conversation]

        self._group.start_soon(follow)
        return {"ok": True}

    async def leave(self, sid: str, data: object) -> JsonObject:
        """Follow a conversation no more."""
        try:
            scope = self._following.get(sid, {}).pop(_asked(data)[0], None)
        except InputError as error:
            return {"error": error_data(error, tell=self._tell)}
        if scope is not None:
            scope.cancel()
        return {"ok": True}

    async def gone(self, sid: str, *_: object) -> None:
        """Follow nothing for a client any more."""
        for scope in self._following.pop(sid, {}).values():
            scope.cancel()

    async def _emit(self, sid: str, name: str, data: JsonObject) -> None:
        await self._server.emit(name, data, to=sid, namespace=self._namespace)


@asynccontextmanager
async def attached(
    server: Server,
    relay: Relay[Any],
    *,
    user_of: UserOf,
    namespace: str = "/",
    tell: Tell = failure_of,
) -> AsyncGenerator[None]:
    """Let clients of a python-socketio server follow conversations, for as long as the block runs.

    It handles `join`, `leave` and `disconnect` of the namespace; `connect`, where an application finds out who a client
    is, remains the application's. `user_of` tells whose conversations a client may follow.
    """
    async with anyio.create_task_group() as group:
        clients = _Clients(server, relay, group, user_of=user_of, namespace=namespace, tell=tell)
        server.on("join", clients.join, namespace=namespace)
        server.on("leave", clients.leave, namespace=namespace)
        server.on("disconnect", clients.gone, namespace=namespace)
        yield
        group.cancel_scope.cancel()


def _asked(data: object) -> tuple[str, int | str | None]:
    """Return the conversation and the id that a client asks for. Raises InputError."""
    asked = cast("dict[str, Json]", data) if isinstance(data, dict) else {}
    conversation, after = asked.get("conversation"), asked.get("after")
    if not isinstance(conversation, str) or isinstance(after, bool) or not isinstance(after, int | str | None):
        raise InputError('what is asked for is {"conversation": "…", "after": 17}')
    return conversation, after
