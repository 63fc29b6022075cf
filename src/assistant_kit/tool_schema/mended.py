"""Schemas as careless servers write them, brought into a form that can be read: what has no meaning is left out."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, TypeAlias, cast

from assistant_kit.messages import is_unicode
from assistant_kit.tool_schema.places import Node, rebuilt

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_MEANT = {
    "int": "integer", "long": "integer", "float": "number", "double": "number", "decimal": "number", "str": "string",
    "text": "string", "bool": "boolean", "dict": "object", "map": "object", "list": "array", "none": "null",
}  # fmt: skip
"""Names of types in other languages."""

Check: TypeAlias = Callable[[Any], bool]


def cut(value: Any, room: int) -> Any:
    """Return a value as plain dictionaries and lists; below `room` levels everything is `{}`, which allows anything.

    What has no form in JSON, as text or number, is replaced.
    """
    if isinstance(value, Mapping):
        known = cast("Mapping[Any, Any]", value)
        return {cut(str(key), 0): cut(inner, room - 1) for key, inner in known.items()} if room else {}
    if isinstance(value, str):
        return value if is_unicode(value) else value.encode(errors="replace").decode()
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, Sequence):
        return [cut(inner, room - 1) for inner in cast("Sequence[Any]", value)] if room else {}
    return value


def mended(node: Node) -> Node:
    """Return a schema without what breaks the rules of JSON Schema 2020-12; it allows what it did, or more.

    What older drafts wrote in another way is written in the way of today.
    """
    node = dict(node)
    _modernise(node)
    _spell_out(node)
    for key in [key for key, value in node.items() if not _CHECKS.get(key, _anything)(value)]:
        del node[key]
    for key in _MAPS & node.keys():
        node[key] = {name: _schema(inner) for name, inner in node[key].items() if _is_schema(inner)}
    node = rebuilt(node, mended)
    if "array" in _list(node.get("type")):
        node.setdefault("items", {})  # OpenAI refuses an array without
    return node


def _modernise(node: Node) -> None:
    if "type" in node:
        types = _types(node["type"])
        node["type"] = types[0] if len(types) == 1 else types  # an empty list is left out with all that is malformed
    if isinstance(node.get("items"), list):
        node["prefixItems"] = node.pop("items")
        if "additionalItems" in node:
            node["items"] = node.pop("additionalItems")
    _part_dependencies(node)
    for bound, other in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if node.get(bound) is True and _is_number(node.get(other)):  # draft 4
            node[bound] = node.pop(other)


def _part_dependencies(node: Node) -> None:
    """Write draft 7's `dependencies` as the two keywords that it has become."""
    mixed: Any = node.pop("dependencies", None)
    if isinstance(mixed, dict):
        for name, needed in cast("Node", mixed).items():
            node.setdefault("dependentRequired" if isinstance(needed, list) else "dependentSchemas", {})[name] = needed


def _spell_out(node: Node) -> None:
    """Write the schemas `true` and `false`, which some readers do not know, as objects that mean the same."""
    for key in ("items", "additionalItems", "contains", "not"):
        if key in node:
            node[key] = _schema(node[key])
    for key in _LISTS & node.keys():
        if isinstance(node[key], list):
            node[key] = [_schema(inner) for inner in node[key] if _is_schema(inner)]


def _types(value: Any) -> list[str]:
    names = [name.lower() for name in _list(value) if isinstance(name, str)]
    meant = [_MEANT.get(name, name) for name in names]
    # A name that nobody knows may mean anything: then nothing is said of the type.
    return list(dict.fromkeys(meant)) if all(name in TYPES for name in meant) else []


def _schema(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else {"not": {}}
    return value


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _anything(value: Any) -> bool:
    del value
    return True


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_type(value: Any) -> bool:
    return bool(value)  # `_types` has left nothing else


def _are_values(value: Any) -> bool:
    return isinstance(value, list) and bool(cast("list[Any]", value))


def _are_schemas(value: Any) -> bool:
    return _are_values(value) and all(isinstance(inner, dict) for inner in value)


def _are_lists_of_names(value: Any) -> bool:
    return isinstance(value, dict) and all(_are_names(names) for names in cast("Node", value).values())


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in cast("list[Any]", value))


def _is_pattern(value: Any) -> bool:
    """Tell whether a text is a regular expression for Python, as OpenAI looks at it."""
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return True


def _are_patterns(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_pattern(pattern) for pattern in cast("Node", value))


_MAPS = {"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"}
_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems"}
_CHECKS: Mapping[str, Check] = {
    "type": _is_type,
    "enum": _are_values,
    "required": _are_names,
    "pattern": _is_pattern,
    "patternProperties": _are_patterns,
    "dependentRequired": _are_lists_of_names,
    "multipleOf": _is_positive,
    **dict.fromkeys(("properties", "$defs", "definitions", "dependentSchemas"), _is_map),
    **dict.fromkeys(_LISTS, _are_schemas),
    **dict.fromkeys(("items", "contains", "not", "if", "then", "else", "propertyNames", "contentSchema"), _is_schema),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "unevaluatedItems"), _is_schema),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("minContains", "maxContains"), _is_count),
    **dict.fromkeys(("title", "description", "format", "$ref", "$schema", "$comment"), _is_text),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _is_bool),
}
"""What each keyword has to be; others may be anything."""
