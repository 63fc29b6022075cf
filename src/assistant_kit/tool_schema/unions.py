"""Unions in fewer words: a list of types says the same as several schemas that differ in their type."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from assistant_kit.tool_schema.places import Node, rebuilt
from assistant_kit.tool_schema.words import joined

T = TypeVar("T")
ANNOTATIONS = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
"""Keywords that allow and forbid nothing."""
_KEYWORDS: Mapping[str, set[str]] = {
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"},
    "object": {
        "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        "maxProperties",
    },
}  # fmt: skip
"""What each keyword bears on; values of other types pass it."""
_NULL: Node = {"type": "null"}


def united(node: Node) -> Node:
    """Return a schema in which unions are written as one schema where that means the same."""
    node = rebuilt(node, united)
    for key in ("anyOf", "allOf", "oneOf"):
        branches: Any = node.get(key)
        if isinstance(branches, list):
            others = {name: value for name, value in node.items() if name != key}
            only = cast("list[Any]", branches)
            merged = only[0] if len(only) == 1 else _merged(only) if key == "anyOf" else None
            both = None if merged is None else beside(merged, others)
            if both is not None:
                return both
    return node


def beside(schema: object, annotations: Node) -> Node | None:
    """Return one schema that says what a schema and the annotations beside it say; None when that cannot be."""
    if not isinstance(schema, dict) or not annotations.keys() <= ANNOTATIONS:
        return None
    said = cast("Node", schema)
    if "$ref" in said and annotations:
        return None  # strict mode wants a reference to stand alone
    both = said.keys() & annotations.keys()
    if not both:
        return {**said, **annotations}
    texts = (annotations.get("description"), said.get("description"))
    if both != {"description"} or not isinstance(texts[0], str) or not isinstance(texts[1], str):
        return None
    return {**said, **annotations, "description": joined(texts[0], texts[1])}


def _merged(branches: list[Any]) -> Node | None:
    """Return one schema for a union; None when a keyword of one branch would bear on values of another."""
    plain = [branch for branch in branches if branch != _NULL]
    if len(plain) == 1 and len(branches) > 1 and (nullable := _nullable(plain[0])) is not None:
        return nullable
    types: list[str] = []
    merged: Node = {}
    kinds: set[str] = set()
    for branch in branches:
        own = _types(branch)
        own_kinds = {_kind(name) for name in own}
        allowed = {"type"}.union(*(_KEYWORDS.get(kind, set[str]()) for kind in own_kinds))
        if not own or not branch.keys() <= allowed or own_kinds & kinds:
            return None
        kinds |= own_kinds
        types += own
        merged |= branch
    return {**merged, "type": types}


def _nullable(branch: object) -> Node | None:
    """Return a schema that allows null as well; None when there is no short way to say so."""
    own = _types(branch)
    if not own:
        return None
    schema = dict(cast("Node", branch))
    allowed = {"type"}.union(ANNOTATIONS, *(_KEYWORDS.get(_kind(name), set[str]()) for name in own))
    values: Any = [schema.pop("const")] if "const" in schema and "enum" not in schema else schema.pop("enum", [])
    if not schema.keys() <= allowed or not isinstance(values, list):
        return None
    schema["type"] = _with(own, "null")
    if values:
        schema["enum"] = _with(cast("list[Any]", values), None)
    return schema


def _with(values: list[T], more: T) -> list[T]:
    return values if more in values else [*values, more]


def _types(schema: object) -> list[str]:
    """Return the types that a schema names; none when it names none."""
    value: Any = cast("Node", schema).get("type") if isinstance(schema, dict) else None
    names = cast("list[Any]", value) if isinstance(value, list) else [value]
    return names if all(isinstance(name, str) for name in names) else []


def _kind(name: str) -> str:
    return "number" if name == "integer" else name
