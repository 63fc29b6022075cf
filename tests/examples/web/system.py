"""The whole web assistant, for tests and drills: every process of it, real databases, and people who sign in."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from html import unescape
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx2

from examples.flask_demo.certificates import make
from examples.flask_demo.machine.children import Children
from examples.flask_demo.machine.plan import Place, Plan, programs
from examples.flask_demo.machine.servers import free_ports, postgres_server, redis_server
from tests.openai_server import OpenAIServer

NONE: Mapping[str, str] = MappingProxyType({})
_PATIENCE = 60.0  # seconds
_CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system that runs. `children` are its processes, by their names."""

    plan: Plan
    place: Place
    children: Children

    @property
    def url(self) -> str:
        """The address of the pages."""
        return self.plan.url


@contextmanager
def running_system(
    folder: Path, *, orchestrators: int = 1, postgres: bool = False, told: Mapping[str, str] = NONE
) -> Generator[System]:
    """Run everything inside the block; `told` is what the orchestrators are told besides."""
    logs = folder / "logs"
    logs.mkdir(parents=True)
    port, redis_port, database_port = free_ports(3)
    with Children() as children, TemporaryDirectory(prefix="web-postgres-", dir="/tmp") as reachable:
        children.start(redis_server(folder / "redis", redis_port, logs / "redis.log"))
        database = f"sqlite:///{folder / 'web.db'}"
        if postgres:
            Path(reachable).chmod(0o711)  # the server may be another user
            children.start(postgres_server(Path(reachable) / "data", database_port, logs / "postgres.log"))
            database = f"postgresql://postgres@127.0.0.1:{database_port}/postgres"
        place = Place(data=folder, database_url=database, redis_url=f"redis://127.0.0.1:{redis_port}/0")
        make(place.certificates)
        plan = Plan.drawn(port=port, orchestrators=orchestrators)
        for group in programs(plan, place, told):
            children.start(*group)
        yield System(plan=plan, place=place, children=children)


def answering(server: OpenAIServer) -> Mapping[str, str]:
    """Return what lets the orchestrators ask a test server."""
    return {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": server.base_url, "OPENAI_MODEL": "test-model"}


def last_asked(system: System) -> str:
    """Return the orchestrator that was given a message last."""
    last: dict[str, str] = {}
    for child in system.children:
        if child.program.name.startswith("orchestrator"):
            lines = child.program.log.read_text().splitlines()
            asked = [line for line in lines if "/messages" in line]
            last[child.program.name] = asked[-1].partition('"timestamp": "')[2][:26] if asked else ""
    return max(last, key=last.__getitem__)


class Person:
    """Somebody with a browser's cookies, who is signed in and uses the API of the pages."""

    def __init__(self, system: System, name: str) -> None:
        """Sign in under a name."""
        # A browser takes http://localhost for safe, and sends it cookies that are `Secure`.
        self.client: httpx2.Client = httpx2.Client(base_url=system.url, timeout=_PATIENCE, follow_redirects=True)
        self.client.cookies.jar.set_policy(DefaultCookiePolicy(secure_protocols=("https", "http")))
        asked = self.client.get("/sign-in/start")
        hidden = {key: unescape(value) for key, value in _HIDDEN.findall(asked.text)}
        signed_in = self.client.post(str(asked.url.copy_with(query=None)), data={**hidden, "name": name})
        found = _CSRF.search(signed_in.text)
        assert found is not None, signed_in.text
        self._headers = {"X-CSRF-Token": found[1], "Origin": system.url}

    def close(self) -> None:
        """Leave."""
        self.client.close()

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Ask the API; the path is what follows /api/v1/."""
        headers = {**self._headers, **more.pop("headers", {})}
        return self.client.request(method, f"/api/v1/{path}", headers=headers, **more)

    def begin(self) -> str:
        """Begin a conversation and return its id."""
        made = self.ask("POST", "conversations", json={})
        assert made.status_code == 201, made.text
        return made.json()["id"]

    @contextmanager
    def saying(self, conversation: str, text: str, *, key: str = "") -> Generator[Iterator[str]]:
        """Say something, and read the lines of the stream."""
        with self.client.stream(**self._message(conversation, text, key)) as stream:
            if stream.status_code != 200:
                raise AssertionError(f"{stream.status_code}: {stream.read().decode()}")
            yield stream.iter_lines()

    @asynccontextmanager
    async def saying_beside(
        self, client: httpx2.AsyncClient, conversation: str, text: str
    ) -> AsyncGenerator[AsyncIterator[str]]:
        """Say something by a client for many people, which has no cookies of its own, and read the lines."""
        message = self._message(conversation, text)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)
        headers = {**message.pop("headers"), "Cookie": cookies}
        async with client.stream(**message, headers=headers) as stream:
            if stream.status_code != 200:
                raise AssertionError(f"{stream.status_code}: {(await stream.aread()).decode()}")
            yield stream.aiter_lines()

    def _message(self, conversation: str, text: str, key: str = "") -> dict[str, Any]:
        return {
            "method": "POST",
            "url": f"/api/v1/conversations/{conversation}/messages",
            "json": {"text": text, "files": []},
            "headers": {**self._headers, "Idempotency-Key": key or uuid4().hex, "Accept": "text/event-stream"},
        }
