"""The doors of the MCP server, each as a function with which any user can call any tool."""

import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx2
from anyio import fail_after
from mcp import Client
from mcp.types import RequestParamsMeta, TextContent
from starlette.applications import Starlette
from starlette.routing import Route

from assistant_kit.messages import text_of
from examples.todo_chatbot.auth.passwords import Passwords
from examples.todo_chatbot.auth.tokens import AccessTokens
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.mcp_server.config import IDEMPOTENCY_KEY, PATH, always
from examples.todo_chatbot.mcp_server.http import HTTPDoor
from examples.todo_chatbot.mcp_server.in_process import task_tools
from examples.todo_chatbot.mcp_server.server import make_server
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService
from tests.examples.todo.core.databases import QUICK, opened, sqlite_url
from tests.integrations.serving.hosting import called

SECRET = b"s" * 32
HERE = "http://localhost:8000"
ANY = "application/json, text/event-stream"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tool has answered."""

    text: str
    failed: bool


class Ask(Protocol):
    """Calls a tool as a user; with a key where the call is to count once."""

    async def __call__(self, user: UUID, tool: str, key: str | None = None, /, **arguments: Any) -> Answer: ...


@dataclass(frozen=True, kw_only=True)
class Service:
    """What stands behind the doors."""

    database: Database
    tasks: TaskService
    users: UserService
    tokens: AccessTokens

    def user(self) -> UUID:
        """Make a user."""
        return self.users.named(f"user-{uuid4()}")

    def bearer(self, user: UUID) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.issue(user)}"}


@contextmanager
def service_in(folder: Path) -> Generator[Service]:
    with opened(sqlite_url(folder)) as database:
        users = UserService(database, Passwords(QUICK))
        yield Service(database=database, tasks=TaskService(database), users=users, tokens=AccessTokens(SECRET))


def web_app(service: Service) -> Starlette:
    """The HTTP door as an application of its own."""
    door = HTTPDoor(service.tasks, service.users, service.tokens)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with door:
            yield

    return Starlette(routes=[Route(PATH, door)], lifespan=lifespan)


@asynccontextmanager
async def in_process(service: Service) -> AsyncGenerator[Ask]:
    """The door of the app's own assistant."""
    async with task_tools(service.tasks) as tools:

        async def ask(user: UUID, tool: str, key: str | None = None, /, **arguments: Any) -> Answer:
            output = await tools.call(tool, arguments, called(tool, key=key, user=str(user)))
            return Answer(text=text_of(output.content), failed=output.is_error)

        yield ask


@asynccontextmanager
async def over_http(service: Service) -> AsyncGenerator[Ask]:
    """The door for clients with an access token, without a network. Each request stands for itself."""
    app = web_app(service)
    transport = httpx2.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url=HERE) as web:

        async def ask(user: UUID, tool: str, key: str | None = None, /, **arguments: Any) -> Answer:
            body = tool_call(tool, {} if key is None else {IDEMPOTENCY_KEY: key}, **arguments)
            answer = await web.post(PATH, json=body, headers={"Accept": ANY, **service.bearer(user)})
            assert answer.status_code == 200, answer.text
            data = next(line for line in answer.text.splitlines() if line.startswith("data: {"))
            result = json.loads(data.removeprefix("data: "))["result"]
            return Answer(text=result["content"][0]["text"], failed=result.get("isError", False))

        yield ask


def tool_call(tool: str, meta: Mapping[str, Any] | None = None, /, **arguments: Any) -> dict[str, Any]:
    """The body of a request that calls a tool."""
    params = {"name": tool, "arguments": arguments, "_meta": meta or {}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


@asynccontextmanager
async def of_one_user(service: Service) -> AsyncGenerator[Ask]:
    """The door over standard input and output, without its process: a server for each user."""
    async with AsyncExitStack() as stack:
        clients: dict[UUID, Client] = {}

        async def ask(user: UUID, tool: str, key: str | None = None, /, **arguments: Any) -> Answer:
            if user not in clients:
                server = make_server(service.tasks, always(user))
                clients[user] = await stack.enter_async_context(Client(server))
            meta: RequestParamsMeta | None = None if key is None else {IDEMPOTENCY_KEY: key}
            result = await clients[user].call_tool(tool, arguments, meta=meta)
            text = "".join(part.text for part in result.content if isinstance(part, TextContent))
            return Answer(text=text, failed=bool(result.is_error))

        yield ask


Door = Callable[[Service], AbstractAsyncContextManager[Ask]]
DOORS: dict[str, Door] = {"in process": in_process, "http": over_http, "of one user": of_one_user}


@asynccontextmanager
async def through(door: str, service: Service) -> AsyncGenerator[Ask]:
    """Call tools through a door, for half a minute at most."""
    with fail_after(30):
        async with DOORS[door](service) as ask:
            yield ask
