"""What an MCP server offers, in the words of this library: names a model API admits, effects the user vouches for."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from mcp import Client, MCPError
from mcp.types import METHOD_NOT_FOUND, Tool

from assistant_kit.messages import JsonObject
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets._mcp_tasks import Offered, to_be_asked_for

NAME_LIMIT = 64  # characters; with the alphabet below the rule of OpenAI's API for function names
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_HASH = 8  # hexadecimal digits that tell two cut or repaired names apart


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


def model_names(names: Collection[str]) -> dict[str, str]:
    """Give each name one that a model API admits: its own, or else a repaired one, told apart by a hash on a clash.

    The result depends on the set of names and not on its order, so that a name keeps its meaning when a server
    lists its tools in another order.
    """
    wanted = {name: _legal(name) for name in names}
    claims = Counter(wanted.values())
    given = {name: name for name, legal in wanted.items() if name == legal}
    taken = set(given)
    for name in sorted(set(wanted) - taken):
        legal = wanted[name]
        if claims[legal] > 1 or legal in taken:
            marked = (_marked(legal, name, digits) for digits in range(_HASH, NAME_LIMIT))
            legal = next(candidate for candidate in marked if candidate not in taken)
        given[name] = legal
        taken.add(legal)
    return {name: given[name] for name in names}


def _legal(name: str) -> str:
    legal = _ILLEGAL.sub("_", name) or "_"
    return legal if len(legal) <= NAME_LIMIT else _marked(legal, name, _HASH)


def _marked(legal: str, name: str, digits: int) -> str:
    mark = "_" + sha256(name.encode(errors="surrogatepass")).hexdigest()[:digits]
    return legal[: NAME_LIMIT - len(mark)] + mark


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
