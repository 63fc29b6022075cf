"""A small server of `/v1/embeddings` on loopback, in a thread with a loop of its own."""

import asyncio
import base64
import json
import threading
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias

from tests.openai_server.connection import Connection, HTTPRequest, head

DIMENSIONS = 4
_STARTUP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered. `cut`: only so many bytes of the body, then the end; `wait`: nothing at all."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cut: int | None = None
    wait: bool = False


Answering: TypeAlias = Callable[[dict[str, Any]], Reply]


def encoded(values: Sequence[float]) -> str:
    """Return a vector as the API sends it; the machine is a little-endian one."""
    return base64.b64encode(array("f", values).tobytes()).decode()


def vector_of(text: str) -> list[float]:
    """Return the vector that the server has for a text: not of length 1."""
    return [float(len(text)), 1.0, float(sum(text.encode()) % 7), 2.0]


def listed(vectors: Sequence[object], **changes: Any) -> bytes:
    """Return the body of an answer that holds these embeddings."""
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "model": "m", **changes}).encode()


def usual(body: dict[str, Any]) -> Reply:
    """Answer as OpenAI does."""
    return Reply(body=listed([encoded(vector_of(text)) for text in body["input"]]))


class EmbeddingServer:
    """Answers as `script` says: a function of the request, or replies in order, and `usual` after them."""

    def __init__(self, *replies: Reply, answering: Answering = usual) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[HTTPRequest] = []
        self.port: int = 0
        self._replies = deque(replies)
        self._answering = answering
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._connections: list[Connection] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def base_url(self) -> str:
        """What `base_url` takes."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_STARTUP_SECONDS):
            raise TimeoutError("the test server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STARTUP_SECONDS)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = await self._loop.create_server(self._connection, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        listener.close()
        for connection in self._connections:
            connection.drop()
        await asyncio.sleep(0)  # the loop tells the connections

    def _connection(self) -> Connection:
        self._connections.append(Connection(self._handle))
        return self._connections[-1]

    async def _handle(self, request: HTTPRequest, connection: Connection) -> None:
        self.requests.append(request)
        body = json.loads(request.body)
        self.bodies.append(body)
        reply = self._replies.popleft() if self._replies else self._answering(body)
        if reply.wait:
            await connection.left.wait()
            return
        headers = {"content-type": "application/json", "content-length": str(len(reply.body)), **reply.headers}
        connection.write(head(reply.status, headers) + reply.body[: reply.cut])
        if reply.cut is not None:
            connection.close()
