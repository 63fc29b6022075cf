"""What a plain HTTP server says of its tools, read with tolerance: a bad tool is dropped alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from assistant_kit.messages import Json
from assistant_kit.toolsets._definitions import Definition

_SCHEMAS = ("input_schema", "inputSchema", "parameters")
"""The spellings of a tool's schema that servers of this contract use."""
_SAID = ("name", "title", "description", *_SCHEMAS, "output_schema", "outputSchema", "annotations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The tools that can be used, and what is wrong with the others."""

    definitions: tuple[Definition, ...] = ()
    notes: tuple[str, ...] = ()


class MalformedListing(Exception):
    """What came is no list of tools."""


@dataclass(slots=True)
class _Draft:
    definitions: dict[str, Definition] = field(default_factory=dict[str, Definition])
    notes: list[str] = field(default_factory=list[str])


def read_listing(document: Json) -> Listing:
    """Read the answer to `GET /mcp/discover`: `{"tools": […]}`, or the list alone.

    Raises MalformedListing when it is neither. Of two tools with one name the first counts.
    """
    tools = document.get("tools") if isinstance(document, Mapping) else document
    if isinstance(tools, str) or not isinstance(tools, Sequence):
        raise MalformedListing
    draft = _Draft()
    for index, tool in enumerate(tools):
        _read(tool, index, draft)
    return Listing(definitions=tuple(draft.definitions.values()), notes=tuple(draft.notes))


def _read(tool: Json, index: int, draft: _Draft) -> None:
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str) or not tool["name"]:
        draft.notes.append(f"tool number {index + 1} has no name and is left out")
        return
    name = cast("str", tool["name"])
    schema = next((tool[key] for key in _SCHEMAS if tool.get(key) is not None), cast("Json", {}))
    if not isinstance(schema, Mapping):
        draft.notes.append(f"tool {name!r} has a schema that is no object and is left out")
    elif name in draft.definitions:
        draft.notes.append(f"tool {name!r} is listed twice: the first counts")
    else:
        description, hints = tool.get("description"), tool.get("annotations")
        draft.definitions[name] = Definition(
            name=name,
            description=description if isinstance(description, str) else "",
            schema=schema,
            said={key: tool[key] for key in _SAID if tool.get(key) is not None},
            read_only=_hint(hints, "readOnlyHint", "read_only_hint"),
            idempotent=_hint(hints, "idempotentHint", "idempotent_hint"),
        )


def _hint(hints: Json, *names: str) -> bool:
    return isinstance(hints, Mapping) and any(hints.get(name) is True for name in names)
