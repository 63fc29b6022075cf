import pytest
from mcp import MCPError
from mcp.types import HEADER_MISMATCH, INTERNAL_ERROR, ToolAnnotations

from assistant_kit.errors import ToolError, ToolsetError
from assistant_kit.tool_spec import Effect, keyed
from assistant_kit.toolsets._definitions import Terms
from assistant_kit.toolsets.mcp.server import MCPServer
from assistant_kit.toolsets.mcp.tools import catalog
from tests.toolsets.mcp.servers.control import ask, command
from tests.toolsets.mcp.servers.listing import NO_TOOLS, listing_server, tool


def test_effects_are_declared_by_either_name_and_win_over_hints() -> None:
    reads = ToolAnnotations(read_only_hint=True)
    tools = [
        tool("a/b"),
        tool("c/d"),
        tool("hinted", annotations=reads),
        tool("declared", annotations=reads),
        tool("again", annotations=ToolAnnotations(idempotent_hint=True)),
        tool("hints nothing", annotations=ToolAnnotations()),
        tool("silent"),
    ]
    effects: dict[str, Effect] = {"a/b": "read", "c_d": "idempotent", "declared": keyed(60)}
    trusted = catalog(tools, Terms(origin="", effects=effects, trust_annotations=True))
    assert {name: offer.spec.effect for name, offer in trusted.items()} == {
        "a_b": "read",
        "c_d": "idempotent",
        "hinted": "read",
        "declared": keyed(60),
        "again": "idempotent",
        "hints_nothing": "once",
        "silent": "once",
    }
    assert catalog(tools, Terms(origin=""))["hinted"].spec.effect == "once"


def test_a_schema_stays_as_it_is_but_for_what_every_object_has() -> None:
    schema = {"type": "object", "$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}
    tools = [tool("full", input_schema=schema), tool("empty", input_schema={"type": "object"}, title="Empty")]
    found = catalog(tools, Terms(origin=""))
    assert found["full"].spec.parameters == schema
    assert found["empty"].spec.parameters == {"type": "object", "properties": {}}
    assert found["empty"].spec.description == "Empty"


def test_of_two_tools_with_one_name_the_first_counts() -> None:
    found = catalog([tool("x", description="first"), tool("x", description="second")], Terms(origin=""))
    assert [offer.spec.description for offer in found.values()] == ["first"]


@pytest.mark.anyio
async def test_all_pages_are_read_and_pages_without_end_do_not_hang() -> None:
    pages = ([tool("a")], [tool("b")], [tool("c")])
    for endless in (False, True):
        async with MCPServer(listing_server(*pages, endless=endless)) as server:
            assert [spec.name for spec in await server.tools()] == ["a", "b", "c"]


@pytest.mark.anyio
async def test_a_server_without_tools_offers_none() -> None:
    async with MCPServer(listing_server(failures=[NO_TOOLS])) as server:
        assert await server.tools() == []
    with pytest.raises(ToolsetError) as failure:
        async with MCPServer(listing_server(failures=[NO_TOOLS]), needs_approval=["x"]):
            pass
    assert failure.value.toolset == "listing"


@pytest.mark.anyio
async def test_a_list_that_cannot_be_read_fails_the_connection() -> None:
    with pytest.raises(ToolsetError) as failure:
        async with MCPServer(listing_server(failures=[MCPError(INTERNAL_ERROR, "no database")])):
            pass
    assert isinstance(failure.value.__cause__, MCPError)


@pytest.mark.anyio
async def test_tools_are_read_anew_when_a_call_shows_that_they_have_changed() -> None:
    page = [tool("a")]
    changed = MCPError(HEADER_MISMATCH, "the headers do not fit the schema")
    async with MCPServer(listing_server(page, answer=changed)) as server:
        page.append(tool("b"))
        assert [spec.name for spec in await server.tools()] == ["a"]
        with pytest.raises(ToolError):
            await ask(server, "a")
        assert [spec.name for spec in await server.tools()] == ["a", "b"]


@pytest.mark.anyio
async def test_tools_that_cannot_be_read_anew_are_an_error_each_time_until_they_can() -> None:
    failures: list[MCPError] = []
    changed = MCPError(HEADER_MISMATCH, "the headers do not fit the schema")
    async with MCPServer(listing_server([tool("a")], answer=changed, failures=failures)) as server:
        with pytest.raises(ToolError):
            await ask(server, "a")
        failures.append(MCPError(INTERNAL_ERROR, "no database"))
        for _ in range(2):
            with pytest.raises(ToolsetError):
                await server.tools()
        failures.clear()
        assert [spec.name for spec in await server.tools()] == ["a"]


@pytest.mark.anyio
async def test_tools_are_read_anew_when_the_server_says_that_they_have_changed() -> None:
    async with MCPServer(command("old_server")) as server:
        assert [spec.name for spec in await server.tools()] == ["echo"]
        await ask(server, "echo", grow="yes")
        assert [spec.name for spec in await server.tools()] == ["echo", "grown"]
