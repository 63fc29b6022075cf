"""Tool servers: found by configuration, used for each user, missing while they are down."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import anyio.lowlevel
import pytest
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from assistant_kit import UserData
from examples.flask_demo.certificates import make
from examples.flask_demo.orchestrator.elsewhere import KeptElsewhere
from examples.flask_demo.orchestrator.settings import ToolPlace
from examples.flask_demo.orchestrator.tool_servers import ToolTokens
from examples.flask_demo.request_ids import HEADER
from examples.flask_demo.service_tokens import KeyRing, Verifier
from examples.flask_demo.serving import listening, serving
from examples.flask_demo.tls import client_context
from examples.flask_demo.tool_servers.server import make_server, make_service
from examples.flask_demo.tool_servers.settings import Settings
from tests.examples.web.orchestrator.world import (
    ISSUER,
    Person,
    World,
    front_end,
    orchestrator,
    settings_in,
    text_of,
)
from tests.examples.web.tls.service import free_address, tools_of

pytestmark = pytest.mark.anyio


class Door:
    """Stands before a tool server: it notes by which id and trace it is asked, and may be shut."""

    def __init__(self, app: ASGIApp) -> None:
        self.open: bool = True
        self.asked: list[tuple[str, str]] = []
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self.asked.append((headers.get(HEADER, ""), headers.get("traceparent", "")))
            if not self.open:
                await send({"type": "http.response.start", "status": 503, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)


Protocol: TypeAlias = Literal["plain", "mcp"]


def place(base: str, protocol: Protocol) -> ToolPlace:
    """Where a server of ours is, by its address."""
    return ToolPlace(url=base if protocol == "plain" else f"{base}/mcp", protocol=protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tooled:
    """An orchestrator, and the door of its server of notes."""

    world: World
    notes: Door
    tokens: ToolTokens


@asynccontextmanager
async def to_the_orchestrator_alone(app: ASGIApp, certificates: Path) -> AsyncGenerator[str]:
    """Serve an application by TLS to whoever has the orchestrator's certificate; its address."""
    where = free_address()
    listener = listening(app, where, tls=tools_of(certificates), grace=1)
    async with anyio.create_task_group() as group:
        group.start_soon(serving, listener)
        with anyio.fail_after(20):
            await listener.ready.wait()
        yield f"https://{where}"
        listener.should_exit = True


@pytest.fixture(scope="module", params=["plain", "mcp"])
async def tooled(
    request: pytest.FixtureRequest, anyio_backend: str, tmp_path_factory: pytest.TempPathFactory, valkey_url: str
) -> AsyncIterator[Tooled]:
    """An orchestrator with the server of notes, and one that is down; both are asked by the same protocol."""
    del anyio_backend
    protocol: Protocol = request.param
    folder = tmp_path_factory.mktemp("tools")
    async with AsyncExitStack() as stack:
        settings = settings_in(folder, valkey_url, await stack.enter_async_context(front_end()))
        given = Settings(
            listen="",
            admin_listen="",
            jwks_url="",
            token_issuer=ISSUER,
            database_url=settings.database_url,
            files_url=settings.files_url,
            master_keys=settings.master_keys,
            redis_url=valkey_url,
        )
        verifier = Verifier(KeyRing.from_file(settings.signing_keys), issuer=ISSUER, audience="tools")
        notes = Door(make_server(make_service("notes", given), given, verifier))
        make(folder / "certificates")
        url = await stack.enter_async_context(to_the_orchestrator_alone(notes, folder / "certificates"))
        servers = {name: place(base, protocol) for name, base in (("notes", url), ("calendar", "https://127.0.0.1:9"))}
        settings = replace(settings, tool_servers=servers, tls_dir=folder / "certificates")
        world = await stack.enter_async_context(orchestrator(settings))
        yield Tooled(world=world, notes=notes, tokens=ToolTokens(world.parts.keys, ISSUER))


@pytest.fixture
def carl(tooled: Tooled) -> Person:
    """Somebody who has just signed in."""
    return tooled.world.person()


async def call(person: Person, tool: str, key: str, **body: Any) -> tuple[int, Any]:
    """Call a tool by hand."""
    answer = await person.ask("POST", f"/tools/{tool}/execute", json=body, headers={"Idempotency-Key": key})
    return answer.status_code, answer.json()


async def test_tools_are_listed_with_how_their_servers_are(carl: Person) -> None:
    listed = await carl.get("/tools")
    assert listed["servers"] == [{"name": "calendar", "status": "down"}, {"name": "notes", "status": "ok"}]
    tools = {one["id"]: one for one in listed["tools"]}
    assert sorted(tools) == [
        "append_to_note",
        "create_note",
        "delete_note",
        "list_notes",
        "read_note",
        "search_documents",
    ]
    assert {name for name, one in tools.items() if one["approval"]} == {"delete_note"}
    assert (tools["list_notes"]["effect"], tools["list_notes"]["server"]) == ("read", "notes")
    assert (tools["create_note"]["effect"], tools["search_documents"]["server"]) == ("keyed", "orchestrator")
    assert tools["create_note"]["input_schema"]["required"] == ["title", "text"]


async def test_a_tool_is_called_by_hand_once_for_each_key(tooled: Tooled, carl: Person) -> None:
    milk = {"title": "Milk", "text": "for carl@example.org"}
    for _ in range(2):
        status, body = await call(carl, "create_note", "k1", arguments=milk)
        assert (status, body["ok"]) == (200, True)
    assert (await call(carl, "create_note", "k2", arguments=milk))[1]["ok"] is False  # another call
    assert "for carl@example.org" in (await call(carl, "read_note", "k3", arguments={"title": "milk"}))[1]["text"]
    assert (await call(tooled.world.person(), "list_notes", "k"))[1] == {"ok": True, "text": "[]"}


