"""HTTPTools beside a server that answers as told, in virtual time."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anyio
import httpx2
import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.errors import (
    AssistantKitError,
    ConfigurationError,
    InvalidArguments,
    OutcomeUnknown,
    ToolError,
    ToolsetError,
)
from assistant_kit.messages import text_of
from assistant_kit.toolsets.http_tools import HTTPTools
from assistant_kit.toolsets.http_tools.wire import MAX_ANSWER
from tests.integrations.serving.hosting import called
from tests.policies.timing import LOOPS, in_virtual_time
from tests.toolsets.http_tools.scripted_server import ADD, ScriptedServer, failed, listing, ok

T = TypeVar("T")
SUM = {"a": 1, "b": 2}
LOOK: dict[str, Any] = {"name": "math.look/up", "annotations": {"readOnlyHint": True}}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[T]]], T]:
    def run(function: Callable[[], Awaitable[T]]) -> T:
        return in_virtual_time(request.param, function)

    return run


Run = Callable[[Callable[[], Awaitable[T]]], T]


async def call(tools: HTTPTools, tool: str = "add", arguments: Mapping[str, Any] | None = None, **about: Any) -> str:
    output = await tools.call(tool, SUM if arguments is None else arguments, called(tool, **about))
    return text_of(output.content)


def named(user: str | None) -> Mapping[str, str]:
    return {"x-user": str(user)}


def never() -> Callable[[], Awaitable[httpx2.Response]]:
    async def wait() -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    return wait


def test_a_call_bears_what_the_contract_asks_for(run: Run[None]) -> None:
    server = ScriptedServer()

    async def main() -> None:
        async with server.tools(headers={"x-tenant": "t1"}) as tools:
            deadline = Deadline.after(20, now=anyio.current_time())
            assert await call(tools, key="key-1", deadline=deadline) == "3"
            assert await call(tools, key="key-2") == "3"

    run(main)
    first, second = server.made("/base/mcp/execute")
    assert json.loads(first.content) == {"tool": "add", "arguments": SUM, "call_id": "call-1", "timeout": 20.0}
    assert first.url.query == b"version=1"
    assert (first.headers["idempotency-key"], first.headers["x-tenant"]) == ("key-1", "t1")
    assert "timeout" not in json.loads(second.content)


def test_names_that_no_model_api_admits_find_their_tools_again(run: Run[None]) -> None:
    server = ScriptedServer(listings=[listing(LOOK)])

    async def main() -> None:
        async with server.tools(trust_annotations=True, prefix="books") as tools:
            (spec,) = await tools.tools()
            assert (spec.name, spec.effect) == ("books_math_look_up", "read")
            await call(tools, spec.name, {})

    run(main)
    assert json.loads(server.made("execute")[0].content)["tool"] == "math.look/up"


def test_the_list_is_asked_again_when_it_is_old_and_stays_the_same_while_the_server_says_so(run: Run[None]) -> None:
    marked = {"etag": '"1"', "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT"}
    server = ScriptedServer(listings=[listing(ADD, headers=marked), httpx2.Response(304), listing(ADD), listing(LOOK)])

    async def main() -> None:
        async with server.tools(ttl=10) as tools:
            first = await tools.tools()
            await anyio.sleep(9)
            assert await tools.tools() is first
            assert len(server.requests) == 1
            await anyio.sleep(2)
            assert await tools.tools() is first  # not changed
            await anyio.sleep(11)
            assert await tools.tools() is first  # sent again, and equal
            await anyio.sleep(11)
            assert [spec.name for spec in await tools.tools()] == ["math_look_up"]

    run(main)
    asked = [request.headers.get("if-none-match") for request in server.requests]
    assert asked == [None, '"1"', '"1"', None]
    assert server.requests[1].headers["if-modified-since"] == marked["last-modified"]


def test_callers_who_come_together_ask_for_the_list_once(run: Run[None]) -> None:
    server = ScriptedServer()

    async def main() -> None:
        async with server.tools(ttl=10) as tools:
            await anyio.sleep(11)
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(tools.tools)

    run(main)
    assert len(server.requests) == 2


def test_a_list_that_cannot_be_read_again_goes_on_to_count(run: Run[None]) -> None:
    server = ScriptedServer(listings=[listing(ADD), httpx2.Response(500), listing(LOOK)])

    async def main() -> None:
        async with server.tools(ttl=10) as tools:
            first = await tools.tools()
            await anyio.sleep(11)
            assert await tools.tools() is first
            await anyio.sleep(11)
            assert await tools.tools() is not first

    run(main)


def test_tools_of_a_server_that_can_be_missed_vanish_while_it_is_down(run: Run[None]) -> None:
    server = ScriptedServer(listings=[listing(ADD), httpx2.Response(500), listing(ADD)])

    async def main() -> None:
        async with server.tools(ttl=10, required=False) as tools:
            assert len(await tools.tools()) == 1
            await anyio.sleep(11)
            offering = await tools.tools_for(None)
            assert (offering.tools, "500" in offering.unavailable) == ((), True)
            assert not tools.health().available
            await anyio.sleep(5)
            await tools.tools_for(None)
            await anyio.sleep(5)
            assert (await tools.tools_for(None)).unavailable == ""
            assert tools.health().available

    run(main)


def test_a_server_that_can_be_missed_is_not_waited_for_while_it_is_known_to_be_down(run: Run[None]) -> None:
    server = ScriptedServer(listings=[httpx2.ConnectError("refused"), never()])

    async def main() -> None:
        async with server.tools(required=False) as tools:
            assert tools.health().retry_in is not None
            await anyio.sleep(1)
            began = anyio.current_time()
            assert (await tools.tools_for(None)).tools == ()
            assert anyio.current_time() == began
            with pytest.raises(ToolError):
                await call(tools)

    run(main)


@pytest.mark.parametrize(
    "answer",
    [httpx2.ConnectError("refused"), httpx2.ReadError("broke"), httpx2.Response(401), httpx2.Response(200, text="<h1>"),
     httpx2.Response(200, json={"tools": 7}), httpx2.Response(304), never()],
)  # fmt: skip
def test_a_server_that_gives_no_list_is_an_error_on_entering(run: Run[None], answer: Any) -> None:
    async def main() -> None:
        with pytest.raises(ToolsetError):
            async with ScriptedServer(listings=[answer]).tools():
                pass

    run(main)


def test_a_bad_tool_is_left_out_and_health_tells(run: Run[None]) -> None:
    server = ScriptedServer(listings=[listing(ADD, {"name": "bad", "parameters": 7})])

    async def main() -> None:
        async with server.tools() as tools:
            assert [spec.name for spec in await tools.tools()] == ["add"]
            assert len(tools.health().notes) == 1

    run(main)


def test_a_name_that_is_to_be_approved_has_to_be_one_of_a_tool(run: Run[None]) -> None:
    async def main() -> None:
        with pytest.raises(ToolsetError):
            async with ScriptedServer().tools(needs_approval={"ad"}):
                pass
        async with ScriptedServer().tools(needs_approval={"ad"}, headers=named) as tools:
            assert len(await tools.tools()) == 1  # users may have different ones

    run(main)


def test_what_cannot_be_called_is_not_sent(run: Run[None]) -> None:
    server = ScriptedServer()

    async def main() -> None:
        async with server.tools() as tools:
            with pytest.raises(InvalidArguments):
                await call(tools, arguments={"a": "one"})
            with pytest.raises(ToolError):
                await call(tools, "subtract")

    run(main)
    assert server.made("execute") == []


def test_no_connection_is_tried_once_more_and_then_nothing_was_called(run: Run[None]) -> None:
    server = ScriptedServer(answers=[httpx2.ConnectError("refused"), ok("3"), httpx2.ConnectError("refused")])

    async def main() -> None:
        async with server.tools() as tools:
            assert await call(tools) == "3"
            with pytest.raises(ToolError) as failure:
                await call(tools)
            assert type(failure.value) is ToolError
            listed = len(server.made("discover"))
            await tools.tools()
            assert len(server.made("discover")) == listed + 1  # it may have gone for good

    run(main)
    assert len(server.made("execute")) == 4


def test_what_broke_after_sending_is_unknown_unless_it_may_be_repeated(run: Run[None]) -> None:
    broken = httpx2.RemoteProtocolError("broke")
    server = ScriptedServer(answers=[broken])

    async def main() -> None:
        async with server.tools() as tools:
            with pytest.raises(OutcomeUnknown):
                await call(tools)
        assert len(server.made("execute")) == 1
        async with server.tools(effects={"add": "read"}) as tools:
            with pytest.raises(ToolError) as failure:
                await call(tools)
            assert type(failure.value) is ToolError
            assert len(server.made("execute")) == 3
            server.answers = [broken, ok("3")]
            assert await call(tools) == "3"

    run(main)


def test_a_wait_that_the_server_asks_for_is_kept_within_the_deadline(run: Run[None]) -> None:
    busy = failed(503, "unavailable", retry_after="5")
    server = ScriptedServer(answers=[busy, ok("3"), busy])

    async def main() -> None:
        async with server.tools() as tools:
            began = anyio.current_time()
            assert await call(tools) == "3"
            assert anyio.current_time() - began == pytest.approx(5.0)
            began = anyio.current_time()
            with pytest.raises(ToolError):
                await call(tools, deadline=Deadline.after(4, now=began))
            assert anyio.current_time() == began

    run(main)


def test_a_tool_that_the_server_does_not_know_is_sought_once(run: Run[None]) -> None:
    gone = failed(404, "unknown_tool")
    server = ScriptedServer(answers=[gone, ok("3"), gone, gone, gone])

    async def main() -> None:
        async with server.tools() as tools:
            assert await call(tools) == "3"
            assert len(server.made("discover")) == 2
            with pytest.raises(ToolError):
                await call(tools)
            assert len(server.made("execute")) == 4
            server.listings = [listing(LOOK)]
            with pytest.raises(ToolError):
                await call(tools)
            assert len(server.made("execute")) == 5
            assert [spec.name for spec in await tools.tools()] == ["math_look_up"]

    run(main)


def test_a_list_that_cannot_be_sought_in_is_the_end_of_the_call(run: Run[None]) -> None:
    server = ScriptedServer(listings=[listing(ADD), httpx2.Response(500)], answers=[httpx2.Response(404)])

    async def main() -> None:
        async with server.tools() as tools:
            with pytest.raises(ToolError) as failure:
                await call(tools)
            assert type(failure.value) is ToolError

    run(main)


def test_callers_who_seek_together_ask_the_server_once(run: Run[None]) -> None:
    server = ScriptedServer(answers=[httpx2.Response(404)])

    async def main() -> None:
        async with server.tools() as tools:
            server.listings = [listing(LOOK)]
            failures: list[ToolError] = []

            async def one() -> None:
                with pytest.raises(ToolError) as failure:
                    await call(tools)
                failures.append(failure.value)

            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(one)
            assert len(failures) == 3

    run(main)
    assert len(server.made("discover")) == 2


def test_no_answer_in_time_is_unknown_or_for_a_tool_that_may_be_repeated_a_failure(run: Run[None]) -> None:
    server = ScriptedServer(answers=[never()])

    async def main() -> None:
        async with server.tools(call_timeout=7, effects={"add": "idempotent"}) as tools:
            began = anyio.current_time()
            with pytest.raises(ToolError) as failure:
                await call(tools)
            assert type(failure.value) is ToolError
            assert anyio.current_time() - began == pytest.approx(7.0)
        async with server.tools() as tools:
            with pytest.raises(OutcomeUnknown):
                await call(tools, deadline=Deadline.after(3, now=anyio.current_time()))

    run(main)


def test_each_user_has_credentials_and_a_list_of_their_own(run: Run[None]) -> None:
    server = ScriptedServer()

    def of_user(user: str | None) -> httpx2.Auth | None:
        return None if user is None else httpx2.BasicAuth(user, "secret")

    async def main() -> None:
        async with server.tools(auth=of_user, headers=named) as tools:
            assert tools.deferred
            assert server.requests == []
            await call(tools, user="ann")
            await call(tools, user="bob")
            await tools.tools_for(None)

    run(main)
    assert [request.headers["x-user"] for request in server.requests] == ["ann", "ann", "bob", "bob", "None"]
    auths = [request.headers.get("authorization") for request in server.requests]
    assert len(set(auths[:4])) == 2
    assert auths[4] is None


def test_lists_of_users_who_have_not_come_for_long_are_let_go(run: Run[None]) -> None:
    server = ScriptedServer()

    async def main() -> None:
        async with server.tools(headers=named) as tools:
            for number in range(101):
                await tools.tools_for(f"user {number}")
            await tools.tools_for("user 100")
            assert len(server.requests) == 101
            await tools.tools_for("user 0")
            assert len(server.requests) == 102

    run(main)


def test_one_credential_serves_all(run: Run[None]) -> None:
    server = ScriptedServer()

    async def main() -> None:
        async with server.tools(auth=httpx2.BasicAuth("ann", "secret")) as tools:
            assert not tools.deferred
            await call(tools)

    run(main)
    assert all(request.headers["authorization"].startswith("Basic ") for request in server.requests)


def test_a_redirect_is_not_followed(run: Run[None]) -> None:
    elsewhere = httpx2.Response(307, headers={"location": "http://169.254.169.254/"})
    server = ScriptedServer(answers=[elsewhere])

    async def main() -> None:
        async with server.tools(headers={"authorization": "Bearer secret"}) as tools:
            with pytest.raises(ToolError) as failure:
                await call(tools)
            assert "secret" not in str(failure.value)

    run(main)
    assert {request.url.host for request in server.requests} == {"tools.test"}


def test_an_answer_without_end_is_not_read(run: Run[None]) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        for _ in range(MAX_ANSWER // 2**20 + 1):
            yield b" " * 2**20

    async def answer() -> httpx2.Response:
        return httpx2.Response(200, content=endless(), headers={"content-type": "text/plain"})

    async def main() -> None:
        async with ScriptedServer(answers=[answer]).tools() as tools:
            with pytest.raises(OutcomeUnknown):
                await call(tools)

    run(main)


@pytest.mark.parametrize(
    ("answer", "available"),
    [
        (httpx2.Response(200), True),
        (httpx2.Response(200, json={"ok": True, "status": "ok"}), True),
        (httpx2.Response(200, json={"status": "fine"}), True),
        (httpx2.Response(200, json=[1]), True),
        (httpx2.Response(200, json={"ok": False, "status": "degraded"}), False),
        (httpx2.Response(200, json={"ok": False}), False),
        (httpx2.Response(503, json={"ok": True}), False),
        (httpx2.ConnectError("refused"), False),
        (httpx2.ReadError("broke"), False),
        (never(), False),
    ],
)
def test_a_server_is_asked_for_its_health(run: Run[None], answer: Any, *, available: bool) -> None:
    async def main() -> None:
        async with ScriptedServer(healths=[answer]).tools() as tools:
            health = await tools.check()
            assert (health.available, bool(health.reason)) == (available, not available)

    run(main)


def test_it_is_entered_before_it_is_used_and_once(run: Run[None]) -> None:
    tools = ScriptedServer().tools(name="sums")

    async def main() -> None:
        assert repr(tools) == "HTTPTools('sums')"
        with pytest.raises(ToolsetError):
            await tools.tools()
        with pytest.raises(ToolError):
            await call(tools)
        assert not (await tools.check()).available
        assert tools.health().available
        async with tools:
            with pytest.raises(ToolsetError):
                await tools.__aenter__()
            assert await call(tools) == "3"
        await tools.__aexit__(None, None, None)
        async with tools:  # and again
            assert await call(tools) == "3"

    run(main)


@pytest.mark.parametrize("url", ["tools.test", "ftp://tools.test", "http://", "http://a:port", "rm -rf /"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        HTTPTools(url)


def test_what_no_header_may_hold_is_refused_and_not_shown(run: Run[None]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        HTTPTools("http://tools.test", headers={"authorization": "Bearer sécret"})
    assert "cret" not in str(refusal.value)

    def strange(user: str | None) -> Mapping[str, str]:
        return {"x-user": f"é{user}"}

    async def main() -> None:
        async with ScriptedServer().tools(headers=strange) as tools:
            with pytest.raises(AssistantKitError):
                await tools.tools()

    run(main)


def test_a_single_name_is_not_taken_for_a_set_of_names() -> None:
    with pytest.raises(ConfigurationError):
        HTTPTools("http://tools.test", needs_approval="add")


@pytest.mark.parametrize(
    ("url", "name"), [("http://a:b@tools.test:81/x?token=c", "tools.test:81"), ("https://tools.test", "tools.test")]
)
def test_a_name_shows_nothing_of_an_address_but_the_host(url: str, name: str) -> None:
    assert HTTPTools(url).name == name
