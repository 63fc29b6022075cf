"""A crowd of users, each with one conversation, which goes from one process of the service to the other and back.

Some of what they say reaches both processes at once under one key, as when a client did not wait for its answer.
"""

import signal
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import quantiles
from uuid import UUID

import anyio
import httpx2

from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.auth.tokens import AccessTokens
from examples.todo_chatbot.services.user_service import UserService
from tests.examples.todo.core.databases import QUICK, opened
from tests.services.processes import ending_with_us, free_port, running

SECRET = "s" * 32
PATIENCE = 120.0  # seconds for an answer: a crowd is before a machine of any size


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many users say how many things each; every so manieth message is sent to both processes at once."""

    users: int = 50
    messages: int = 6
    doubled: int = 3


@dataclass(slots=True, kw_only=True)
class Figures:
    """What came of it. `lost` and `double` count messages and tasks; `seconds` are those of each answer."""

    requests: int = 0
    failed: int = 0
    lost: int = 0
    double: int = 0
    seconds: list[float] = field(default_factory=list[float])
    took: float = 0.0

    @property
    def wrong(self) -> bool:
        return bool(self.failed or self.lost or self.double)

    def __str__(self) -> str:
        cuts = quantiles(self.seconds, n=20) if len(self.seconds) > 1 else [0.0] * 19
        return (
            f"requests={self.requests} failed={self.failed} lost={self.lost} double={self.double} "
            f"seconds={self.took:.1f} per_second={self.requests / self.took:.1f} p50={cuts[9]:.2f} p95={cuts[18]:.2f}"
        )


@contextmanager
def processes(folder: Path, database_url: str, count: int) -> Generator[Sequence[str]]:
    """Run so many processes of the service on one database; gives their addresses."""
    ports = [free_port() for _ in range(count)]
    settings = {"DATABASE_URL": database_url, "TODO_SECRET": SECRET, "TODO_REQUESTS_PER_MINUTE": "1000000"}
    environment = [f"{name}={value}" for name, value in {**settings, "TODO_DATA": str(folder)}.items()]
    start = [*ending_with_us(signal.SIGKILL), "env", "--unset=OPENAI_API_KEY", *environment, sys.executable]
    with ExitStack() as stack:
        for port in ports:
            serve = running(
                [*start, "-m", "examples.todo_chatbot", "--serve", "--port", str(port)],
                stop=signal.SIGKILL,
                log=folder / f"{port}.log",
                answers=partial(_is_healthy, port),
            )
            stack.enter_context(serve)
        yield [f"http://127.0.0.1:{port}" for port in ports]


def _is_healthy(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


def come(database_url: str, addresses: Sequence[str], plan: Plan) -> Figures:
    """Let the crowd talk, and count what it finds in the end."""
    with opened(database_url) as database:
        service = UserService(database, Passwords(QUICK))
        users = [service.named(f"user-{number}") for number in range(plan.users)]
    figures = Figures()
    begin = time.monotonic()
    anyio.run(_talk, addresses, users, plan, figures)
    figures.took = time.monotonic() - begin
    anyio.run(_count, addresses, users, plan, figures)
    return figures


async def _talk(addresses: Sequence[str], users: Sequence[UUID], plan: Plan, figures: Figures) -> None:
    async with _client() as http, anyio.create_task_group() as tasks:
        for user in users:
            tasks.start_soon(_User(http, addresses, user, figures).talk, plan)


async def _count(addresses: Sequence[str], users: Sequence[UUID], plan: Plan, figures: Figures) -> None:
    async with _client() as http:
        for user in users:
            await _User(http, addresses, user, figures).count(plan)


def _client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None)
    return httpx2.AsyncClient(timeout=PATIENCE, limits=limits)


class _User:
    def __init__(self, http: httpx2.AsyncClient, addresses: Sequence[str], user: UUID, figures: Figures) -> None:
        self._http = http
        self._addresses = addresses
        self._user = user
        self._figures = figures
        self._headers = {"Authorization": f"Bearer {AccessTokens(SECRET.encode()).issue(user)}"}
        self._conversations: set[int] = set()

    async def talk(self, plan: Plan) -> None:
        for number in range(plan.messages):
            order = [self._addresses[(number + step) % len(self._addresses)] for step in range(len(self._addresses))]
            asked = order if number % plan.doubled == 0 else order[:1]
            conversation = next(iter(self._conversations), None)
            async with anyio.create_task_group() as tasks:
                for address in asked:
                    tasks.start_soon(self._say, address, number, conversation)

    async def _say(self, address: str, number: int, conversation: int | None) -> None:
        body = {"conversation_id": conversation, "message": f"add {_title(number)}"}
        begin = time.monotonic()
        answer = await self._http.post(
            f"{address}/api/{self._user}/chat", json=body, headers={**self._headers, "Idempotency-Key": f"{number}"}
        )
        self._figures.requests += 1
        self._figures.seconds.append(time.monotonic() - begin)
        if answer.status_code != 200 or answer.json()["response"] != f"Added: {_title(number)}.":
            self._figures.failed += 1
            sys.stderr.write(f"{answer.status_code} {answer.text}\n")
        else:
            self._conversations.add(answer.json()["conversation_id"])

    async def count(self, plan: Plan) -> None:
        titles = [_title(number) for number in range(plan.messages)]
        self._compare(titles, [task["title"] for task in await self._get("/tasks")])
        conversations = [one["id"] for one in await self._get("/conversations")]
        self._figures.double += len(conversations) - 1
        said = [
            message["content"] for one in conversations for message in await self._get(f"/conversations/{one}/messages")
        ]
        self._compare([text for title in titles for text in (f"add {title}", f"Added: {title}.")], said)

    def _compare(self, expected: list[str], found: list[str]) -> None:
        self._figures.lost += len([one for one in expected if one not in found])
        self._figures.double += len(found) - len(set(found))
        if sorted(expected) == sorted(found) and expected != found:
            self._figures.failed += 1  # nothing is lost, but the order is

    async def _get(self, path: str) -> list[dict[str, str]]:
        answer = await self._http.get(f"{self._addresses[0]}/api/{self._user}{path}", headers=self._headers)
        return answer.raise_for_status().json()


def _title(number: int) -> str:
    return f"errand {'abcdefghijklmnopqrstuvwxyz'[number % 26]} {number}"
