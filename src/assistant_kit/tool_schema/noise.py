"""What in a schema says nothing: to a validator, and to a model that reads the rest."""

from collections.abc import Mapping
from typing import Any, cast

from assistant_kit.tool_schema.places import DEFINITIONS, Node, named, rebuilt, schemas_in
from assistant_kit.tool_schema.words import repeats, tidied

UNEVALUATED = {"unevaluatedProperties", "unevaluatedItems"}
"""What these allow depends on keywords beside them that say nothing otherwise."""
_IDLE: Mapping[str, object] = {"uniqueItems": False, "minLength": 0, "minItems": 0, "minProperties": 0}
"""Keywords with the value that they have when they are left out."""


def cleaned(root: Node) -> Node:
    """Return a schema without what says nothing. References stay right: nothing that holds a schema moves."""
    keeps_open = any(node.keys() & UNEVALUATED for node in schemas_in(root))

    def clean(node: Node) -> Node:
        node = rebuilt(node, clean)
        node.pop("$comment", None)
        for key, idle in _IDLE.items():
            if type(node.get(key)) is type(idle) and node[key] == idle:
                del node[key]
        _tidy(node)
        _drop_what_names_say(node)
        if not keeps_open and node.get("additionalProperties") in (True, {}):
            del node["additionalProperties"]
        # Strict mode wants the list even when it is empty.
        if node.get("required") == [] and node.get("additionalProperties") is not False:
            del node["required"]
        return node

    root = clean(root)
    title = root.get("title")
    if isinstance(title, str) and len(title.split()) <= 1:
        del root["title"]  # the name of a class: the tool's own stands beside it
    return root


def _tidy(node: Node) -> None:
    for key in ("title", "description"):
        text = node.get(key)
        if isinstance(text, str):
            node[key] = tidied(text)
            if not node[key]:
                del node[key]


def _drop_what_names_say(node: Node) -> None:
    """Drop titles that repeat a name, and a default of null: what may be left out is nothing when it is."""
    required: Any = node.get("required", [])
    optional = [name for name in named(node, "properties") if isinstance(required, list) and name not in required]
    for key in (*DEFINITIONS, "properties"):
        for name, inner in named(node, key).items():
            if not isinstance(inner, dict):
                continue
            schema = cast("Node", inner)
            title = schema.get("title")
            if isinstance(title, str) and repeats(title, name):
                del schema["title"]
            if key == "properties" and name in optional and schema.get("default", ...) is None:
                del schema["default"]
