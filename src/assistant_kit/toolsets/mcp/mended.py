"""A transport of the SDK whose incoming answers are put right, and that does not wait long for an answer to a probe."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
from mcp import MCPError
from mcp.client import Transport
from mcp.shared.message import SessionMessage
from mcp.types import (
    PROTOCOL_VERSION_META_KEY,
    REQUEST_TIMEOUT,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)

from assistant_kit.toolsets.mcp.repair import Note, mended

SILENCE = 3.0  # seconds for an answer to the first question of the newer protocol; the SDK itself waits 10
_PROBE = "server/discover"
_UNKNOWN_VERSION = "2025-11-25"  # what the SDK assumes before the handshake


class _Asked:
    """The requests that wait for their answers: to each its method and the version of the protocol it was asked in."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.probed = anyio.Event()
        self._version = _UNKNOWN_VERSION
        self._waiting: dict[int | str, tuple[str, str]] = {}

    def sent(self, message: object) -> None:
        """Take note of what goes out."""
        match message:
            case JSONRPCRequest(id=key, method=method):
                if method == _PROBE:
                    self.probed = anyio.Event()
                meta: dict[str, Any] = (message.params or {}).get("_meta") or {}
                self._waiting[key] = method, meta.get(PROTOCOL_VERSION_META_KEY, self._version)
            case JSONRPCNotification(method="notifications/cancelled", params={"requestId": int() | str() as key}):
                self.given_up(key)
            case _:
                pass

    def given_up(self, key: int | str) -> None:
        """Take note that nobody waits for an answer any more."""
        self._waiting.pop(key, None)

    def came(self, message: object) -> None:
        """Put right what comes in."""
        match message:
            case JSONRPCResponse():
                self._answered(message)
            case JSONRPCError():
                if message.id is None and len(self._waiting) == 1:  # some cannot say which request they did not grasp
                    (message.id,) = self._waiting
                self._take(message.id)
            case _:
                pass

    def _answered(self, response: JSONRPCResponse) -> None:
        found = self._take(response.id)
        if found is None:
            return
        method, version = found
        response.result = mended(method, version, response.result, self.note)
        if method == "initialize" and isinstance(response.result.get("protocolVersion"), str):
            self._version = response.result["protocolVersion"]

    def _take(self, key: int | str | None) -> tuple[str, str] | None:
        """Find a request by the id of its answer, which some servers send back as a string."""
        if key is None:
            return None
        if key not in self._waiting and isinstance(key, str) and key.isdecimal():
            key = int(key)
        found = self._waiting.pop(key, None)
        if found is not None and found[0] == _PROBE:
            self.probed.set()
        return found


class _Reading:
    """The stream of a transport from which messages come."""

    def __init__(self, stream: Any, asked: _Asked) -> None:
        self._stream = stream  # of the SDK's protocol ReadStream, which it does not export
        self._asked = asked

    @property
    def last_context(self) -> Any:
        """The context variables of the sender, where the transport hands them on."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message. Raises EndOfStream."""
        try:
            item: SessionMessage | Exception = await self._stream.receive()
        except anyio.EndOfStream:
            self._asked.probed.set()  # nobody will answer
            raise
        if isinstance(item, SessionMessage):
            self._asked.came(item.message)
        return item

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class _Writing:
    """The stream of a transport to which messages go."""

    def __init__(self, stream: Any, asked: _Asked) -> None:
        self._stream = stream
        self._asked = asked

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message. Raises MCPError for a probe that nobody answers: servers exist that pass it over."""
        self._asked.sent(item.message)
        await self._stream.send(item)
        if isinstance(item.message, JSONRPCRequest) and item.message.method == _PROBE:
            with anyio.move_on_after(SILENCE):
                await self._asked.probed.wait()
                return
            self._asked.given_up(item.message.id)
            raise MCPError(REQUEST_TIMEOUT, "no answer to the first question of the newer protocol")

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self._stream.__aexit__(exc_type, exc_val, exc_tb)


@asynccontextmanager
async def mended_transport(transport: Transport, note: Note) -> AsyncGenerator[tuple[_Reading, _Writing]]:
    """Open a transport so that its answers are put right; `note` is told of each that is."""
    asked = _Asked(note)
    async with transport as (reading, writing):
        yield _Reading(reading, asked), _Writing(writing, asked)
