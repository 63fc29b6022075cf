"""The plain HTTP contract as a server speaks it, seen by its requests and answers."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from assistant_kit.errors import (
    AssistantKitError,
    ConfigurationError,
    InvalidArguments,
    OutcomeUnknown,
    Overloaded,
    ToolsetError,
)
from assistant_kit.integrations.serving import ServingSettings, ToolServer, tool_server
from assistant_kit.messages import Text
from assistant_kit.protocols.toolset import Offering, ToolContext, ToolOutput, ToolsetHealth
from assistant_kit.shared_states.memory import MemoryState
from assistant_kit.tool_spec import Keyed, ToolSpec
from assistant_kit.toolsets.functions import FunctionTools, tool
from tests.integrations.serving.hosting import TOOLS, add, hosted, pay
from tests.integrations.serving.test_repeats import Dying
from tests.toolsets.mcp.servers.control import until_says

pytestmark = pytest.mark.anyio

HOST = "http://localhost"


def client(server: Any, **headers: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(server), base_url=HOST, headers=headers)


async def execute(http: httpx2.AsyncClient, name: str, *, key: str = "", **body: Any) -> httpx2.Response:
    headers = {"idempotency-key": key} if key else {}
    return await http.post("/mcp/execute", json={"tool": name, **body}, headers=headers)


async def who(connection: HTTPConnection) -> str | None:
    """Know users by their bearer tokens."""
    return {"Bearer a": "ann", "Bearer b": "bob"}.get(connection.headers.get("authorization", ""))


async def test_tools_are_described_in_the_words_of_the_contract() -> None:
    server = tool_server([add, pay], name="sums", settings=ServingSettings(version="7"))
    async with server, client(server) as http:
        document = (await http.get("/mcp/discover")).json()
    assert document["server"] == {"name": "sums", "version": "7"}
    (described,) = document["tools"]  # paying needs an approval
    assert (described["name"], described["description"]) == ("add", "Add two numbers.")
    assert described["input_schema"]["required"] == ["a", "b"]
    assert described["annotations"] == {"readOnlyHint": True, "idempotentHint": True}


async def test_a_list_that_the_caller_has_already_is_not_sent_again() -> None:
    server = tool_server([add], name="sums")
    async with server, client(server) as http:
        first = await http.get("/mcp/discover")
        known = {"if-none-match": f'"other", {first.headers["etag"]}'}
        assert (await http.get("/mcp/discover", headers=known)).status_code == 304
        assert (await http.get("/mcp/discover", headers={"if-none-match": '"other"'})).status_code == 200


async def test_the_application_chooses_what_is_offered() -> None:
    @tool(effect="transactional")
    def book(context: ToolContext) -> str:
        return str(context.connection)

    server = tool_server([add, pay, book], name="all", settings=ServingSettings(offer=lambda _: True))
    async with server, client(server) as http:
        names = [described["name"] for described in (await http.get("/mcp/discover")).json()["tools"]]
        assert names == ["add", "pay"]  # what writes in the transaction of a journal finds none here
        assert (await execute(http, "pay", arguments={"amount": 3})).json()["content"] == [
            {"type": "text", "text": "paid 3"}
        ]


async def test_an_answer_has_content_or_an_error_with_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    server = tool_server(TOOLS, name="demo")
    async with server, client(server) as http:
        good = await execute(http, "add", arguments={"a": 1, "b": 2}, later_field=1)
        assert (good.status_code, good.json()) == (200, {"ok": True, "content": [{"type": "text", "text": "3"}]})
        kinds = {
            "refuse": (200, "tool_error"),
            "explode": (500, "internal_error"),
            "nothing": (404, "unknown_tool"),
            "add": (422, "invalid_arguments"),
        }
        for name, (status, kind) in kinds.items():
            bad = await execute(http, name)
            assert (bad.status_code, bad.json()["error"]["type"]) == (status, kind)
            assert not bad.json()["error"]["retryable"]
            assert "hunter2" not in bad.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"[" * 100_000, b'{"tool": 7}', b'{"tool": "add", "arguments": []}',
     b'{"tool": "add", "timeout": "1"}',
     b'{"arguments": {}}', b'{"tool": "add", "arguments": {"a": NaN}}'],
)  # fmt: skip
async def test_a_body_that_is_no_call_is_refused(body: bytes) -> None:
    server = tool_server([add], name="sums")
    async with server, client(server) as http:
        refusal = await http.post("/mcp/execute", content=body, headers={"content-type": "application/json"})
    assert (refusal.status_code, refusal.json()["error"]["type"]) == (400, "invalid_arguments")


async def test_a_call_under_the_same_key_is_made_once_for_each_user() -> None:
    server = tool_server(TOOLS, name="demo", authenticate=who)
    async with server, client(server, authorization="Bearer a") as ann, client(server, authorization="Bearer b") as bob:
        first = await execute(ann, "about", key="k", call_id="1")
        assert (await execute(ann, "about", key="k", call_id="2")).json() == first.json()
        other = await execute(bob, "about", key="k", call_id="1")
        assert (await execute(ann, "tally", key="k")).status_code == 409
    told = [json.loads(answer.json()["content"][0]["text"]) for answer in (first, other)]
    assert [each["user"] for each in told] == ["ann", "bob"]
    assert told[0]["key"] != told[1]["key"]  # at the service behind the tool they do not meet either


async def test_a_tool_that_is_slow_is_given_up_in_time() -> None:
    @tool(effect="read", timeout=0.05)
    async def look() -> None:
        await anyio.sleep_forever()

    @tool(effect="once")
    async def act() -> None:
        await anyio.sleep_forever()

    server = tool_server([look, act], name="slow", settings=ServingSettings(call_timeout=0.05))
    async with server, client(server) as http:
        for name, kind, retryable, wish in (
            ("look", "timeout", True, None),
            ("look", "timeout", True, 0),
            ("act", "outcome_unknown", False, 9),
        ):
            answer = await execute(http, name, timeout=wish)
            assert answer.status_code == 504
            assert (answer.json()["error"]["type"], answer.json()["error"]["retryable"]) == (kind, retryable)


class Moody(FunctionTools):
    """A toolset that cannot always do what it does: `mood` says what is the matter."""

    def __init__(self) -> None:
        super().__init__([add])
        self.mood = ""

    @property
    def deferred(self) -> bool:
        return True

    async def tools_for(self, user: str | None) -> Offering:
        if self.mood == "gone":
            raise ToolsetError(self.name, f"no connection for {user}, password=hunter2")
        return Offering(tools=await self.tools())

    async def call(self, name: str, arguments: Any, context: ToolContext) -> ToolOutput:
        if self.mood == "busy":
            raise Overloaded(name, limit=1, waiting=1, retry_after=2.4)
        return await super().call(name, arguments, context)

    def health(self) -> ToolsetHealth:
        return ToolsetHealth(toolset="moody", available=not self.mood, reason=self.mood)


async def test_what_a_tool_says_of_its_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    failures: dict[str, AssistantKitError] = {
        "outcome_unknown": OutcomeUnknown("gone"),
        "invalid_arguments": InvalidArguments("no"),
        "internal_error": ConfigurationError("password=hunter2"),
    }

    @tool(effect="read")
    async def fail(how: str) -> str:
        raise failures[how]

    server = tool_server([fail], name="failing")
    async with server, client(server) as http:
        for how in failures:
            answer = await execute(http, "fail", arguments={"how": how})
            assert answer.json()["error"]["type"] == how
            assert "hunter2" not in answer.text


async def test_without_a_place_for_records_nothing_is_called(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    server = tool_server(TOOLS, name="demo", settings=ServingSettings(repeats=Dying(MemoryState(), lives=0)))
    async with server, client(server) as http:
        answer = await execute(http, "tally", key="k")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "unavailable")


async def test_progress_is_told_to_nobody_who_cannot_hear_it() -> None:
    server = tool_server(TOOLS, name="demo")
    async with server, client(server) as http:
        assert (await execute(http, "steps")).status_code == 200


async def test_users_whose_tools_differ_are_not_mixed_up() -> None:
    class Differing(FunctionTools):
        deferred = False

        async def tools_for(self, user: str | None) -> Offering:
            return Offering(tools=[ToolSpec(name=f"of_{user}", description="", parameters={"type": "object"})])

        async def call(self, name: str, arguments: Any, context: ToolContext) -> ToolOutput:
            del arguments, context
            return ToolOutput(content=(Text(text=name),))

    async def named(connection: HTTPConnection) -> str | None:
        return connection.headers.get("authorization")

    server = tool_server([Differing([])], name="differing", authenticate=named)
    async with server:
        for number in range(70):
            async with client(server, authorization=str(number)) as http:
                assert (await execute(http, f"of_{number}")).status_code == 200
        async with client(server, authorization="0") as http:
            assert (await execute(http, "of_0")).status_code == 200
            assert (await execute(http, "of_1")).status_code == 404


async def test_what_is_unavailable_may_be_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    moody = Moody()
    server = tool_server([moody], name="moody")
    async with server, client(server) as http:
        moody.mood = "busy"
        busy = await execute(http, "add", arguments={"a": 1, "b": 2})
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "2")
        moody.mood = "gone"
        for gone in (await execute(http, "add"), await http.get("/mcp/discover")):
            assert (gone.status_code, gone.json()["error"]["retryable"]) == (503, True)
            assert "hunter2" not in gone.text


async def test_health_tells_of_what_the_tools_depend_on() -> None:
    moody = Moody()
    server = tool_server([moody, add], name="moody")
    async with server, client(server) as http:
        assert (await http.get("/health")).json()["status"] == "ok"
        moody.mood = "busy"
        health = (await http.get("/health")).json()
    assert (health["ok"], health["status"]) == (False, "degraded")
    assert health["dependencies"] == {"moody": {"ok": False, "reason": "busy"}}


async def test_who_is_not_known_is_let_in_nowhere_but_at_the_door_of_health() -> None:
    server = tool_server(
        [Moody()], name="moody", authenticate=who, settings=ServingSettings(challenge='Bearer realm="x"')
    )
    async with server, client(server) as http:
        for refusal in (await http.get("/mcp/discover"), await execute(http, "add"), await http.post("/mcp", json={})):
            assert (refusal.status_code, refusal.headers["www-authenticate"]) == (401, 'Bearer realm="x"')
        assert "dependencies" not in (await http.get("/health")).json()
        known = (await http.get("/health", headers={"authorization": "Bearer a"})).json()
        assert list(known["dependencies"]) == ["moody"]


async def test_when_nobody_can_tell_who_asks_nobody_is_let_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    async def broken(_: HTTPConnection) -> str | None:
        raise RuntimeError("password=hunter2")

    server = tool_server([add], name="sums", authenticate=broken)
    async with server, client(server) as http:
        refusal = await execute(http, "add", arguments={"a": 1, "b": 2})
    assert refusal.status_code == 500
    assert "hunter2" not in refusal.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"content-type": "text/plain"}, 400),
        ({}, 200),
    ],
)
async def test_a_page_of_somebody_else_cannot_ask(headers: dict[str, str], status: int) -> None:
    server = tool_server([add], name="sums")
    body = json.dumps({"tool": "add", "arguments": {"a": 1, "b": 2}})
    async with server, client(server) as http:
        answer = await http.post("/mcp/execute", content=body, headers={"content-type": "application/json", **headers})
    assert answer.status_code == status


async def test_a_server_is_reached_under_the_names_that_were_declared() -> None:
    server = tool_server([add], name="sums", settings=ServingSettings(hosts=["tools.example"]))
    async with server, client(server) as http:
        assert (await http.get("https://tools.example/mcp/discover")).status_code == 200
        assert (await http.get("/mcp/discover")).status_code == 421


async def test_a_request_that_is_too_large_is_refused() -> None:
    server = tool_server(TOOLS, name="demo", settings=ServingSettings(max_request=1000))
    async with server, client(server) as http:
        assert (await execute(http, "weather", arguments={"city": "x" * 1000})).status_code == 413


async def test_it_can_be_a_part_of_another_application() -> None:
    server = tool_server([Moody()], name="moody", authenticate=who)
    outer = Starlette(routes=[Mount("/tools", server)])
    async with server, client(outer) as http:
        assert (await http.get("/tools/health")).status_code == 200
        assert (await http.get("/tools/mcp/discover")).status_code == 401


async def test_it_is_opened_once_at_a_time_and_again_when_it_was_closed() -> None:
    server = tool_server([add], name="sums")
    async with client(server) as http:
        assert (await http.post("/mcp", json={})).status_code == 503
        for _ in range(2):
            async with server:
                with pytest.raises(ConfigurationError):
                    await server.__aenter__()
                assert (await execute(http, "add", arguments={"a": 1, "b": 2})).status_code == 200


async def test_a_toolset_that_fails_to_open_leaves_nothing_open() -> None:
    class Counted(FunctionTools):
        opened = 0

        async def __aenter__(self) -> Self:
            Counted.opened += 1
            return self

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            Counted.opened -= 1

    class Failing(Counted):
        async def tools(self) -> Sequence[ToolSpec]:
            raise ToolsetError("failing", "no")

    server = ToolServer([Counted([add]), Failing([])], name="failing")
    with pytest.raises(ToolsetError):
        await server.__aenter__()
    assert Counted.opened == 0


async def test_a_caller_who_leaves_cancels_the_call(tmp_path: Path) -> None:
    server = tool_server(TOOLS, name="demo")
    mark = tmp_path / "mark"
    with hosted(server) as url:
        async with httpx2.AsyncClient(base_url=url) as http:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call_wait, http, mark)
                await until_says(mark, "started")
                tasks.cancel_scope.cancel()
            await until_says(mark, "cancelled")


async def call_wait(http: httpx2.AsyncClient, mark: Path) -> None:
    await execute(http, "wait", arguments={"mark": str(mark)})


async def test_a_caller_who_leaves_before_all_is_said_is_no_error() -> None:
    server = tool_server(TOOLS, name="demo")
    sent: list[Any] = []

    async def left() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/mcp/execute", "headers": headers, "query_string": b""}
    async with server:
        await server(scope, left, send)
    assert sent[0]["status"] == 400


async def test_tools_of_others_are_checked_by_their_schema_before_they_are_called() -> None:
    called: list[Any] = []

    class Foreign(FunctionTools):
        async def tools(self) -> Sequence[ToolSpec]:
            schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
            return [ToolSpec(name="one", description="", parameters=schema, effect=Keyed(60))]

        async def call(self, name: str, arguments: Any, context: ToolContext) -> ToolOutput:
            called.append((name, arguments, context.conversation))
            return ToolOutput(content=(Text(text="done"),))

    server = tool_server([Foreign([])], name="foreign")
    async with server, client(server) as http:
        assert (await execute(http, "one", arguments={"a": "x"})).status_code == 422
        assert (await execute(http, "one", arguments={"a": 1})).status_code == 200
    assert called == [("one", {"a": 1}, None)]
