"""An orchestrator in a test: on a port of this machine, with a front end that makes tokens."""

import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import anyio
import httpx2
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from assistant_kit.protocols.model import Model
from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.orchestrator.admin import make_admin
from examples.flask_demo.orchestrator.app import make_app
from examples.flask_demo.orchestrator.service import Service
from examples.flask_demo.orchestrator.settings import LimitSettings, Settings, read_settings
from examples.flask_demo.rules import web_model
from examples.flask_demo.service_tokens import PUBLISHED, KeyRing

ISSUER = "http://front.test"
UNLIMITED = LimitSettings(
    messages=1_000_000,
    uploads=1_000_000,
    tool_calls=1_000_000,
    requests=1_000_000,
    tokens_per_day=1_000_000_000,
    model_requests_per_day=1_000_000,
)
PACE = 0.002
"""Seconds for each word of the rule-based model."""
_KEYS = KeyRing.made()
_MASTER = MasterKeys.generate("test")
_numbers = count(1)


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncGenerator[str]:
    """Serve an application on a port of this machine, in this event loop; its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        server = _Server(config)
        async with anyio.create_task_group() as group:
            group.start_soon(server.run_until_told, listening)
            with anyio.fail_after(20):
                await server.ready.wait()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True
                with anyio.move_on_after(20, shield=True):  # in order, also when a test has failed
                    await server.over.wait()


class _Server(uvicorn.Server):
    """A server that says when it is ready, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready: anyio.Event = anyio.Event()
        self.over: anyio.Event = anyio.Event()

    async def run_until_told(self, listening: socket.socket) -> None:
        try:
            await self.serve([listening])
        finally:
            self.over.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An event as a reader gets it."""

    id: int
    name: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who has signed in at the front end."""

    id: str
    http: httpx2.AsyncClient
    keys: KeyRing = field(default=_KEYS, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys.issue(self.id, issuer=ISSUER, audience='orchestrator')}"}

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = self.headers | options.pop("headers", {})
        return await self.http.request(method, f"/api/v1{path}", headers=headers, **options)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def begin(self, title: str = "") -> str:
        answer = await self.ask("POST", "/conversations", json={"title": title})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def say(
        self, conversation: str, text: str, *, key: str | None = None, files: tuple[str, ...] = ()
    ) -> list[Sent]:
        """Say something and read the stream to its end."""
        headers = self.headers | {"Idempotency-Key": key or uuid4().hex}
        path = f"/api/v1/conversations/{conversation}/messages"
        with anyio.fail_after(20):
            async with self.http.stream("POST", path, headers=headers, json={"text": text, "files": files}) as answer:
                assert answer.status_code == 200, await answer.aread()
                return [event async for event in sent(answer)]

    async def send(self, conversation: str, text: str, *, key: str | None = None) -> Any:
        """Say something without reading the stream."""
        headers = {"Idempotency-Key": key or uuid4().hex, "Accept": "application/json"}
        answer = await self.ask("POST", f"/conversations/{conversation}/messages", json={"text": text}, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.json()

    @asynccontextmanager
    async def follow(self, conversation: str, after: str | None = None) -> AsyncGenerator[AsyncIterator[Sent]]:
        """Read the stream of a conversation."""
        headers = self.headers | ({} if after is None else {"Last-Event-ID": after})
        path = f"/api/v1/conversations/{conversation}/events"
        async with self.http.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield sent(answer)

    async def upload(self, name: str, data: bytes, media_type: str = "application/octet-stream") -> httpx2.Response:
        return await self.ask("POST", "/files", files={"file": (name, data, media_type)})


async def sent(answer: httpx2.Response) -> AsyncIterator[Sent]:
    """Read the events of a stream."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "event" in fields:
            yield Sent(id=int(fields["id"]), name=fields["event"], data=json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}


def text_of(events: list[Sent]) -> str:
    """Return the answer as a reader has it in the end."""
    text = ""
    for event in events:
        match event.name:
            case "token":
                text += event.data["text"]
            case "text_retracted":
                text = text.removesuffix(event.data["text"])
            case _:
                pass
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An orchestrator that runs, the place for its operators, and those who use it."""

    parts: Service
    http: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    settings: Settings

    def person(self) -> Person:
        return Person(id=f"u_{next(_numbers):032x}", http=self.http)


def settings_in(folder: Path, redis: str, jwks: str, **changed: Any) -> Settings:
    """Return the settings of an orchestrator that keeps all in a folder."""
    environment = {
        "LISTEN": "127.0.0.1:1",
        "ADMIN_LISTEN": "127.0.0.1:1",
        "DATABASE_URL": f"sqlite:///{folder / 'web.db'}",
        "REDIS_URL": redis,
        "FILES_URL": (folder / "files").as_uri(),
        "JWKS_URL": jwks,
        "TOKEN_ISSUER": ISSUER,
        "MASTER_KEYS": _MASTER,
        "SIGNING_KEYS_FILE": str(folder / "keys.pem"),
    }
    return replace(read_settings(environment), **({"limits": UNLIMITED} | changed))


@asynccontextmanager
async def front_end() -> AsyncGenerator[str]:
    """Publish the keys of tokens, as the front end does; their address."""
    app = FastAPI()

    @app.get(PUBLISHED)
    async def keys() -> Mapping[str, Any]:
        return _KEYS.published()

    async with serving(app) as url:
        yield url + PUBLISHED


@asynccontextmanager
async def orchestrator(settings: Settings, *, model: Model | None = None) -> AsyncGenerator[World]:
    """Run an orchestrator, with the rule-based model unless another one is given."""
    app = make_app(settings, model=web_model(PACE) if model is None else model)
    parts = cast("Service", app.state.service)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(serving(app))
        admin = await stack.enter_async_context(serving(make_admin(parts)))
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=api, timeout=20))
        operators = await stack.enter_async_context(httpx2.AsyncClient(base_url=admin, timeout=20))
        yield World(parts=parts, http=http, admin=operators, settings=settings)


@asynccontextmanager
async def running(folder: Path, redis: str, *, model: Model | None = None, **changed: Any) -> AsyncGenerator[World]:
    """Run an orchestrator with all it needs."""
    async with front_end() as jwks, orchestrator(settings_in(folder, redis, jwks, **changed), model=model) as world:
        yield world
