"""All tools of an assistant, whatever toolset they come from."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from assistant_kit import registry
from assistant_kit.errors import ConfigurationError, DuplicateTool
from assistant_kit.events import ToolsetUnavailable
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.toolset import (
    Offering,
    PerUserToolset,
    ReconcilingToolset,
    ToolContext,
    ToolOutput,
    Toolset,
)
from assistant_kit.tool_names import model_names
from assistant_kit.tool_schema import minified_tool
from assistant_kit.tool_spec import HostedTool, ToolSpec

ToolSource: TypeAlias = Callable[..., Any] | Toolset | HostedTool
KEPT = 64  # catalogs: users whose tools differ have one each, and most share one


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The tools on offer at one moment. `listed` is what a model is told, hosted tools included.

    `unavailable` names the toolsets whose tools are missing, each with the reason.
    """

    listed: tuple[ToolSpec | HostedTool, ...]
    tools: dict[str, tuple[Toolset, ToolSpec]]
    unavailable: tuple[tuple[str, str], ...] = ()

    def tell_missing(self, emit: Callable[[ToolsetUnavailable], None]) -> None:
        """Tell the reader of a run which tools it has to do without."""
        for toolset, reason in self.unavailable:
            emit(ToolsetUnavailable(toolset=toolset, reason=reason))

    def with_tool(self, toolset: Toolset, spec: ToolSpec) -> "Catalog":
        """Return the catalog with one more tool; with the same one when a tool has that name already."""
        if spec.name in self.tools:
            return self
        return replace(self, listed=(*self.listed, spec), tools={**self.tools, spec.name: (toolset, spec)})


class Toolbox:
    """Gathers the tools of several toolsets; one name belongs to one tool."""

    def __init__(self, toolsets: Sequence[Toolset], hosted: Sequence[HostedTool] = (), *, connected: bool) -> None:
        """Take toolsets in the order in which their tools are listed, and hosted tools, which come last.

        `connected` tells whether any of them must be entered before it can be used.
        """
        self.toolsets: tuple[Toolset, ...] = tuple(toolsets)
        self.connected: bool = connected
        self._hosted = tuple(hosted)
        self._kept: OrderedDict[tuple[object, ...], tuple[Sequence[Offering], Catalog]] = OrderedDict()
        self._clashed: set[str] = set()

    async def catalog(self, user: str | None = None) -> Catalog:
        """Return the tools on offer to a user now: the same object while nothing has changed.

        Raises DuplicateTool, and ToolsetError for a toolset that the assistant cannot do without.
        """
        return self._catalog_of([await _offering(toolset, user) for toolset in self.toolsets])

    async def check(self) -> None:
        """Find two tools of one name, among those that are known before a run. Raises as `catalog` does."""
        self._catalog_of([await _offering(one, None) if _is_known(one) else _NOTHING for one in self.toolsets])

    def _catalog_of(self, offerings: Sequence[Offering]) -> Catalog:
        # Lists are told by their identity, which is quick and sure as long as they are kept.
        key = tuple((id(offering.tools), offering.unavailable) for offering in offerings)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = offerings, self._gather(offerings)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found[1]

    def _gather(self, offerings: Sequence[Offering]) -> Catalog:
        offered = [
            (toolset, spec) for toolset, given in zip(self.toolsets, offerings, strict=True) for spec in given.tools
        ]
        tools: dict[str, tuple[Toolset, ToolSpec]] = {}
        for toolset, spec in self._told_apart(offered):
            if spec.name in tools:
                raise DuplicateTool(spec.name, (tools[spec.name][1].origin, spec.origin))
            tools[spec.name] = (toolset, spec)
        missing = [
            (toolset.name, given.unavailable)
            for toolset, given in zip(self.toolsets, offerings, strict=True)
            if given.unavailable
        ]
        listed = (minified_tool(spec) for _, spec in tools.values())
        return Catalog(listed=(*listed, *self._hosted), tools=tools, unavailable=tuple(missing))

    def _told_apart(self, offered: Sequence[tuple[Toolset, ToolSpec]]) -> Sequence[tuple[Toolset, ToolSpec]]:
        """Put the toolset's name before the names of servers' tools that clash with others.

        A name that has clashed once is so changed for good: it does not depend on which servers are there just now.
        """
        counts = Counter(spec.name for _, spec in offered)
        self._clashed.update(spec.name for _, spec in offered if spec.server and counts[spec.name] > 1)
        if not self._clashed:
            return offered
        wanted = {
            # Admitted by no model API, so that it stands for nothing but this tool of this server.
            id(spec): f"{toolset.name}/{spec.name}" if spec.server and spec.name in self._clashed else spec.name
            for toolset, spec in offered
        }
        names = model_names(set(wanted.values()))
        return [
            (toolset, spec)
            if names[wanted[id(spec)]] == spec.name
            else _renamed(toolset, spec, names[wanted[id(spec)]])
            for toolset, spec in offered
        ]


class _Renamed:
    """Calls one tool of a toolset that bears another name here. It is not entered: the toolset itself is."""

    def __init__(self, toolset: Toolset, own_name: str) -> None:
        self._toolset = toolset
        self._own_name = own_name

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:  # noqa: ARG002  (its name here)
        return await self._toolset.call(self._own_name, arguments, context)

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:  # noqa: ARG002  (the same)
        # Asked only of a toolset whose tool says that it can.
        return await cast("ReconcilingToolset", self._toolset).reconcile(self._own_name, arguments, context)


_NOTHING = Offering(tools=())


def toolbox_of(tools: Sequence[ToolSource]) -> Toolbox:
    """Return the toolbox of functions, toolsets and hosted tools. Raises ConfigurationError for anything else."""
    functions = [tool for tool in tools if callable(tool)]
    hosted = [tool for tool in tools if isinstance(tool, HostedTool)]
    toolsets = [tool for tool in tools if not callable(tool) and not isinstance(tool, HostedTool)]
    for toolset in toolsets:
        if not hasattr(toolset, "call"):
            message = f"{toolset!r} is no tool: pass a function, a toolset such as MCPServer, or a HostedTool"
            raise ConfigurationError(message)
    given: list[Toolset] = [registry.load(registry.FUNCTION_TOOLS)(functions)] if functions else []
    return Toolbox((*given, *toolsets), hosted, connected=bool(toolsets))


def _renamed(toolset: Toolset, spec: ToolSpec, name: str) -> tuple[Toolset, ToolSpec]:
    return cast("Toolset", _Renamed(toolset, spec.name)), replace(spec, name=name)


def _is_known(toolset: Toolset) -> bool:
    return not (isinstance(toolset, PerUserToolset) and toolset.deferred)


async def _offering(toolset: Toolset, user: str | None) -> Offering:
    if isinstance(toolset, PerUserToolset):
        return await toolset.tools_for(user)
    return Offering(tools=await toolset.tools())
