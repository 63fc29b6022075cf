import json

import anyio
import pytest
from mcp.server import Server
from mcp.types import ListResourcesResult, Resource

from assistant_kit.errors import InvalidArguments, ToolError
from assistant_kit.messages import Image, Json, Text, text_of
from assistant_kit.toolsets.mcp.resource_tools import ResourceTools
from assistant_kit.toolsets.mcp.server import MCPServer
from tests.toolsets.mcp.servers.asking_server import AskingServer
from tests.toolsets.mcp.servers.control import context

pytestmark = pytest.mark.anyio


async def test_a_model_lists_and_reads_resources_by_tools() -> None:
    with anyio.fail_after(20):
        async with MCPServer(AskingServer().server) as server, ResourceTools(server, prefix="notes_") as tools:
            assert [tool.name for tool in await tools.tools()] == ["notes_list_resources", "notes_read_resource"]
            assert {(tool.effect, tool.untrusted) for tool in await tools.tools()} == {("read", True)}
            listed = await tools.call("notes_list_resources", {}, context())
            lines = [json.loads(line) for line in text_of(listed.content).splitlines()]
            assert [line.get("uri") or line["uri_template"] for line in lines] == [
                "note://1",
                "note://2",
                "note://{id}",
            ]
            output = await tools.call("notes_read_resource", {"uri": "note://1"}, context())
    assert output.content == (Text(text="note://1\nhi"), Image(data=b"hi", media_type="image/png"))
    assert (listed.untrusted, output.untrusted) == (True, True)
    assert tools.name == "resources of asking"


async def test_many_resources_come_in_pages() -> None:
    async def list_resources(*_: object) -> ListResourcesResult:
        return ListResourcesResult(resources=[Resource(uri=f"note://{n}", name=str(n)) for n in range(150)])

    async with MCPServer(Server("many", on_list_resources=list_resources)) as server:
        tools = ResourceTools(server)
        first = text_of((await tools.call("list_resources", {}, context())).content).splitlines()
        second = text_of((await tools.call("list_resources", {"page": 2}, context())).content).splitlines()
        third = text_of((await tools.call("list_resources", {"page": 3}, context())).content).splitlines()
    assert (len(first), len(second)) == (101, 50)
    assert third == ["There is nothing."]


@pytest.mark.parametrize(
    ("tool", "arguments"), [("list_resources", {"page": "2"}), ("list_resources", {"page": -1}), ("read_resource", {})]
)
async def test_arguments_that_do_not_fit_are_refused(tool: str, arguments: dict[str, Json]) -> None:
    async with MCPServer(AskingServer().server) as server:
        with pytest.raises(InvalidArguments):
            await ResourceTools(server).call(tool, arguments, context())


async def test_what_cannot_be_read_is_told_to_the_model() -> None:
    async with MCPServer(AskingServer().server) as server:
        with pytest.raises(ToolError):
            await ResourceTools(server).call("read_resource", {"uri": "note://9"}, context())
