"""Entries as the answer to a request, for Starlette, FastAPI and whatever else speaks ASGI."""

from collections.abc import Mapping
from contextlib import aclosing

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from assistant_kit.integrations.streaming.failures import Tell, failure_of
from assistant_kit.integrations.streaming.sse import HEADERS, MEDIA_TYPE, Arriving, retry, stream


class EventResponse(Response):
    """Sends entries as server-sent events, until they end or the client leaves.

    The turn goes on without the client. An error of the library ends the stream with an event `failed`, and `tell` says
    what that tells.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        entries: Arriving,
        *,
        alive: float = 15.0,
        retry_after: float = 1.0,
        headers: Mapping[str, str] | None = None,
        tell: Tell = failure_of,
    ) -> None:
        """Send these entries, such as those of `Relay.follow`, and close them.

        A comment is sent after each `alive` seconds without an entry. `retry_after` is what a client is told to wait
        before it connects again, in seconds.
        """
        super().__init__(headers={**HEADERS, **(headers or {})})
        del self.headers["content-length"]  # nobody knows it yet
        self._entries = entries
        self._alive = alive
        self._retry_after = retry_after
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes."""
        del scope
        async with anyio.create_task_group() as group:

            async def until_left() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(until_left)
            await self._send(send)
            group.cancel_scope.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _write(send, retry(self._retry_after))
        async with aclosing(stream(self._entries, alive=self._alive, tell=self._tell)) as bodies:
            async for body in bodies:
                await _write(send, body)
        await _write(send, b"", more=False)


async def _write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
