from collections.abc import Sequence
from types import TracebackType
from typing import Self, cast

import pytest

from assistant_kit.errors import DuplicateTool
from assistant_kit.events import ToolsetUnavailable
from assistant_kit.messages import JsonObject, Text, text_of
from assistant_kit.protocols.toolset import Offering, ReconcilingToolset, ToolContext, ToolOutput
from assistant_kit.run.toolbox import KEPT, Toolbox
from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets.functions import FunctionTools

pytestmark = pytest.mark.anyio
CONTEXT = ToolContext(user="u1", conversation=None, call_id="1", tool="t", idempotency_key="1")


def spec(name: str, server: str = "") -> ToolSpec:
    return ToolSpec(
        name=name, description="", parameters={"type": "object"}, server=server, origin=server or "a function"
    )


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


class Server:
    """A toolset that answers with the name by which it was called. `offerings` are by user."""

    def __init__(self, name: str, *names: str, own: bool = True) -> None:
        self.name = name
        self.deferred = False
        self.everybody = Offering(tools=[spec(one, f"server {name}" if own else "") for one in names])
        self.offerings: dict[str | None, Offering] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def tools(self) -> Sequence[ToolSpec]:
        return self.everybody.tools

    async def tools_for(self, user: str | None) -> Offering:
        return self.offerings.get(user, self.everybody)

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        return ToolOutput(content=(Text(text=f"{self.name} {name} {len(arguments)} {context.user}"),))

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:
        return await self.call(name, arguments, context)


async def called(toolbox: Toolbox, name: str, user: str | None = None) -> str:
    toolset, found = (await toolbox.catalog(user)).tools[name]
    assert found.name == name
    return text_of((await toolset.call(name, {}, CONTEXT)).content)


async def test_names_that_clash_between_servers_get_the_servers_name_and_have_a_way_back() -> None:
    github, gitlab = Server("github", "create_issue", "fork"), Server("git.lab", "create_issue")
    toolbox = Toolbox((github, gitlab), connected=True)
    catalog = await toolbox.catalog()
    assert list(catalog.tools) == ["github_create_issue", "fork", "git_lab_create_issue"]
    assert [tool.name for tool in catalog.listed if isinstance(tool, ToolSpec)] == list(catalog.tools)
    assert await called(toolbox, "github_create_issue") == "github create_issue 0 u1"
    assert await called(toolbox, "git_lab_create_issue") == "git.lab create_issue 0 u1"
    toolset = cast("ReconcilingToolset", catalog.tools["git_lab_create_issue"][0])
    reconciled = await toolset.reconcile("git_lab_create_issue", {}, CONTEXT)
    assert reconciled is not None
    assert text_of(reconciled.content) == "git.lab create_issue 0 u1"


async def test_a_function_keeps_its_name_before_a_servers_tool() -> None:
    toolbox = Toolbox((Server("own", "search", own=False), Server("web", "search")), connected=True)
    assert list((await toolbox.catalog()).tools) == ["search", "web_search"]


async def test_a_prefixed_name_is_legal_and_taken_by_nothing_else() -> None:
    long = "x" * 60
    toolbox = Toolbox(
        (Server("own", "web_search", own=False), Server("web", "search", long), Server("net", "search", long)),
        connected=True,
    )
    names = list((await toolbox.catalog()).tools)
    assert len(set(names)) == 5
    assert all(len(name) <= 64 for name in names)
    assert names[0] == "web_search"
    assert names[3] == "net_search"
    assert await called(toolbox, names[1]) == "web search 0 u1"
    assert await called(toolbox, names[4]) == f"net {long} 0 u1"


async def test_a_name_that_has_clashed_stays_changed_when_one_of_the_servers_is_gone() -> None:
    web, net = Server("web", "search"), Server("net", "search")
    toolbox = Toolbox((web, net), connected=True)
    assert list((await toolbox.catalog()).tools) == ["web_search", "net_search"]
    net.everybody = Offering(tools=(), unavailable="it is down")
    catalog = await toolbox.catalog()
    assert list(catalog.tools) == ["web_search"]
    told: list[ToolsetUnavailable] = []
    catalog.tell_missing(told.append)
    assert told == [ToolsetUnavailable(toolset="net", reason="it is down")]


@pytest.mark.parametrize("own", [True, False])
async def test_two_tools_of_one_name_in_one_place_are_refused(own: bool) -> None:  # noqa: FBT001  (a case)
    toolbox = Toolbox((Server("same", "search", own=own), Server("same", "search", own=own)), connected=True)
    with pytest.raises(DuplicateTool):
        await toolbox.check()


async def test_a_catalog_is_the_same_object_while_the_lists_are_and_each_user_has_their_own() -> None:
    server = Server("web", "search")
    server.offerings["alice"] = Offering(tools=[spec("secret", "server web")])
    toolbox = Toolbox((server,), connected=True)
    everybodys, alices = await toolbox.catalog("bob"), await toolbox.catalog("alice")
    assert await toolbox.catalog("carol") is everybodys
    assert await toolbox.catalog("alice") is alices
    assert (list(everybodys.tools), list(alices.tools)) == (["search"], ["secret"])
    for number in range(KEPT):
        server.offerings["dave"] = Offering(tools=[spec(f"tool_{number}")])
        await toolbox.catalog("dave")
    assert await toolbox.catalog("bob") is not everybodys


async def test_a_toolset_that_is_deferred_is_not_asked_before_a_run() -> None:
    class Never(Server):
        async def tools_for(self, user: str | None) -> Offering:
            raise AssertionError(user)

    never = Never("web")
    never.deferred = True
    await Toolbox((never, Server("own", "search", own=False)), connected=True).check()


async def test_a_plain_toolset_offers_the_same_to_everybody() -> None:
    functions = FunctionTools([double])
    toolbox = Toolbox((functions,), connected=False)
    catalog = await toolbox.catalog("alice")
    assert await toolbox.catalog("bob") is catalog
    more = catalog.with_tool(functions, spec("more"))
    assert list(more.tools) == ["double", "more"]
    assert more.with_tool(functions, spec("more")) is more
