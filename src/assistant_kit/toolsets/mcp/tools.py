"""What an MCP server offers, in the words of this library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcp import Client, MCPError
from mcp.types import METHOD_NOT_FOUND, Tool

from assistant_kit.tool_spec import ToolSpec
from assistant_kit.toolsets._definitions import Definition, Refusal, Terms, named_for_models, refusal, spec_of
from assistant_kit.toolsets._schemas import SchemaCheck
from assistant_kit.toolsets.mcp.tasks import Offered, to_be_asked_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One tool: `name` is what the server calls it, `spec.name` what the model calls it.

    `arguments` checks by the schema of the server itself, `result` by the one it promises for structured results.
    `as_task`: the server is asked to carry its calls out as tasks. `refusal` says why the tool is not offered.
    """

    name: str
    spec: ToolSpec
    definition: Definition
    arguments: SchemaCheck
    result: SchemaCheck | None = None
    as_task: bool = False
    refusal: Refusal | None = None


Catalog = Mapping[str, Offer]
"""The tools of a server by the name the model uses, those that are refused among them."""

_SAID = {"name", "title", "description", "input_schema", "output_schema", "annotations"}
"""What is pinned: all that tells a model, a person or this library what a tool does."""


async def fetch_tools(client: Client) -> list[Tool]:
    """Read all pages of a server's tools. Raises MCPError, and pydantic's ValidationError for a malformed list."""
    found: list[Tool] = []
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        try:
            page = await client.list_tools(cursor=cursor)
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND:  # a server without tools
                return found
            raise
        found += page.tools
        cursor = page.next_cursor
        if not cursor or cursor in seen:  # servers exist whose pages never end
            return found
        seen.add(cursor)


def catalog(tools: Sequence[Tool], terms: Terms, offered: Offered = "no") -> Catalog:
    """Describe a server's tools; of two with one name the first counts. `offered`: which calls may become tasks."""
    by_name: dict[str, Tool] = {}
    for tool in tools:
        by_name.setdefault(tool.name, tool)
    names = named_for_models(by_name, terms)
    return {names[name]: _offer(names[name], tool, terms, offered) for name, tool in by_name.items()}


def _offer(model_name: str, tool: Tool, terms: Terms, offered: Offered) -> Offer:
    as_task = to_be_asked_for(tool, offered)
    hints = tool.annotations
    definition = Definition(
        name=tool.name,
        description=tool.description or tool.title or "",
        schema=tool.input_schema,
        said=tool.model_dump(mode="json", by_alias=True, exclude_none=True, include=_SAID),
        read_only=hints is not None and bool(hints.read_only_hint),
        idempotent=hints is not None and bool(hints.idempotent_hint),
    )
    return Offer(
        name=tool.name,
        spec=spec_of(model_name, definition, terms, reconciles=as_task or offered == "any"),
        definition=definition,
        arguments=SchemaCheck(tool.input_schema),
        result=None if tool.output_schema is None else SchemaCheck(tool.output_schema),
        as_task=as_task,
        refusal=refusal(model_name, definition, terms.pins),
    )
