from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
import socketio  # pyright: ignore[reportMissingTypeStubs]  # it has none

from assistant_kit.errors import InputError
from assistant_kit.integrations.streaming import Relay, sse
from assistant_kit.integrations.streaming.socketio import attached, forward, payload
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.event_log import Entry
from assistant_kit.testing.scripted_model import ScriptedModel
from tests.integrations.streaming.relaying import FaultyLog, World

pytestmark = pytest.mark.anyio

NONE: JsonObject = {}


class Server:
    """What a Socket.IO server does with its clients, without a network: it hands events on, and keeps what it sends."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[..., Awaitable[Any]]] = {}
        self.sent: dict[str, list[tuple[str, Any]]] = {}
        self.news = anyio.Event()

    def on(self, event: str, handler: Callable[..., Any], namespace: str | None = None) -> None:
        assert namespace == "/"
        self.handlers[event] = handler

    async def emit(self, event: str, data: Any, *, to: str, namespace: str | None = None) -> None:
        assert namespace == "/"
        self.sent.setdefault(to, []).append((event, data))
        self.news.set()
        self.news = anyio.Event()

    async def call(self, event: str, sid: str, *data: object) -> Any:
        return await self.handlers[event](sid, *data)

    async def until(self, sid: str, name: str, count: int = 1) -> list[tuple[str, Any]]:
        with anyio.fail_after(10):
            while [sent for sent, _ in self.sent.get(sid, [])].count(name) < count:
                await self.news.wait()
        return self.sent[sid]


async def user_of(sid: str) -> str:
    if sid == "nobody":
        raise InputError("sign in first")
    return "u" if sid.startswith("u") else sid


@pytest.fixture
def log() -> FaultyLog:
    return FaultyLog()


@pytest.fixture
async def relay(log: FaultyLog) -> AsyncIterator[Relay[str]]:
    async with World(log=log).worker(ScriptedModel(["one two three", "four"])) as relay:
        yield relay


async def ask(relay: Relay[str], request_id: str) -> None:
    await relay.start("x", user="u", conversation="c", request_id=request_id)


def test_the_server_of_python_socketio_is_what_is_expected_of_it() -> None:
    server = socketio.AsyncServer(async_mode="asgi")

    assert attached(server, None, user_of=user_of) is not None  # pyright: ignore[reportArgumentType]  # it is not entered


async def test_clients_follow_a_conversation_and_go_on_where_they_were(relay: Relay[str]) -> None:
    server = Server()
    async with attached(server, relay, user_of=user_of):
        assert await server.call("join", "u1", {"conversation": "c"}) == {"ok": True}
        await ask(relay, "r1")
        first = await server.until("u1", "complete")
        last = first[0][1]["id"]
        assert await server.call("join", "u2", {"conversation": "c", "after": str(last)}) == {"ok": True}
        assert await server.call("join", "stranger", {"conversation": "c"}) == {"ok": True}
        assert await server.until("u2", "complete") == first[1:]
        # A client that joins again goes on at the place it names, once.
        await server.call("join", "u2", {"conversation": "c", "after": first[-1][1]["id"]})
        await server.call("leave", "u1", {"conversation": "c"})
        await server.call("leave", "u1", {"conversation": "other"})
        await ask(relay, "r2")
        second = (await server.until("u2", "complete", 2))[len(first) - 1 :]
        await server.call("disconnect", "u2", "client disconnect")
        await server.call("disconnect", "u3", "client disconnect")

    assert server.sent.keys() == {"u1", "u2"}
    assert server.sent["u1"] == first
    ids = [data["id"] for _, data in [*first, *second]]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert "".join(data["data"]["text"] for name, data in first if name == "token") == "one two three"
    assert {data["conversation"] for _, data in first} == {"c"}
    assert second[-1][1]["data"]["output"] == "four"


@pytest.mark.parametrize(
    "asked",
    [None, NONE, {"conversation": 1}, {"conversation": "c", "after": "x"}, {"conversation": ""}],
    ids=["nothing", "empty", "number", "after", "name"],
)
async def test_what_cannot_be_followed_is_refused(relay: Relay[str], asked: object) -> None:
    server = Server()
    async with attached(server, relay, user_of=user_of):
        assert (await server.call("join", "u", asked))["error"]["code"] == "invalid"
        assert (await server.call("leave", "u", 5))["error"]["code"] == "invalid"


async def test_nobody_follows_without_a_user_or_too_much(relay: Relay[str]) -> None:
    server = Server()
    async with attached(server, relay, user_of=user_of):
        assert (await server.call("join", "nobody", {"conversation": "c"}))["error"]["code"] == "invalid"
        answers = [await server.call("join", "u", {"conversation": f"c{n}"}) for n in range(17)]

    assert [set(answer) for answer in answers] == [{"ok"}] * 16 + [{"error"}]


async def test_a_client_is_told_when_events_cannot_be_read(relay: Relay[str], log: FaultyLog) -> None:
    server = Server()
    log.is_down = True
    async with attached(server, relay, user_of=user_of):
        await server.call("join", "u", {"conversation": "c"})
        ((_, data),) = await server.until("u", "failed")

    assert (data["conversation"], data["error"]["code"]) == ("c", "unavailable")


def test_server_sent_events_are_passed_on() -> None:
    entries = [Entry(id=n, name="token", data={"text": str(n)}) for n in range(3)]
    body = b"".join(map(sse.written, entries))
    emitted: list[tuple[str, object]] = []
    parser = sse.Parser()

    forward([body[:40], body[40:]], lambda name, data: emitted.append((name, data)), conversation="c", parser=parser)

    assert emitted == [("token", payload(entry, "c")) for entry in entries]
    assert parser.last_id == 2
