"""Schemas as servers write them, for property tests, and values that may fit them."""

from typing import Any, TypeAlias, cast

from hypothesis import assume
from hypothesis import strategies as st

from assistant_kit.tool_schema.places import schemas_in

Schema: TypeAlias = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "c"])
DEFINED = ("one", "two")
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", "x", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["y", "z"]), inner, max_size=3),
    max_leaves=4,
)
LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "format": "uri"},
            {"type": "string", "format": "date", "pattern": "^a"},
            {"type": "string", "pattern": "(?=a)"},
            {"type": "string", "minLength": 1, "maxLength": 2},
            {"type": "integer", "minimum": 0, "maximum": 2},
            {"type": ["string", "null"], "description": "A name."},
            {"type": ["integer", "boolean"]},
            {"type": "array"},
            {"type": "object"},
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "propertyNames": {"pattern": "^a"}},
            {"const": "a"},
            {"const": 1, "default": 1},
            {"enum": ["a", "b", None]},
            {},
        ]
    ),
    st.sampled_from(DEFINED).map(lambda name: {"$ref": f"#/$defs/{name}"}),
    st.just({"$ref": "#"}),
)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)},
        optional={
            "required": st.lists(NAMES, unique=True, max_size=3),
            "additionalProperties": st.sampled_from([False, True, {"type": "string"}]),
            "description": st.just("What it is."),
        },
    ).map(_whole)


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """Let many objects require all that they have, as strict mode wants it."""
    if "required" not in schema or len(schema["required"]) == 1:
        return {**schema, "required": sorted(schema["properties"])}
    return schema


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    branches = st.lists(inner, min_size=1, max_size=3)
    unions = st.sampled_from(["anyOf", "oneOf", "allOf"])
    return st.one_of(
        _objects(inner),
        inner.map(lambda items: {"type": "array", "items": items, "maxItems": 2}),
        st.builds(_union, st.just(_NOTHING), unions, branches),
        inner.map(_negation),
    )


_NOTHING: Schema = {}


def _union(own: Schema, keyword: str, branches: list[Schema]) -> Schema:
    return {**own, keyword: branches}


def _negation(schema: Schema) -> Schema:
    return {"not": schema}


def _closed(schema: Schema) -> Schema:
    return {**schema, "additionalProperties": False}


SCHEMAS = st.recursive(LEAVES, _composed, max_leaves=5)


@st.composite
def roots(draw: st.DrawFn) -> dict[str, Any]:
    """A whole schema: mostly one of an object, with definitions that may refer to each other and to themselves.

    The branches of a union at the top are closed: what an open one would allow under a name of another is not said.
    """
    objects = _objects(SCHEMAS)
    own = objects | st.just(_NOTHING)
    closed = st.lists(objects.map(_closed), min_size=1, max_size=3)
    unions = st.builds(_union, own, st.sampled_from(["anyOf", "oneOf"]), closed)
    both = st.builds(_union, own, st.just("allOf"), st.lists(objects | LEAVES, min_size=1, max_size=3))
    root = draw(st.one_of(objects, unions, both, LEAVES))
    whole = {**root, "$defs": {name: draw(SCHEMAS) for name in DEFINED}}
    assume(not any(_is_circular(node, whole, frozenset()) for node in schemas_in(whole)))
    return whole


def _is_circular(node: Any, root: dict[str, Any], passed: frozenset[int]) -> bool:
    """Tell whether a schema is defined by nothing but itself: no validator knows what it means."""
    if id(node) in passed:
        return True
    passed |= {id(node)}
    parts = [part for union in ("anyOf", "oneOf", "allOf") for part in node.get(union, [])]
    parts += [node["not"]] if "not" in node else []
    parts += [_referred(node, root)] if "$ref" in node else []
    return any(_is_circular(part, root, passed) for part in parts)


def _referred(node: dict[str, Any], root: dict[str, Any]) -> Any:
    name = node["$ref"].removeprefix("#/$defs/")
    return root if name == "#" else root["$defs"][name]


def _required(properties: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties), **more}


@st.composite
def closed_roots(draw: st.DrawFn) -> dict[str, Any]:
    """Schemas of objects that require all they name, and mostly hold nothing that strict mode would refuse."""
    more = st.sampled_from([{}, {}, {"additionalProperties": False}, {"additionalProperties": True}])
    leaves = st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "format": "uri"},
            {"type": ["integer", "null"], "minimum": 0},
            {"enum": ["a", 1]},
            {"const": "a"},
            {"$ref": "#/$defs/one"},
            {"$ref": "#"},
            {"type": "array", "items": {"$ref": "#/$defs/two"}, "maxItems": 1},
        ]
    )
    inner = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(_required, st.dictionaries(NAMES, inner, max_size=2), more),
            st.lists(inner, min_size=1, max_size=2).map(lambda branches: {"anyOf": branches}),
        ),
        max_leaves=3,
    )
    root = draw(st.builds(_required, st.dictionaries(NAMES, inner, min_size=1, max_size=3), more))
    whole = {**root, "$defs": {"one": draw(inner), "two": draw(leaves)}}
    assume(not any(_is_circular(node, whole, frozenset()) for node in schemas_in(whole)))
    return whole


def instances(schema: Any, root: dict[str, Any], room: int = 4) -> st.SearchStrategy[Any]:
    """Values that may fit, and of objects none with names that nobody has declared."""
    return _drawn(schema, root, room) if room and schema is not None else VALUES


@st.composite
def _drawn(draw: st.DrawFn, schema: dict[str, Any], root: dict[str, Any], room: int) -> Any:
    value: Any = dict[str, Any]()
    for part in _parts(draw, schema, root):
        drawn = draw(instances(part, root, room - 1))
        both = isinstance(value, dict) and isinstance(drawn, dict)
        value = cast("Any", {**value, **drawn} if both else drawn)
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "array":
        return draw(st.lists(instances(schema.get("items"), root, room - 1), max_size=2))
    if isinstance(value, dict):
        known = cast("Schema", value)  # the same object
        for name, inner in schema.get("properties", {}).items():
            if name in schema.get("required", []) or draw(st.booleans()):
                known[name] = draw(instances(inner, root, room - 1))
    return cast("Any", value) if kind == "object" or value else draw(VALUES)


def _parts(draw: st.DrawFn, schema: dict[str, Any], root: dict[str, Any]) -> list[Any]:
    """What a value has to fit beside the schema's own words: a reference, all of a list, one of another."""
    parts = list(schema.get("allOf", []))
    if "$ref" in schema:
        parts.append(_referred(schema, root))
    return parts + [draw(st.sampled_from(schema[union])) for union in ("anyOf", "oneOf") if union in schema]
