"""The door for clients elsewhere: a bearer token says whose tasks they are, in any process."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from examples.todo_chatbot.auth.tokens import LIFE, AccessTokens
from examples.todo_chatbot.mcp_server.config import PATH, USER
from tests.examples.todo.mcp.doors import ANY, HERE, Service, tool_call, web_app
from tests.integrations.serving.hosting import hosted

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The service runs on asyncio."""
    return "asyncio"


@asynccontextmanager
async def web(service: Service) -> AsyncGenerator[httpx2.AsyncClient]:
    app = web_app(service)
    with anyio.fail_after(20):
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=HERE, headers={"Accept": ANY}) as client,
        ):
            yield client


async def test_a_request_without_a_good_token_is_401_and_says_what_is_wanted(service: Service, ada: UUID) -> None:
    stranger = AccessTokens(b"t" * 32).issue(ada)
    over = service.tokens.issue(ada, at=datetime.now(UTC) - LIFE - timedelta(minutes=1))
    gone = service.tokens.issue(uuid4())
    good = service.tokens.issue(ada)
    async with web(service) as client:
        for header in (
            None, "", "Bearer", "Bearer ", f"Basic {good}", good, f"Bearer {stranger}", f"Bearer {over}",
            f"Bearer {gone}", f"Bearer {good}x",
        ):  # fmt: skip
            for method in ("GET", "POST", "DELETE"):
                headers = {} if header is None else {"Authorization": header}
                answer = await client.request(method, PATH, json=tool_call("list_tasks"), headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer ")
        answer = await client.post(PATH, json=tool_call("list_tasks"), headers={"Authorization": f"Bearer {good}"})
        assert answer.status_code == 200


async def test_a_user_who_was_deleted_is_401_at_once(service: Service, ada: UUID) -> None:
    async with web(service) as client:
        service.users.delete(ada)
        answer = await client.post(PATH, json=tool_call("list_tasks"), headers=service.bearer(ada))
        assert answer.status_code == 401


async def test_who_the_client_says_it_is_does_not_count(service: Service, ada: UUID, eve: UUID) -> None:
    service.tasks.add(ada, "secret")
    async with web(service) as client:
        answer = await client.post(PATH, json=tool_call("list_tasks", {USER: str(ada)}), headers=service.bearer(eve))
    assert answer.status_code == 200
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8000"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 400),
        ({"Origin": "http://localhost:5173"}, 200),
    ],
)
async def test_a_page_elsewhere_gets_nothing_even_with_the_token(
    service: Service, ada: UUID, headers: Mapping[str, str], status: int
) -> None:
    async with web(service) as client:
        sent = {"Content-Type": "application/json", **service.bearer(ada), **headers}
        answer = await client.post(PATH, json=tool_call("list_tasks"), headers=sent)
        assert answer.status_code == status


async def test_a_body_that_is_too_large_or_no_request_is_refused(service: Service, ada: UUID) -> None:
    async with web(service) as client:
        json = {"Content-Type": "application/json", **service.bearer(ada)}
        huge = await client.post(PATH, json=tool_call("add_task", title="x" * 100_000), headers=service.bearer(ada))
        assert huge.status_code == 413
        for body in (b"", b"{", b"[]", b"null", b'{"jsonrpc": "2.0"}', b"\xff"):
            answer = await client.post(PATH, content=body, headers=json)
            assert answer.status_code == 400
    assert service.tasks.list(ada) == ()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_any_process_answers_any_request(service: Service, ada: UUID, mode: Any) -> None:
    """A client begins with one process and goes on with another: nothing is kept between requests."""
    apps = [web_app(service), web_app(service)]
    with hosted(_alternating(apps)) as url, anyio.fail_after(20):
        http = httpx2.AsyncClient(headers=service.bearer(ada))
        async with http, Client(streamable_http_client(f"{url}{PATH}", http_client=http), mode=mode) as client:
            for number in range(4):
                assert not (await client.call_tool("add_task", {"title": f"task {number}"})).is_error
            assert len((await client.list_tools()).tools) == 5
    assert len(service.tasks.list(ada)) == 4


def _alternating(apps: list[Any]) -> Any:
    """An application that gives each request to another process, as a balancer does."""
    turn = iter(range(1_000_000))

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        async with apps[0].router.lifespan_context(app), apps[1].router.lifespan_context(app):
            yield

    class Balancer:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await _live(lifespan(apps[0]), receive, send)
            else:
                await apps[next(turn) % 2](scope, receive, send)

    return Balancer()


async def _live(lifespan: Any, receive: Any, send: Any) -> None:
    await receive()
    async with lifespan:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
