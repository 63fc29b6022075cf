"""Definitions of a schema: those that nothing refers to go, and short ones and those used once stand in their place."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from assistant_kit.tool_schema.places import DEFINITIONS, Node, TooDeep, copied, named, rebuilt, schemas_in
from assistant_kit.tool_schema.unions import beside

MOST = 50
"""Definitions that are put in place. The time grows with their square: 600 of a server took 20 seconds."""


class Place(NamedTuple):
    """Where a definition stands: under which keyword of the root, and its name."""

    keyword: str
    name: str


def resolved(node: Node) -> Place | None:
    """Return the place that a reference names; None for any other than `#/$defs/NAME`."""
    reference: object = node.get("$ref")
    if not isinstance(reference, str):
        return None
    steps = reference.split("/")
    if len(steps) != 3 or steps[0] != "#" or steps[1] not in DEFINITIONS:  # noqa: PLR2004  (#, keyword, name)
        return None
    return Place(steps[1], unquote(steps[2]).replace("~1", "/").replace("~0", "~"))


def definitions_of(root: Node) -> Mapping[Place, Any]:
    """Return the definitions of a schema by their place."""
    return {Place(keyword, name): inner for keyword in DEFINITIONS for name, inner in named(root, keyword).items()}


def inlined(root: Node, *, deepest: int) -> Node:
    """Return a schema without the definitions that it can do without.

    Every reference in it has to name a definition, or the root as `#`. Those that would make the schema deeper than
    `deepest` levels, or longer, stay; so do those that are defined by themselves, and all where there are many.
    """
    root = _without_unused(root)
    if len(definitions_of(root)) > MOST:
        return root
    kept: set[Place] = set()
    while (place := next((one for one in definitions_of(root) if one not in kept), None)) is not None:
        put = _put_in_place(root, place)
        with suppress(TooDeep):
            root = root if put is None else _without_unused(copied(put, deepest))
        kept.add(place)
    return root


def _without_unused(root: Node) -> Node:
    """Drop definitions that cannot be reached from the root."""
    known = definitions_of(root)
    body = {key: value for key, value in root.items() if key not in DEFINITIONS}
    used: set[Place] = set()
    waiting = list(_referred(body))
    while waiting:
        place = waiting.pop()
        if place not in used:
            used.add(place)
            waiting += _referred(known[place])
    for keyword in DEFINITIONS:
        left = {name: inner for name, inner in named(root, keyword).items() if Place(keyword, name) in used}
        if left:
            body[keyword] = left
    return body


def _referred(schema: object) -> Iterator[Place]:
    if isinstance(schema, dict):
        for node in schemas_in(cast("Node", schema)):
            place = resolved(node)
            if place is not None:
                yield place


def _put_in_place(root: Node, place: Place) -> Node | None:
    """Return the schema with a definition in the place of the references to it; None when that is not worth it."""
    definition = definitions_of(root)[place]
    if place in _reached(root, definition):
        return None
    uses = [node for node in schemas_in(root) if resolved(node) == place]
    others = [{key: value for key, value in node.items() if key != "$ref"} for node in uses]
    if any(beside(definition, other) is None for other in others):
        return None
    references = [{"$ref": node["$ref"]} for node in uses]
    if len(uses) > 1 and len(uses) * _size(definition) > _size([definition, *references]):
        return None

    def put(node: Node) -> Node:
        if resolved(node) == place:
            both = beside(definition, {key: value for key, value in node.items() if key != "$ref"})
            return node if both is None else both
        return rebuilt(node, put)

    return put(root)


def _reached(root: Node, definition: object) -> set[Place]:
    known = definitions_of(root)
    reached: set[Place] = set()
    waiting = list(_referred(definition))
    while waiting:
        place = waiting.pop()
        if place not in reached:
            reached.add(place)
            waiting += _referred(known[place])
    return reached


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
