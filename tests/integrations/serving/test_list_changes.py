"""Clients of served tools hear when the tools on offer to them are others."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.server import Server
from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    INTERNAL_ERROR,
    PROTOCOL_VERSION_META_KEY,
    EmptyResult,
    ListPromptsResult,
    PaginatedRequestParams,
    SubscriptionsListenRequestParams,
)

from assistant_kit.errors import ToolsetError
from assistant_kit.integrations.serving import ServingSettings, list_changes, tool_server
from assistant_kit.integrations.serving.desk import Desk, offered
from assistant_kit.integrations.serving.mcp_face import mcp_face
from assistant_kit.integrations.serving.repeats import Recent, Repeats
from assistant_kit.protocols.toolset import Offering
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.functions import FunctionTools
from tests.integrations.serving.hosting import add, hosted, tally
from tests.integrations.serving.wire import ALL, NEWER, Wire, wired
from tests.toolsets.mcp.servers.control import until
from tests.toolsets.mcp.servers.generations import Generation, server_of

pytestmark = pytest.mark.anyio
EVERY = 0.01  # seconds


class Shelf(FunctionTools):
    """Tools of which only some are on offer, or none can be listed."""

    deferred = True  # nobody is asked before a user is known

    def __init__(self) -> None:
        super().__init__([add, tally])
        self.shown: tuple[ToolSpec, ...] | None = (add.spec,)
        self.looks = 0
        self.restless = False

    async def tools_for(self, user: str | None) -> Offering:
        assert user in ("ann", None)
        self.looks += 1
        if self.shown is None:
            raise ToolsetError("shelf", "gone")
        if self.restless:
            self.shown = (add.spec,) if len(self.shown) > 1 else (add.spec, tally.spec)
        return Offering(tools=self.shown)


@asynccontextmanager
async def face_of(toolset: FunctionTools, **options: Any) -> AsyncGenerator[Server[Any]]:
    repeats = Repeats(Recent(clock=anyio.current_time), ttl=1000)
    options = {"changes_every": EVERY, **options}
    async with Desk([toolset], repeats=repeats, call_timeout=10, offer=offered) as desk:
        yield mcp_face(desk, name="desk", version="1", instructions=None, user_of=lambda _: "ann", **options)


async def listen(wire: Wire, **wanted: bool) -> int:
    """Open a stream of news, and return its number when the server has agreed."""
    meta = {PROTOCOL_VERSION_META_KEY: NEWER, CLIENT_CAPABILITIES_META_KEY: ALL}
    number = await wire.send("subscriptions/listen", {"_meta": meta, "notifications": wanted})
    await wire.next()
    return number


@pytest.fixture(params=["older", "newer"])
def generation(request: pytest.FixtureRequest) -> Generation:
    return request.param


async def test_a_client_sees_the_tools_that_are_there_now(generation: Generation) -> None:
    shelf = Shelf()
    with anyio.fail_after(10):
        async with face_of(shelf) as face, server_of(generation, face) as server:
            assert [spec.name for spec in await server.tools()] == ["add"]
            looks = shelf.looks
            await until(lambda: shelf.looks > looks)  # the server looks for itself
            shelf.shown = (add.spec, tally.spec)
            while len(await server.tools()) < 2:  # noqa: ASYNC110  (no event comes from there)
                await anyio.sleep(EVERY)


async def test_over_http_it_is_the_same(generation: Generation) -> None:
    shelf = Shelf()
    app = tool_server([shelf], name="desk", settings=ServingSettings(changes_every=EVERY))
    with anyio.fail_after(10), hosted(app) as url:
        address: Any = f"{url}/mcp"
        async with server_of(generation, address) as server:
            assert [spec.name for spec in await server.tools()] == ["add"]
            looks = shelf.looks
            await until(lambda: shelf.looks > looks)
            shelf.shown = (add.spec, tally.spec)
            while len(await server.tools()) < 2:  # noqa: ASYNC110  (as above)
                await anyio.sleep(EVERY)


async def test_only_changes_are_told_and_a_toolset_that_is_away_is_none() -> None:
    shelf = Shelf()
    async with face_of(shelf) as face, wired(face) as wire:
        await listen(wire, toolsListChanged=True, promptsListChanged=True)
        assert wire.heard.pop()["notifications"] == {"toolsListChanged": True}
        for shown in (None, (add.spec,), (tally.spec,)):
            shelf.shown = shown
            looks = shelf.looks
            await until(lambda looks=looks: shelf.looks > looks + 2)
        assert (await wire.next())["method"] == "notifications/tools/list_changed"
        with anyio.move_on_after(10 * EVERY):
            await wire.next()
        assert len(wire.heard) == 1


async def test_who_does_not_want_to_know_is_not_told() -> None:
    shelf = Shelf()
    async with face_of(shelf) as face, wired(face) as wire:
        await listen(wire, promptsListChanged=True)
        shelf.restless = True
        with anyio.move_on_after(10 * EVERY):
            await wire.next()
        assert [each["notifications"] for each in wire.heard] == [{}]


async def test_the_stream_of_a_client_that_does_not_read_is_ended() -> None:
    shelf = Shelf()
    async with face_of(shelf) as face, wired(face) as wire:
        number = await listen(wire, toolsListChanged=True)
        shelf.restless = True
        await until(lambda: shelf.looks > 60)
        while (said := await wire.next()).get("id") != number:
            assert said["method"] == "notifications/tools/list_changed"
        assert "result" in said


async def test_there_is_an_end_to_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_changes, "_MOST", 1)
    async with face_of(Shelf()) as face, wired(face) as wire:
        await listen(wire, toolsListChanged=True)
        number = await wire.send(
            "subscriptions/listen",
            {"_meta": {PROTOCOL_VERSION_META_KEY: NEWER, CLIENT_CAPABILITIES_META_KEY: ALL}, "notifications": {}},
        )
        while (said := await wire.next()).get("id") != number:
            pass
        assert said["error"]["code"] == INTERNAL_ERROR


async def promised(face: Server[Any], generation: Generation) -> dict[str, Any]:
    async with wired(face) as wire:
        if generation == "newer":
            meta = {PROTOCOL_VERSION_META_KEY: NEWER, CLIENT_CAPABILITIES_META_KEY: ALL}
            return (await wire.request("server/discover", {"_meta": meta}))["capabilities"]
        about = {"clientInfo": {"name": "hand", "version": "1"}, "capabilities": {}}
        return (await wire.request("initialize", {"protocolVersion": "2025-11-25", **about}))["capabilities"]


async def list_prompts(_: Any, __: Any) -> ListPromptsResult:
    return ListPromptsResult(prompts=[])


async def test_what_is_told_is_promised_and_nothing_else(generation: Generation) -> None:
    async with face_of(Shelf()) as face:
        face.add_request_handler("prompts/list", PaginatedRequestParams, list_prompts)
        promises = await promised(face, generation)
        assert promises["tools"] == {"listChanged": True}
        assert promises["prompts"] == {"listChanged": False}


@pytest.mark.parametrize("options", [{"changes_every": None}, {"sessions": False}], ids=["never", "no sessions"])
async def test_who_is_not_told_is_promised_nothing(options: Any) -> None:
    async with face_of(Shelf(), **options) as face:
        assert (await promised(face, "older"))["tools"] == {"listChanged": False}
    async with face_of(FunctionTools([add])) as face:  # which never change
        assert (await promised(face, "newer"))["tools"] == {"listChanged": False}


async def test_an_application_may_serve_streams_of_its_own() -> None:
    async def other(_: Any, __: Any) -> EmptyResult:
        return EmptyResult()

    async with face_of(Shelf()) as face:
        face.add_request_handler("prompts/list", PaginatedRequestParams, list_prompts)
        face.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, other)
        assert (await promised(face, "newer"))["prompts"] == {"listChanged": True}