async def test_calls_that_cannot_be_made_by_hand(carl: Person) -> None:
    calls: tuple[tuple[str, dict[str, Any], int, str], ...] = (
        ("create_note", {"arguments": {"titel": "Milk"}}, 422, "invalid"),
        ("create_note", {"arguments": []}, 422, "invalid"),
        ("nothing", {}, 404, "not_found"),
        ("current_time", {}, 404, "not_found"),  # its server is down
        ("delete_note", {"arguments": {"title": "Milk"}}, 403, "forbidden"),
    )
    for tool, body, status, code in calls:
        found, told = await call(carl, tool, "k", **body)
        assert (found, told["error"]["code"]) == (status, code)
    said = await call(carl, "delete_note", "k", arguments={"title": "Milk"}, approved=True)
    assert said == (200, {"ok": True, "text": "there is no such note (any more)"})


async def test_a_tool_that_needs_approval_waits_for_it(carl: Person) -> None:
    conversation, title = await carl.begin(), "call bob@example.org"
    await call(carl, "create_note", "k", arguments={"title": title, "text": "soon"})
    for approve, left in ((False, 1), (True, 0)):
        events = await carl.say(conversation, f"delete the note {title}")
        assert (events[-1].name, events[-1].data["status"]) == ("complete", "waiting")
        (asked,) = [event.data for event in events if event.name == "approval_required"]
        assert asked["arguments"] == {"title": title}
        (waits,) = (await carl.get(f"/conversations/{conversation}"))["pending"]
        assert waits == {name: asked[name] for name in ("call_id", "tool", "arguments", "digest")}
        busy = await carl.ask(
            "POST", f"/conversations/{conversation}/messages", json={"text": "hello"}, headers={"Idempotency-Key": "k"}
        )
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "conflict")
        path = f"/conversations/{conversation}/approvals/{asked['call_id']}"
        wrong = await carl.ask("POST", path, json={"approve": approve, "digest": "0" * 64})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (409, "conflict")
        decision = {"approve": approve, "digest": asked["digest"]}
        answer = await carl.ask("POST", path, json=decision)
        assert (answer.status_code, answer.json()) == (202, {})
        rest: list[tuple[str, Any]] = []
        with anyio.fail_after(20):
            async with carl.follow(conversation, str(events[-1].id)) as following:
                async for event in following:
                    rest.append((event.name, event.data))
                    if event.name == "complete":
                        break
        assert ("approved", {"call_id": asked["call_id"], "approved": approve}) in rest
        assert (await call(carl, "list_notes", f"after-{approve}"))[1]["text"].count(title) == left
        assert (await carl.ask("POST", path, json=decision)).status_code == 409  # it is decided
    turns = (await carl.get(f"/conversations/{conversation}"))["turns"]
    assert [turn["tools"][-1]["outcome"] for turn in turns] == ["denied", "ok"]


async def test_one_id_goes_from_the_browser_to_the_tool_server(tooled: Tooled, carl: Person) -> None:
    conversation, chosen, trace = await carl.begin(), "abcdef0123456789" * 2, "1" * 32
    tooled.notes.asked.clear()
    headers = {"Idempotency-Key": "k", HEADER: chosen, "traceparent": f"00-{trace}-{'2' * 16}-01"}
    path = f"/conversations/{conversation}/messages"
    answer = await carl.ask("POST", path, json={"text": "show my notes"}, headers=headers)
    assert (answer.status_code, answer.headers[HEADER]) == (200, chosen)
    told = [one for one in tooled.notes.asked if one != ("", "")]  # what opens a connection of MCP is for all requests
    assert len(told) > 0
    assert {(asked, traced.split("-")[1]) for asked, traced in told} == {(chosen, trace)}


async def test_a_server_that_comes_back_is_used_again(tooled: Tooled, carl: Person) -> None:
    conversation, late = await carl.begin(), tooled.world.person()
    assert (await call(late, "list_notes", "k1"))[0] == 200
    tooled.notes.open = False
    status, body = await call(late, "list_notes", "k2")  # its tools are known
    assert (status, body["ok"]) == (200, False)
    events = await carl.say(conversation, "show my notes")
    missing = {event.data["toolset"] for event in events if event.name == "toolset_unavailable"}
    assert (missing, "cannot be read" in text_of(events)) == ({"calendar", "notes"}, True)
    assert {"name": "notes", "status": "down"} in (await carl.get("/tools"))["servers"]
    tooled.notes.open = True
    with anyio.fail_after(20):
        while len((await carl.get("/tools"))["tools"]) == 1:
            await anyio.lowlevel.checkpoint()  # it is tried again in the background
    assert text_of(await carl.say(conversation, "show my notes")) == "You have no notes."


async def test_what_a_server_keeps_of_a_user_is_erased_and_exported_or_the_user_is_told(
    tooled: Tooled, carl: Person
) -> None:
    await call(carl, "create_note", "k", arguments={"title": "Milk", "text": "two litres"})
    settings = tooled.world.settings
    tls = partial(client_context, settings.tls_dir or "", "orchestrator")
    keepers = KeptElsewhere({"notes": settings.tool_servers["notes"]}, tooled.tokens, tls)
    kept = [one async for one in keepers.export_user(carl.id)]
    assert {one.place for one in kept if isinstance(one, UserData)} <= {"tools/notes"}
    await keepers.erase_user(carl.id)
    answer = await carl.ask("DELETE", "/user")  # the calendar is down: it is not said that all is gone
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
