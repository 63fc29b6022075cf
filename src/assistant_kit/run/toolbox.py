"""All tools of an assistant, whatever toolset they come from."""

from collections.abc import Sequence
from dataclasses import dataclass

from assistant_kit.errors import DuplicateTool
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.tool_schema import minified_tool
from assistant_kit.tool_spec import HostedTool, ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The tools on offer at one moment. `listed` is what a model is told, hosted tools included."""

    listed: tuple[ToolSpec | HostedTool, ...]
    tools: dict[str, tuple[Toolset, ToolSpec]]

    def with_tool(self, toolset: Toolset, spec: ToolSpec) -> "Catalog":
        """Return the catalog with one more tool; with the same one when a tool has that name already."""
        if spec.name in self.tools:
            return self
        return Catalog(listed=(*self.listed, spec), tools={**self.tools, spec.name: (toolset, spec)})


class Toolbox:
    """Gathers the tools of several toolsets; one name belongs to one tool."""

    def __init__(self, toolsets: Sequence[Toolset], hosted: Sequence[HostedTool] = (), *, connected: bool) -> None:
        """Take toolsets in the order in which their tools are listed, and hosted tools, which come last.

        `connected` tells whether any of them must be entered before it can be used.
        """
        self.toolsets: tuple[Toolset, ...] = tuple(toolsets)
        self.connected: bool = connected
        self._hosted = tuple(hosted)
        self._lists: list[Sequence[ToolSpec]] = []
        self._catalog: Catalog | None = None

    async def catalog(self) -> Catalog:
        """Return the tools on offer now: the same object while nothing has changed. Raises DuplicateTool."""
        lists = [await toolset.tools() for toolset in self.toolsets]
        same = len(lists) == len(self._lists) and all(map(_is, lists, self._lists))
        if self._catalog is None or not same:
            self._catalog = self._gather(lists)
            self._lists = lists
        return self._catalog

    def _gather(self, lists: Sequence[Sequence[ToolSpec]]) -> Catalog:
        tools: dict[str, tuple[Toolset, ToolSpec]] = {}
        listed: list[ToolSpec] = []
        for toolset, specs in zip(self.toolsets, lists, strict=True):
            for spec in specs:
                if spec.name in tools:
                    raise DuplicateTool(spec.name, (tools[spec.name][1].origin, spec.origin))
                tools[spec.name] = (toolset, spec)
                listed.append(minified_tool(spec))
        return Catalog(listed=(*listed, *self._hosted), tools=tools)


def _is(one: object, other: object) -> bool:
    return one is other
