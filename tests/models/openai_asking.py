"""What the tests of the OpenAI models share: models on a server, scripted HTTP, and what came of a request."""

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anyio
import httpx2
from openai import AsyncOpenAI

from assistant_kit.events import Delta, ReasoningToken, RefusalToken, Token
from assistant_kit.messages import Item, Text, ToolAnswer, user_message
from assistant_kit.models.openai import OpenAI, OpenAIChat, OpenAIResponses
from assistant_kit.protocols.model import ModelRequest, ModelResponse
from tests.openai_server import OpenAIServer, Raw

Model: TypeAlias = OpenAI | OpenAIChat | OpenAIResponses
Kind: TypeAlias = type[OpenAI] | type[OpenAIChat] | type[OpenAIResponses]
BOTH = (OpenAIResponses, OpenAIChat)
HI = user_message("hi")
KEY = "sk-secret-of-the-tests"


@dataclass(slots=True)
class Asked:
    """What came of one request."""

    response: ModelResponse
    deltas: list[Delta] = field(default_factory=list[Delta])

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, Token))

    @property
    def thought(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, ReasoningToken))

    @property
    def refusal(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, RefusalToken))


async def ask(model: Model, *items: Item, stream: bool = True, **settings: Any) -> Asked:
    """Put one request to a model, in bounded time."""
    deltas: list[Delta] = []
    request = ModelRequest(items=items or (HI,), stream=stream, **settings)
    with anyio.fail_after(5):
        return Asked(await model.respond(request, deltas.append), deltas)


@asynccontextmanager
async def connected(kind: Kind, server: OpenAIServer, **options: Any) -> AsyncGenerator[Model]:
    """A model that talks to a test server."""
    model = kind("m", api_key=KEY, base_url=server.base_url, **options)
    try:
        yield model
    finally:
        await model.aclose()


def answers(calls: Iterable[str], text: str = "done") -> list[ToolAnswer]:
    """One answer to each tool call."""
    return [ToolAnswer(call_id=call_id, content=(Text(text=text),)) for call_id in calls]


def http(body: bytes, kind: str = "text/event-stream", *, status: int = 200, headers: str = "") -> Raw:
    """A whole HTTP response."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{headers}"
    return Raw(head.encode() + b"connection: close\r\n\r\n" + body)


def events(*values: object) -> bytes:
    """A stream of server-sent events."""
    return b"".join(b"data: " + (value if isinstance(value, bytes) else dump(value)) + b"\n\n" for value in values)


def dump(value: object) -> bytes:
    """Compact JSON, as OpenAI's servers write it."""
    return json.dumps(value, separators=(",", ":")).encode()


def chunk(delta: object = None, finish: str | None = None, **more: object) -> dict[str, Any]:
    """A chunk of a streamed chat completion."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


class Script(httpx2.AsyncBaseTransport):
    """A transport without a network: answers each request with the next of some pieces of a body."""

    def __init__(self, *bodies: Sequence[bytes], status: int = 200, kind: str = "text/event-stream") -> None:
        self.bodies: list[Sequence[bytes]] = list(bodies)
        self.status = status
        self.kind = kind
        self.sent: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(json.loads(request.content))
        return httpx2.Response(self.status, headers={"content-type": self.kind}, content=_pieces(self.bodies.pop(0)))


async def _pieces(pieces: Sequence[bytes]) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


def scripted_client(script: Script, base_url: str | None = None) -> AsyncOpenAI:
    """An official client whose HTTP is scripted; without a base URL it believes that it talks to OpenAI."""
    return AsyncOpenAI(
        api_key=KEY, base_url=base_url or "https://api.openai.com/v1", http_client=httpx2.AsyncClient(transport=script)
    )
