"""The steps by which a schema gets shorter, and what keeps one from them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from assistant_kit.messages import JsonObject
from assistant_kit.tool_schema.definitions import Place, definitions_of, inlined, resolved
from assistant_kit.tool_schema.noise import UNEVALUATED, cleaned
from assistant_kit.tool_schema.places import Node, TooDeep, copied, named, rebuilt, schemas_in
from assistant_kit.tool_schema.unions import ANNOTATIONS, united
from assistant_kit.tool_schema.words import parted, tidied
from assistant_kit.tool_spec import ToolSpec

_LONGEST = 1024
"""Characters of a tool's description in OpenAI's Chat Completions: "Expected a string with maximum length 1024"."""
_DEEPEST = 64  # levels of dictionaries and lists; OpenAI's strict mode takes 10 levels of objects
_PLACED = {"$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}
"""With these, what a reference means depends on where it stands."""
_NEWEST = "https://json-schema.org/draft/2020-12/schema"
_READ_ALIKE = {"https://json-schema.org/draft/2019-09/schema", "http://json-schema.org/draft-07/schema"}
_READ_DIFFERENTLY = {
    *_PLACED, *UNEVALUATED, "$vocabulary", "additionalItems", "dependencies", "dependentRequired", "dependentSchemas",
    "prefixItems", "minContains", "maxContains",
}  # fmt: skip
"""What these older drafts read in another way than the newest one, or not at all."""


def minified_tool(tool: ToolSpec) -> ToolSpec:
    """Return a tool with a minified schema and description; the same object when there was nothing to do.

    What of a description is too long for OpenAI's API goes on in that of the arguments, which has no such limit.
    """
    description = tidied(tool.description)
    parameters = minified(tool.parameters)
    if parameters.get("description") == description:
        parameters = {key: value for key, value in parameters.items() if key != "description"}
    if len(description) > _LONGEST:
        description, rest = parted(description, _LONGEST)
        own = parameters.get("description")
        parameters = {**parameters, "description": f"{rest}\n{own}" if isinstance(own, str) else rest}
    if description == tool.description and parameters == tool.parameters:
        return tool
    return replace(tool, description=description, parameters=parameters)


def minified(schema: JsonObject) -> JsonObject:
    """Return a JSON schema that allows the same values, in fewer tokens. The one that is given is not changed.

    A schema that refers to other places than its definitions keeps its structure; one that is nested more deeply than
    64 levels is returned as it is.
    """
    try:
        root: Node = copied(schema, _DEEPEST)
    except TooDeep:
        return schema
    root = cleaned(_without_discriminators(root))
    if _is_movable(root):
        root = _restructured(root)
    if _is_newest(root):
        del root["$schema"]
    return root


def _restructured(root: Node) -> Node:
    """Put definitions in place and write unions shortly, until nothing gets shorter: one makes room for the other."""
    while (shorter := cleaned(united(inlined(root, deepest=_DEEPEST)))) != root:
        root = shorter
    return root


def _without_discriminators(root: Node) -> Node:
    """Drop OpenAPI's `discriminator`, which names definitions, where the branches of the union say the same."""

    def drop(node: Node) -> Node:
        node = rebuilt(node, drop)
        if "discriminator" in node and _is_told_apart(node, root):
            del node["discriminator"]
        return node

    return drop(root)


def _is_told_apart(node: Node, root: Node) -> bool:
    name: Any = named(node, "discriminator").get("propertyName")
    branches: Any = node.get("oneOf")
    if not isinstance(name, str) or not isinstance(branches, list):
        return False
    known = definitions_of(root)
    return all(_has_constant(branch, name, known) for branch in cast("list[Any]", branches))


def _has_constant(branch: object, name: str, known: Mapping[Place, Any]) -> bool:
    if not isinstance(branch, dict):
        return False
    schema = cast("Node", branch)
    place = resolved(schema)
    target: Any = schema if place is None else known.get(place)
    if not isinstance(target, dict):
        return False
    return not {"const", "enum"}.isdisjoint(named(named(cast("Node", target), "properties"), name))


def _is_movable(root: Node) -> bool:
    """Tell whether every reference means the same wherever it stands: it names a definition, or the root."""
    known = definitions_of(root)
    return not any(
        node.keys() & {*_PLACED, *UNEVALUATED, "discriminator"}
        or ("$ref" in node and node["$ref"] != "#" and resolved(node) not in known)
        for node in schemas_in(root)
    )


def _is_newest(root: Node) -> bool:
    """Tell whether the newest draft, which is the one that counts where none is named, reads a schema alike."""
    draft: object = root.get("$schema")
    if not isinstance(draft, str):
        return False
    if draft == _NEWEST:
        return True
    return draft.removesuffix("#") in _READ_ALIKE and not any(_is_read_differently(node) for node in schemas_in(root))


def _is_read_differently(node: Node) -> bool:
    beside = node.keys() - ANNOTATIONS - {"$ref", "$schema"}
    return bool(node.keys() & _READ_DIFFERENTLY or isinstance(node.get("items"), list) or ("$ref" in node and beside))
