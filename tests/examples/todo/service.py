"""The service in a test: an application without a network, and people who have signed up."""

import json
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, cast

import httpx2
import uvicorn
from fastapi import FastAPI

from assistant_kit.protocols.model import Model
from examples.todo_chatbot.api.app import make_app
from examples.todo_chatbot.api.service import Service
from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.settings import LimitSettings, Settings, read_settings
from tests.examples.todo.core.databases import QUICK

PASSWORD = "correct horse"
UNLIMITED = LimitSettings(requests_per_minute=1_000_000, log_ins_per_minute=1_000_000, tokens_per_day=1_000_000_000)
_numbers = count(1)


def settings_in(folder: Path, *, database: str | None = None, limits: LimitSettings = UNLIMITED) -> Settings:
    """Return the settings of a service that keeps all in a folder, or in a database."""
    environment = {"TODO_DATA": str(folder)} | ({} if database is None else {"DATABASE_URL": database})
    return replace(read_settings(environment), limits=limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who has signed up, and asks as themselves."""

    id: str
    email: str
    token: str
    refresh_token: str
    http: httpx2.AsyncClient

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def url(self, path: str = "") -> str:
        return f"/api/{self.id}{path}"

    async def ask(self, method: str, path: str, json: Any = None, *, key: str | None = None) -> httpx2.Response:
        headers = self.headers | ({} if key is None else {"Idempotency-Key": key})
        return await self.http.request(method, self.url(path), json=json, headers=headers)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def chat(self, message: str, conversation: int | None = None, *, key: str | None = None) -> Any:
        body = {"conversation_id": conversation, "message": message}
        answer = await self.ask("POST", "/chat", body, key=key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def titles(self) -> list[str]:
        return [task["title"] for task in await self.get("/tasks")]

    async def said(self, conversation: int) -> list[tuple[str, str]]:
        messages = await self.get(f"/conversations/{conversation}/messages")
        return [(message["role"], message["content"]) for message in messages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service that runs."""

    app: FastAPI
    parts: Service
    http: httpx2.AsyncClient

    async def person(self, email: str | None = None) -> Person:
        email = email or f"person{next(_numbers)}@example.org"
        return await sign_up(self.http, email)


async def sign_up(http: httpx2.AsyncClient, email: str) -> Person:
    """Let somebody sign up."""
    answer = await http.post("/api/auth/sign-up", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return person_of(email, answer.json(), http)


@contextmanager
def served(app: FastAPI) -> Generator[str]:
    """Serve an application on a port of this machine, in a thread of its own; its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before it has started waits
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def quick_app(settings: Settings, *, model: Model | None = None) -> FastAPI:
    """Return an application that hashes passwords at once."""
    return make_app(settings, model=model, passwords=Passwords(QUICK))


def events_of(text: str) -> list[tuple[int, str, Any]]:
    """Read server-sent events: their ids, names and data."""
    events: list[tuple[int, str, Any]] = []
    for block in text.strip().split("\n\n"):
        number, name, data = (line.partition(": ")[2] for line in block.split("\n"))
        events.append((int(number), name, json.loads(data)))
    return events


def person_of(email: str, login: Mapping[str, Any], http: httpx2.AsyncClient) -> Person:
    """Return who has got these tokens."""
    return Person(
        id=login["user_id"],
        email=email,
        token=login["access_token"],
        refresh_token=login["refresh_token"],
        http=http,
    )


@asynccontextmanager
async def running(settings: Settings, *, model: Model | None = None) -> AsyncGenerator[Running]:
    """Run a service, and a client that calls it without a network."""
    app = quick_app(settings, model=model)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000", timeout=20) as http,
    ):
        yield Running(app=app, parts=cast("Service", app.state.service), http=http)
