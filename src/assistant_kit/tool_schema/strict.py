"""Strict mode, in which a model cannot write arguments that do not fit: what of a schema it takes without a loss.

Source: platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
"""

import re
from collections.abc import Mapping
from typing import Any, cast

from assistant_kit.tool_schema.definitions import Place, definitions_of, resolved
from assistant_kit.tool_schema.places import Node, named, rebuilt, schemas_in

STRICT_KEYWORDS = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs",
    "title", "description", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minItems", "maxItems",
}  # fmt: skip
STRICT_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_NOT_AT_THE_ROOT = {"anyOf", "enum", "const", "$ref"}
_DEEPEST = 10  # levels of objects
_MOST_PROPERTIES = 5_000
_MOST_VALUES = 1_000  # of all enumerations together
_SPECIAL = re.compile(r"\(\?(?!:)|\\[1-9]|\\k")  # in a pattern: what looks around or back


def strict_form(root: Node) -> Node | None:
    """Return a mended schema as strict mode takes it; None when it would lose or change something.

    Objects that name their properties and say nothing of others become closed: nobody can know what others there are.
    Formats that strict mode refuses become words; they bind nobody in JSON Schema either.
    """
    form = _closed({key: value for key, value in root.items() if key != "$schema"})
    return form if _fits(form) else None


def _closed(node: Node) -> Node:
    node = rebuilt(node, _closed)
    node.pop("$comment", None)
    if named(node, "properties"):
        node.setdefault("additionalProperties", False)
    elif node.get("additionalProperties") is False:
        node.setdefault("required", [])
    form = node.get("format")
    if isinstance(form, str) and form not in STRICT_FORMATS:
        del node["format"]
        node["description"] = f"{node.get('description', '')} (format: {form})".lstrip()
    return node


def _fits(root: Node) -> bool:
    if root.get("type") != "object" or root.keys() & _NOT_AT_THE_ROOT:
        return False
    known = definitions_of(root)
    nodes = list(schemas_in(root))
    return all(_is_taken(node, known) for node in nodes) and _is_small(root, nodes)


def _is_taken(node: Node, known: Mapping[Place, Any]) -> bool:
    """Tell whether strict mode takes a schema, apart from those within it."""
    if "$ref" in node:
        return len(node) == 1 and _is_grounded(node, known)
    if not node.keys() <= STRICT_KEYWORDS or node.keys().isdisjoint(("type", "anyOf", "enum", "const")):
        return False
    return _is_whole(node) and _has_plain_pattern(node) and _holds_schemas(node)


def _is_grounded(node: Node, known: Mapping[Place, Any], passed: frozenset[Place] = frozenset()) -> bool:
    """Tell whether references lead to something that is none itself, without a circle."""
    if "$ref" not in node:
        return all(_is_grounded(branch, known, passed) for branch in node.get("anyOf", []))
    if node["$ref"] == "#":
        return True
    place = resolved(node)
    if place is None or place in passed or place not in known:
        return False
    return _is_grounded(known[place], known, passed | {place})


def _is_whole(node: Node) -> bool:
    """Tell whether an object is closed, with each of its properties required."""
    types = node.get("type")
    if types != "object" and not (isinstance(types, list) and "object" in types):
        return "properties" not in node and "additionalProperties" not in node
    required: Any = node.get("required", [])
    return node.get("additionalProperties") is False and set(named(node, "properties")) == set(required)


def _has_plain_pattern(node: Node) -> bool:
    return _SPECIAL.search(cast("str", node.get("pattern", ""))) is None


def _holds_schemas(node: Node) -> bool:
    """Tell whether what stands within is a schema with a type, and no `true` or `false`."""
    inside = [*named(node, "properties").values(), *named(node, "$defs").values(), *node.get("anyOf", [])]
    types: Any = node.get("type", [])
    if "array" in types or "items" in node:
        inside.append(node.get("items"))
    return all(isinstance(inner, dict) for inner in inside)


def _is_small(root: Node, nodes: list[Node]) -> bool:
    properties = sum(len(named(node, "properties")) for node in nodes)
    values = sum(len(cast("list[Any]", node.get("enum", []))) for node in nodes)
    return properties <= _MOST_PROPERTIES and values <= _MOST_VALUES and _levels(root) <= _DEEPEST


def _levels(node: Node) -> int:
    """Return how deep objects are nested, by what is written: a reference is no level."""
    deepest = 0

    def look(inner: Node) -> Node:
        nonlocal deepest
        deepest = max(deepest, _levels(inner))
        return inner

    rebuilt({key: value for key, value in node.items() if key != "$defs"}, look)
    return deepest + ("properties" in node)
