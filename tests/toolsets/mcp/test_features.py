from typing import Any

import anyio
import pytest
from mcp import MCPError
from mcp.server import Server
from mcp.types import INTERNAL_ERROR

from assistant_kit.errors import ToolsetError
from assistant_kit.messages import Image, Text
from assistant_kit.toolsets.mcp.features import (
    Prompt,
    PromptArgument,
    PromptMessage,
    Resource,
    ResourceTemplate,
)
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.toolsets.mcp.servers.asking_server import AskingServer
from tests.toolsets.mcp.servers.generations import Generation, server_of
from tests.toolsets.mcp.servers.http_pages import http_pages
from tests.toolsets.mcp.servers.listing import listing_server

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["older", "newer"])
def generation(request: pytest.FixtureRequest) -> Generation:
    return request.param


async def test_all_pages_of_resources_are_listed(generation: Generation) -> None:
    async with server_of(generation, AskingServer().server) as server:
        found = await server.features().resources()
    one = Resource(uri="note://1", name="Note", media_type="text/plain", size=2)
    assert found[0] == one
    assert [resource.uri for resource in found] == ["note://1", "note://2"]


async def test_pages_without_end_are_left(generation: Generation) -> None:
    asking = AskingServer()
    asking.endless = True
    async with server_of(generation, asking.server) as server:
        assert len(await server.features().resources()) == 2


async def test_families_of_resources_are_listed(generation: Generation) -> None:
    async with server_of(generation, AskingServer().server) as server:
        found = await server.features().templates()
    assert found == [ResourceTemplate(uri_template="note://{id}", name="notes", description="All notes")]


async def test_a_resource_is_read_as_parts_of_a_message(generation: Generation) -> None:
    async with server_of(generation, AskingServer().server) as server:
        found = await server.features().read("note://1")
    assert found == (Text(text="note://1\nhi"), Image(data=b"hi", media_type="image/png"))


async def test_a_resource_that_is_not_there_is_an_error(generation: Generation) -> None:
    async with server_of(generation, AskingServer().server) as server:
        with pytest.raises(ToolsetError):
            await server.features().read("note://9")
        assert await server.features().read("note://1")


async def test_prompts_are_listed_and_filled_in(generation: Generation) -> None:
    async with server_of(generation, AskingServer().server) as server:
        features = server.features()
        trip = Prompt(
            name="trip",
            description="A trip",
            arguments=(PromptArgument(name="city", description="Where", required=True),),
        )
        assert await features.prompts() == [trip, Prompt(name="bare")]
        said = await features.prompt("trip", {"city": "Rome"})
    assert said == (PromptMessage(role="user", content=Text(text="trip to Rome")),)


async def test_the_begin_of_an_argument_is_completed(generation: Generation) -> None:
    async with server_of(generation, AskingServer().server) as server:
        features = server.features()
        [trip, _], [notes] = await features.prompts(), await features.templates()
        assert await features.complete(trip, "city", "Ro") == ("ref/prompt Ro…",)
        found = await features.complete(notes, "id", "1", others={"a": "b"})
    assert found == ("ref/resource 1…{'a': 'b'}",)


async def test_a_server_that_has_only_tools_has_nothing_else() -> None:
    async with MCPServer(listing_server([])) as server:
        features = server.features()
        assert (await features.resources(), await features.templates(), await features.prompts()) == ([], [], [])


async def test_a_list_that_cannot_be_read_is_an_error() -> None:
    asking = AskingServer()
    asking.refused = MCPError(INTERNAL_ERROR, "broken")
    async with MCPServer(asking.server) as server:
        with pytest.raises(ToolsetError):
            await server.features().resources()


async def test_a_server_that_is_silent_is_not_waited_for_long() -> None:
    async def never(*_: Any) -> Any:
        await anyio.sleep_forever()

    silent: Server[Any] = Server("silent", on_list_prompts=never)
    async with MCPServer(silent, connect_timeout=0.2) as server:
        with pytest.raises(ToolsetError):
            await server.features().prompts()


async def test_changes_of_a_resource_are_told(generation: Generation) -> None:
    asking = AskingServer()
    with anyio.fail_after(20):
        async with (
            server_of(generation, asking.server) as server,
            server.features().watch("note://1", "note://2") as changes,
        ):
            assert [await anext(changes), await anext(changes)] == ["note://1", "note://2"]
            await asking.touch("note://2")
            assert await anext(changes) == "note://2"
            await asking.touch("note://1")
            assert await anext(changes) == "note://1"


async def test_watching_ends_with_the_connection(generation: Generation) -> None:
    with anyio.fail_after(20):
        async with (
            server_of(generation, AskingServer().server) as server,
            server.features().watch("note://1") as changes,
        ):
            assert await anext(changes) == "note://1"
            with server._use(None) as connection:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  (to end it from outside)
                (await connection.get()).close()
            assert [uri async for uri in changes] == []


async def test_a_resource_that_cannot_be_watched_is_an_error() -> None:
    async with server_of("older", AskingServer().server) as server:
        with pytest.raises(ToolsetError):
            async with server.features().watch("note://none"):
                pass
    async with MCPServer(listing_server([])) as server:
        with pytest.raises(ToolsetError):
            async with server.features().watch("note://1"):
                pass


async def test_an_error_of_the_block_leaves_as_itself(generation: Generation) -> None:
    async with server_of(generation, AskingServer().server) as server:
        with pytest.raises(TimeoutError):
            async with server.features().watch("note://1"):
                raise TimeoutError


async def test_a_session_that_is_lost_is_begun_again_once() -> None:
    with http_pages() as endpoint, anyio.fail_after(20):
        endpoint.prompts = [{"name": "trip"}]
        async with MCPServer(endpoint.url) as server:
            endpoint.session = "s2"
            assert await server.features().prompts() == [Prompt(name="trip")]
            endpoint.session, endpoint.prompts = "s3", None
            with pytest.raises(ToolsetError):
                await server.features().prompts()


async def test_an_answer_that_is_none_is_an_error() -> None:
    with http_pages() as endpoint, anyio.fail_after(20):
        endpoint.prompts = [{"title": "nameless"}]
        async with MCPServer(endpoint.url) as server:
            with pytest.raises(ToolsetError):
                await server.features().prompts()


async def test_a_server_that_was_not_entered_has_nothing() -> None:
    with pytest.raises(ToolsetError):
        await MCPServer(AskingServer().server).features().resources()
