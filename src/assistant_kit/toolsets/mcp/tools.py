"""What an MCP server offers, in the words of this library: names a model API admits, effects the user vouches for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mcp import Client, MCPError
from mcp.types import METHOD_NOT_FOUND, Tool

from assistant_kit.messages import JsonObject
from assistant_kit.tool_names import model_names
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets.mcp.tasks import Offered, to_be_asked_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the application declares about a server's tools; names are the server's own or those the model sees."""

    origin: str
    call_timeout: float | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict[str, Effect])
    needs_approval: bool | Collection[str] = False
    trust_annotations: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One tool: `name` is what the server calls it, `spec.name` what the model calls it.

    `as_task`: the server is asked to carry its calls out as tasks.
    """

    name: str
    spec: ToolSpec
    as_task: bool = False


Catalog = Mapping[str, Offer]
"""The tools of a server by the name the model uses."""


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
    return {
        model_name: _offer(model_name, by_name[name], terms, offered)
        for name, model_name in model_names(by_name).items()
    }


def _offer(model_name: str, tool: Tool, terms: Terms, offered: Offered) -> Offer:
    as_task = to_be_asked_for(tool, offered)
    spec = _spec(model_name, tool, terms, reconciles=as_task or offered == "any")
    return Offer(name=tool.name, spec=spec, as_task=as_task)


def _spec(model_name: str, tool: Tool, terms: Terms, *, reconciles: bool) -> ToolSpec:
    return ToolSpec(
        name=model_name,
        description=tool.description or tool.title or "",
        parameters=_parameters(tool.input_schema),
        effect=_effect(model_name, tool, terms),
        timeout=terms.call_timeout,
        needs_approval=_needs_approval(model_name, tool.name, terms.needs_approval),
        reconciles=reconciles,
        origin=terms.origin,
        server=terms.origin,
    )


def _parameters(schema: JsonObject) -> JsonObject:
    """Complete a schema to one of an object; OpenAI refuses one without `properties`."""
    return {"type": "object", "properties": {}, **schema}


def _needs_approval(model_name: str, name: str, rule: bool | Collection[str]) -> bool:  # noqa: FBT001  (either form)
    return rule if isinstance(rule, bool) else name in rule or model_name in rule


def _effect(model_name: str, tool: Tool, terms: Terms) -> Effect:
    declared = terms.effects.get(tool.name) or terms.effects.get(model_name)
    if declared is not None:
        return declared
    hints = tool.annotations if terms.trust_annotations else None
    if hints is None:
        return "once"
    if hints.read_only_hint:
        return "read"
    return "idempotent" if hints.idempotent_hint else "once"
