"""Kills the service at each step of a chat, starts it again, and looks at what has become of the chat.

The processes are forked from this one, which has imported everything and has neither threads nor an event loop.
"""

import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import httpx2
from fastapi import FastAPI

from examples.todo_chatbot.api.app import make_app
from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.auth.tokens import AccessTokens
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.services.user_service import UserService
from examples.todo_chatbot.settings import Settings, read_settings
from tests.examples.todo.core.databases import QUICK
from tests.examples.todo.killed.mortal_service import serve, serve_until_killed

MESSAGE = "Add buy milk, and add call Ada."
ANSWER = "Added: buy milk.\nAdded: call Ada."
TITLES = ["buy milk", "call Ada"]
SECRET = "s" * 32
PATIENCE = 30.0  # seconds: a dead process's lease takes ten to end
MOST_STEPS = 200


class Wrong(AssertionError):
    """The chat did not go on as it should have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A user whose server died; `died` says where. One who `leaves` does not ask again at once."""

    number: int
    user: UUID
    died: str
    leaves: bool

    @property
    def key(self) -> str:
        return f"request-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Asks the service at an address."""

    url: str
    tokens: AccessTokens

    def ask(
        self, user: UUID, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Return the answer. Raises httpx2.NetworkError when the process has died, Wrong for an error."""
        bearer = {"Authorization": f"Bearer {self.tokens.issue(user)}", **(headers or {})}
        with httpx2.Client(base_url=self.url, headers=bearer, timeout=PATIENCE) as http:
            answer = http.request(method, f"/api/{user}{path}", json=body)
        if answer.status_code != 200:
            raise Wrong(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def say(self, user: UUID, message: str, conversation: int | None, headers: Mapping[str, str] | None = None) -> Any:
        body = {"conversation_id": conversation, "message": message}
        return self.ask(user, "POST", "/chat", body, headers)


def sweep(folder: Path, database_url: str | None = None, *, steps: range = range(MOST_STEPS)) -> list[Trial]:
    """Kill at each of the steps that there are, and see that each chat goes on. Returns the trials. Raises Wrong."""
    environment = {"TODO_DATA": str(folder), "TODO_SECRET": SECRET, "TODO_REQUESTS_PER_MINUTE": "1000000"}
    settings = read_settings(environment | ({} if database_url is None else {"DATABASE_URL": database_url}))
    users = dict(zip(steps, _make_users(settings, len(steps)), strict=True))
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1000)) as listener:
        clients = Clients(url=f"http://127.0.0.1:{listener.getsockname()[1]}", tokens=AccessTokens(SECRET.encode()))
        app = make_app(settings)  # nothing of it is open yet: each fork opens its own
        trials = _kill(app, listener, clients, users)
        with _running(lambda: serve(app, listener)), ThreadPoolExecutor(len(trials)) as threads:
            list(threads.map(partial(_look, clients), trials))
    return trials


def _make_users(settings: Settings, count: int) -> list[UUID]:
    database = Database(settings.database_url)
    database.migrate()
    users = UserService(database, Passwords(QUICK))
    made = [users.named(f"trial-{number}") for number in range(count)]
    database.close()  # before anything is forked
    return made


def _kill(app: FastAPI, listener: socket.socket, clients: Clients, users: Mapping[int, UUID]) -> list[Trial]:
    """Let a process die at the first step of a request, another one at the next, until one survives."""
    trials: list[Trial] = []
    for number, user in users.items():
        reader, writer = os.pipe()
        with _running(lambda: serve_until_killed(app, listener, writer)), open(reader) as report:  # noqa: B023, PTH123
            os.close(writer)
            headers = {"X-Die-At": str(number), "Idempotency-Key": f"request-{number}"}
            with suppress(httpx2.NetworkError, httpx2.RemoteProtocolError):
                clients.say(user, MESSAGE, None, headers)
            ending, _, place = report.readline().strip().partition(" ")
        if ending == "survived":
            return trials
        if ending != "died":
            raise Wrong(f"the process of trial {number} ended before it was killed")
        trials.append(Trial(number=number, user=user, died=place, leaves=len(trials) % 2 == 1))
    return trials


def _look(clients: Clients, trial: Trial) -> None:
    """See what has become of a chat: half of the clients ask again, the others leave it to the service first."""
    if trial.leaves:
        _left_to_the_service(clients, trial)
    answer = clients.say(trial.user, MESSAGE, None, {"Idempotency-Key": trial.key})
    number = answer["conversation_id"]
    _same(trial, "the answer", answer["response"], ANSWER)
    _same(trial, "the tasks", [task["title"] for task in _tasks(clients, trial)], TITLES)
    _same(trial, "the messages", _messages(clients, trial), [("user", MESSAGE), ("assistant", ANSWER)])
    again = clients.say(trial.user, "Complete the milk task", number)
    _same(trial, "the next answer", again["response"], "Done: buy milk.")
    _same(trial, "what is done", [task["done"] for task in _tasks(clients, trial)], [True, False])
    _same(trial, "the conversations", len(_conversations(clients, trial)), 1)


def _left_to_the_service(clients: Clients, trial: Trial) -> None:
    """See that a message whose sender does not come back is answered once, or was never taken."""
    end = time.monotonic() + PATIENCE
    while len(said := _messages(clients, trial)) == 1 and time.monotonic() < end:
        time.sleep(0.2)
    taken = [("user", MESSAGE), ("assistant", ANSWER)]
    _same(trial, "the messages", said, taken if said else [])
    _same(trial, "the tasks", [task["title"] for task in _tasks(clients, trial)], TITLES if said else [])


def _tasks(clients: Clients, trial: Trial) -> list[Any]:
    return clients.ask(trial.user, "GET", "/tasks")


def _conversations(clients: Clients, trial: Trial) -> list[Any]:
    return clients.ask(trial.user, "GET", "/conversations")


def _messages(clients: Clients, trial: Trial) -> list[tuple[str, str]]:
    return [
        (message["role"], message["content"])
        for one in _conversations(clients, trial)
        for message in clients.ask(trial.user, "GET", f"/conversations/{one['id']}/messages")
    ]


def _same(trial: Trial, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"died {trial.died} (step {trial.number}): {what}: {found!r}, not {expected!r}")


@contextmanager
def _running(run: Callable[[], None]) -> Generator[None]:
    """Run something in a process of its own, which is killed after the block."""
    process = os.fork()
    if process == 0:
        _be(run)
    try:
        yield
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _be(run: Callable[[], None]) -> NoReturn:
    try:
        run()
    except BaseException:  # noqa: BLE001  (a fork must not go on with what its parent does)
        traceback.print_exc()
    finally:
        os._exit(1)
