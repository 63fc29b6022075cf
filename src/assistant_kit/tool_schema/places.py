"""Where schemas stand within a schema, and where only data does that may look like one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

Node: TypeAlias = dict[str, Any]
"""A JSON schema as plain dictionaries and lists."""

DEFINITIONS = ("$defs", "definitions")
_MAPS = {*DEFINITIONS, "properties", "patternProperties", "dependentSchemas", "dependencies"}
_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems", "items"}
_SINGLE = {
    "items", "additionalProperties", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
}  # fmt: skip


class TooDeep(Exception):
    """The schema is nested more deeply than anything that a model would understand."""


def copied(value: object, room: int) -> Any:
    """Return a value as plain dictionaries and lists. Raises TooDeep below `room` levels."""
    if room < 0:
        raise TooDeep
    if isinstance(value, Mapping):
        return {key: copied(inner, room - 1) for key, inner in cast("Mapping[str, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [copied(inner, room - 1) for inner in cast("Sequence[object]", value)]
    return value


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return a schema with each one directly inside it changed; `true` and `false`, which are schemas, stay."""

    def changed(value: Any) -> Any:
        return change(cast("Node", value)) if isinstance(value, dict) else value

    result: Node = {}
    for key, value in node.items():
        if key in _MAPS and isinstance(value, dict):
            result[key] = {name: changed(inner) for name, inner in cast("Node", value).items()}
        elif key in _LISTS and isinstance(value, list):
            result[key] = [changed(inner) for inner in cast("list[Any]", value)]
        else:
            result[key] = changed(value) if key in _SINGLE else value
    return result


def schemas_in(node: Node) -> Iterator[Node]:
    """Yield a schema and all within it."""
    inside: list[Node] = []

    def seen(inner: Node) -> Node:
        inside.append(inner)
        return inner

    rebuilt(node, seen)
    yield node
    for inner in inside:
        yield from schemas_in(inner)


def named(node: Node, key: str) -> dict[str, Any]:
    """Return the map of names that stands under a keyword; an empty one when there is none."""
    value: Any = node.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
