"""The schema that a model API is given for a tool of somebody else, whatever that one has written.

OpenAI refuses a whole request for one schema that is no object, has a union at the top, an array without items, a
reference to elsewhere or a keyword that breaks the rules. So each is brought into a form that it takes. What that form
cannot say is said in words, and the arguments are checked by the original before they are sent.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from assistant_kit.messages import JsonObject
from assistant_kit.tool_schema.definitions import definitions_of, resolved
from assistant_kit.tool_schema.mended import cut, mended
from assistant_kit.tool_schema.places import Node, named, rebuilt, schemas_in
from assistant_kit.tool_schema.strict import strict_form

DEEPEST = 60  # levels of dictionaries and lists; OpenAI takes 10 levels of objects
_MOST = 20  # branches of a union that are spelt out
_FOREIGN = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary")
"""What makes references depend on where they stand, or lead elsewhere; model APIs do not follow it."""
_NOT_AT_THE_ROOT = ("allOf", "anyOf", "oneOf", "not", "enum", "const")
"""Source: the error of OpenAI's API, "schema must have type 'object' and not have 'oneOf'/…/'not' at the top level"."""
_UNIONS = ("anyOf", "oneOf")
_CONDITION = {"if", "then", "else"}
_MOST_STEPS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptable:
    """A schema that a model API takes; with `strict`, what it allows the original allows, and nothing is lost."""

    schema: JsonObject
    strict: bool


def acceptable(schema: Mapping[str, Any]) -> Acceptable:
    """Return a schema for the model API that allows what `schema` does, and more where that cannot be said.

    Nothing is fetched, nothing is raised: of a schema that has no meaning an object that may hold anything is left.
    """
    plain: Node = cut(schema, DEEPEST)
    root = mended(plain)
    if root == plain:
        form = strict_form({"properties": {}, **root})
        if form is not None:
            return Acceptable(schema=form, strict=True)
    return Acceptable(schema=_as_object(with_own_references(root)), strict=False)


def with_own_references(root: Node) -> Node:
    """Return a mended schema whose references name its definitions, or itself; those to elsewhere are left out."""
    follow = not any("$id" in node for node in schemas_in(root) if node is not root)
    known = definitions_of(root)
    definitions = {place.name: inner for place, inner in known.items() if place.keyword == "$defs"}
    moved: dict[str, str] = {}

    def put(node: Node) -> Node:
        node = rebuilt({key: value for key, value in node.items() if key not in _FOREIGN}, put)
        reference = node.get("$ref")
        if reference is None or reference == "#" or (follow and resolved(node) in known):
            return node
        target = _found(root, reference) if follow else None
        if target is None:
            del node["$ref"]
            return node
        if reference not in moved:
            moved[reference] = _free_name(reference, definitions)
            definitions[moved[reference]] = {}  # its place, as it may refer to itself
            definitions[moved[reference]] = put(target)
        return {**node, "$ref": f"#/$defs/{moved[reference]}"}

    changed = put(root)
    for name in moved.values():
        changed.setdefault("$defs", {})[name] = definitions[name]
    return changed


def _found(root: Node, reference: str) -> Node | None:
    """Return the schema at a place in this document; None when there is none."""
    start, *steps = reference.split("/")
    if start != "#":
        return None
    found: Any = root
    for step in steps:
        found = _inside(found, unquote(step).replace("~1", "/").replace("~0", "~"))
    return mended(cast("Node", found)) if isinstance(found, dict) else None


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return cast("Node", value).get(name)
    if isinstance(value, list) and name.isdecimal():
        return next(iter(cast("list[Any]", value)[int(name) :]), None)
    return None


def _free_name(reference: str, taken: Mapping[str, object]) -> str:
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in reference).strip("_") or "x"
    while name in taken:
        name += "_"
    return name


