"""HTTP/1.1 on one socket, as little as the server needs: keep-alive, bodies with a length, chunked answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

LIMIT = 64 << 20
"""The largest request that is accepted, in bytes."""


@dataclass(frozen=True, slots=True)
class HTTPRequest:
    """One request as it came in; the header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Connection(asyncio.Protocol):
    """Reads requests, one after the other, and lets `handle` answer each."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self.left = asyncio.Event()
        """Set when the client has closed the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with an empty buffer (asyncio calls this)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that the client has left (asyncio calls this)."""
        self.left.set()

    def data_received(self, data: bytes) -> None:
        """Gather bytes until a request is whole (asyncio calls this)."""
        self._buffer += data
        if len(self._buffer) > LIMIT:
            self.close()
        elif self._task is None:
            self._next_request()

    def _next_request(self) -> None:
        taken = take_request(self._buffer)
        if taken is not None:
            self._task = asyncio.get_running_loop().create_task(self._handle(taken, self))
            self._task.add_done_callback(self._request_done)

    def _request_done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if task.exception() is not None:
            self.close()
            task.result()  # raises, into asyncio's log: a fault of the server or of the script
        elif not self.left.is_set():
            self._next_request()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._transport is not None:
            self._transport.write(data)

    def write_chunks(self, chunks: Iterable[bytes]) -> None:
        """Send each piece as one chunk of a chunked body, all in one write."""
        self.write(b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks))

    def end_chunks(self) -> None:
        """End a chunked body."""
        self.write(b"0\r\n\r\n")

    def close(self) -> None:
        """Send what is left and close."""
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close at once; what is not sent yet is lost."""
        if self._transport is not None:
            self._transport.abort()


Handle: TypeAlias = Callable[[HTTPRequest, Connection], Coroutine[None, None, None]]


def take_request(buffer: bytearray) -> HTTPRequest | None:
    """Take one whole request from the front of the buffer, or None if it is not all there yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    start, length = end + 4, int(headers.get("content-length", "0"))
    if len(buffer) < start + length:
        return None
    body = bytes(buffer[start : start + length])
    del buffer[: start + length]
    method, path, *_ = first.split(" ")
    return HTTPRequest(method=method, path=path.partition("?")[0], headers=headers, body=body)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """A status line and headers."""
    phrase = next((known.phrase for known in HTTPStatus if known.value == status), "Status")
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
