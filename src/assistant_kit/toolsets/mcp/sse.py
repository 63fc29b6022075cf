"""The transport of the first HTTP servers: one stream of events for all answers, and a POST for each message.

The SDK's own bounds an event to 1 MiB, and one that is longer takes the whole connection down (reference/mcp.md,
defect 3). Here nothing bounds it, and a POST that fails fails one request.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeAlias

import anyio
import anyio.lowlevel
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import MCPError
from mcp.shared.message import SessionMessage
from mcp.types import INTERNAL_ERROR, ErrorData, JSONRPCError, JSONRPCMessage, JSONRPCRequest, jsonrpc_message_adapter

from assistant_kit.toolsets.mcp.contained_http import IN_SESSION, ContainedClient, refusal, unreachable
from assistant_kit.toolsets.mcp.repair import broken_answer

Incoming: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
MAX_REDIRECTS = 5
LAST_POST = 1.0
"""Seconds that a message which is on its way has to be taken or refused when the stream of events has ended."""
_log = logging.getLogger("assistant_kit.tools")


class _Posting:
    """The way to the server: each message is a request of its own."""

    def __init__(self, client: ContainedClient, url: httpx2.URL) -> None:
        self._client = client
        self._url = url
        self._on_their_way = 0
        self._done = anyio.Event()

    async def send(self, item: SessionMessage, /) -> None:
        """Post a message. Raises MCPError for a request that was not taken."""
        body = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        self._on_their_way += 1
        try:
            response = await self._client.post(
                self._url, content=body, headers={"content-type": "application/json"}, extensions={IN_SESSION: True}
            )
        finally:
            self._on_their_way -= 1
            self._done.set()
        if isinstance(item.message, JSONRPCRequest) and not response.is_success:
            raise MCPError.from_error_data(_reason(response))

    async def finish(self) -> None:
        """Wait for what is on its way: a server that knows this stream no more says that it has not taken it."""
        with anyio.move_on_after(LAST_POST, shield=True):
            while self._on_their_way:
                self._done = anyio.Event()
                await self._done.wait()

    async def aclose(self) -> None:
        """Take no more messages."""
        await anyio.lowlevel.checkpoint()  # there is nothing open

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


Streams: TypeAlias = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], _Posting]


@asynccontextmanager
async def sse_streams(url: str, client: ContainedClient, on_close: Callable[[], None]) -> AsyncGenerator[Streams]:
    """Open the stream of events, and hold it; `on_close` is called when it ends.

    Raises MCPError when the server offers none.
    """
    incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    async with anyio.create_task_group() as tasks, incoming, received:
        answer = await _opened(client, httpx2.URL(url))
        try:
            events = aiter(httpx2.EventSource(answer, max_event_size=None))
            posting = _Posting(client, await _endpoint(events, answer.url))
            tasks.start_soon(_read, events, incoming, on_close)
            try:
                yield received, posting
            finally:
                await posting.finish()
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await answer.aclose()


async def _opened(client: ContainedClient, url: httpx2.URL) -> httpx2.Response:
    """Ask for the stream of events; a redirect is followed while it stays with the same server."""
    for _ in range(MAX_REDIRECTS):
        request = client.build_request("GET", url, headers={"accept": "text/event-stream", "cache-control": "no-store"})
        try:
            answer = await client.send(request, stream=True)
        except httpx2.TransportError as error:
            raise MCPError.from_error_data(unreachable(request, error)) from error
        if answer.is_success and _is_stream(answer):
            return answer
        following = answer.next_request
        try:
            await answer.aread()
        finally:
            await answer.aclose()
        if following is None or not _same_server(url, following.url):
            raise MCPError.from_error_data(refusal(answer))
        url = following.url
    raise MCPError(INTERNAL_ERROR, f"more than {MAX_REDIRECTS} redirects")


async def _endpoint(events: AsyncIterator[httpx2.ServerSentEvent], url: httpx2.URL) -> httpx2.URL:
    """Wait for the first event, which says where messages are posted: it must be at the same server.

    Headers and credentials are for the server that the application has named.
    """
    async for event in events:
        if event.event == "endpoint":
            found = url.join(event.data)
            if not _same_server(url, found):
                raise MCPError(INTERNAL_ERROR, f"the server wants its messages posted to another one, {found.host}")
            return found
    raise MCPError(INTERNAL_ERROR, "the stream of events ended before it said where messages are posted")


async def _read(
    events: AsyncIterator[httpx2.ServerSentEvent], incoming: Incoming, on_close: Callable[[], None]
) -> None:
    try:
        async for event in events:
            if event.event == "message" and event.data:
                message = _parsed(event.data)
                if message is not None:
                    await incoming.send(SessionMessage(message))
    except (httpx2.TransportError, httpx2.StreamError, anyio.BrokenResourceError):
        _log.debug("a stream of events has broken off", exc_info=True)
    finally:
        on_close()
        incoming.close()


def _parsed(data: str) -> JSONRPCMessage | None:
    try:
        return jsonrpc_message_adapter.validate_json(data, by_name=False)
    except ValueError:
        return broken_answer(data.encode())


def _reason(response: httpx2.Response) -> ErrorData:
    """Return the error in the body of a response: the server's own, or the one that the client has put there."""
    try:
        return JSONRPCError.model_validate_json(response.content, by_name=False).error
    except ValueError:
        return refusal(response)


def _is_stream(answer: httpx2.Response) -> bool:
    return answer.headers.get("content-type", "").lower().startswith("text/event-stream")


def _same_server(one: httpx2.URL, other: httpx2.URL) -> bool:
    same = (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)
    return same and other.userinfo in (b"", one.userinfo)