def _as_object(root: Node) -> Node:
    """Return a schema of an object, with no union or condition at its top; what is left out is said in words."""
    flat = _Flattened(root).top()
    body = {key: value for key, value in flat.items() if key not in _NOT_AT_THE_ROOT}
    words = [body.pop("description", ""), *_words(flat)]
    description = "\n".join(word for word in words if word)
    return {
        **body,
        **({"description": description} if description else {}),
        "type": "object",
        "properties": body.get("properties", {}),
    }


class _Flattened:
    """A schema with what it refers to, and what all or one of its branches say of an object, in it itself."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self._known = definitions_of(root)
        self._left = _MOST_STEPS

    def top(self) -> Node:
        return self._flat(self._root, frozenset({"#"}))

    def _flat(self, node: Node, open_: frozenset[str]) -> Node:
        if not self._left:  # definitions that double each other would never end
            return {}
        self._left -= 1
        node = dict(node)
        reference: Any = node.pop("$ref", None)
        if isinstance(reference, str) and reference not in open_:
            place = resolved({"$ref": reference})
            target: Node = {} if place is None else self._known.get(place, {})
            node = _both(self._flat(target, open_ | {reference}), node)
        for part in node.pop("allOf", []):
            node = _both(self._flat(part, open_), node)
        for keyword in _UNIONS:
            if keyword in node:
                branches = [self._flat(branch, open_) for branch in node[keyword]]
                node = {**_either(branches, node), keyword: branches}
        return node


def _both(one: Node, other: Node) -> Node:
    """Return what allows no less than both schemas do together."""
    both = {**one, **other}
    if _CONDITION & one.keys() and _CONDITION & other.keys():
        both = {key: value for key, value in both.items() if key not in _CONDITION}
    properties = {**named(one, "properties")}
    for name, inner in named(other, "properties").items():
        earlier = properties.get(name, inner)
        properties[name] = inner if inner == earlier else {"allOf": [earlier, inner]}
    if properties:
        both["properties"] = properties
    required = list(dict.fromkeys([*one.get("required", []), *other.get("required", [])]))
    if required:
        both["required"] = required
    if one.get("additionalProperties", other.get("additionalProperties")) != other.get("additionalProperties"):
        both.pop("additionalProperties", None)  # what is closed to one may be a property of the other
    return both


def _either(branches: Sequence[Node], node: Node) -> Node:
    """Return a schema that has the properties of all branches beside its own; those that all require are required."""
    variants: dict[str, list[Any]] = {}
    for branch in branches:
        for name, inner in named(branch, "properties").items():
            known = variants.setdefault(name, [])
            if inner not in known:
                known.append(inner)
    joined = {name: kinds[0] if len(kinds) == 1 else {"anyOf": kinds} for name, kinds in variants.items()}
    common = [name for name in branches[0].get("required", []) if all(name in b.get("required", []) for b in branches)]
    merged = _both({"properties": joined, **({"required": common} if common else {})}, node)
    if joined.keys() - named(node, "properties").keys() and "additionalProperties" in merged:
        del merged["additionalProperties"]
    return merged


def _words(flat: Node) -> list[str]:
    """Say what the top of a schema cannot."""
    said: list[str] = []
    for keyword, how in (("anyOf", "at least one"), ("oneOf", "exactly one")):
        sets = [_names(branch) for branch in flat.get(keyword, [])]
        if any(sets):
            told = " | ".join(one or "nothing" for one in sets[:_MOST])
            said.append(f"The arguments have to fit {how} of these sets ('?': may be left out): {told}.")
    rest = {key: flat[key] for key in ("not", "enum", "const") if key in flat}
    if rest:
        said.append(f"The arguments also have to fit this schema: {json.dumps(rest, ensure_ascii=False)}")
    return said


def _names(branch: Node) -> str:
    required: list[str] = branch.get("required", [])
    optional = [f"{name}?" for name in named(branch, "properties") if name not in required]
    return ", ".join([*required, *optional])
