"""A minified schema allows the same values as before, keeps its descriptions, and is never longer."""

import json
from enum import Enum
from importlib import import_module
from typing import Annotated, Any, Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from assistant_kit import tool
from assistant_kit.messages import JsonObject
from assistant_kit.output_type import output_type
from assistant_kit.tool_schema import minified, minified_tool
from assistant_kit.tool_spec import ToolSpec
from tests.tool_selectors.mcp_schemas import SCHEMAS

Schema: TypeAlias = dict[str, Any]
Schemas: TypeAlias = st.SearchStrategy[Any]
jsonschema: Any = import_module("jsonschema")
LIMIT = 64
NAMES = st.sampled_from(["a", "b", "title", "default", "$ref"])
REFERENCES = [f"#/$defs/{name}" for name in "ABC"]
DATA: Schemas = st.recursive(
    st.sampled_from([None, True, False, 0, 1, -1, 2.5, "", "a", "b", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OPEN: Schema = {}
ANNOTATIONS: Schemas = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["A", "B", "Title", "Something else", ""]),
        "description": st.sampled_from(["", "One.", "A long sentence that is wrapped because it is long,\n  so."]),
        "default": DATA,
        "examples": st.lists(DATA, max_size=2),
        "$comment": st.just("no comment"),
    },
)


def size(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def allows(schema: object, value: object) -> bool:
    """Ask the validator of the draft that the schema names, the newest one by default."""
    return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema).is_valid(value)


def keywords(inner: Schemas) -> Schemas:
    """Any keywords together, those for other types as well."""
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["string", "integer", "number", "array", "object", "null", ["string", "null"]]),
            "enum": st.lists(DATA, min_size=1, max_size=3),
            "const": DATA,
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": st.sampled_from([True, False, OPEN]) | inner,
            "items": inner,
            "minimum": st.integers(0, 2),
            "minLength": st.integers(0, 2),
            "minItems": st.integers(0, 2),
            "minProperties": st.integers(0, 1),
            "uniqueItems": st.booleans(),
            "anyOf": st.lists(inner | st.just({"type": "null"}), min_size=1, max_size=3),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    )


def nullable_of(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def with_notes(schema: Schema, notes: Schema) -> Schema:
    return {**schema, **notes}


def reference(name: str, notes: Schema) -> Schema:
    return {"$ref": name, **notes}


def whole(root: Schema, definitions: Schema) -> Schema:
    return {**root, "$defs": definitions}


def typed(inner: Schemas) -> Schemas:
    """Schemas as people write them: a type, and what belongs to it."""
    objects: Schemas = st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)},
        optional={"required": st.lists(NAMES, max_size=2, unique=True), "additionalProperties": st.booleans()},
    )
    arrays: Schemas = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 1)}
    )
    nullable: Schemas = st.builds(nullable_of, inner)
    return objects | arrays | nullable


def nested(inner: Schemas) -> Schemas:
    return st.builds(with_notes, typed(inner) | keywords(inner), ANNOTATIONS)


LEAVES: Schemas = (
    st.sampled_from(["string", "integer", "number", "boolean"]).map(lambda name: {"type": name})
    | st.builds(reference, st.sampled_from(REFERENCES), ANNOTATIONS)
    | st.just({"type": "string", "enum": ["a", "b"]})
    | st.just({"type": "string", "const": "a"})
)
INNER: Schemas = st.recursive(LEAVES, nested, max_leaves=8)
ROOTS: Schemas = st.builds(
    whole,
    nested(INNER),
    st.fixed_dictionaries(dict.fromkeys("ABC", INNER)),
)


def referred(node: dict[str, Any]) -> set[str]:
    """Return the definitions that bear on the very value which this schema is about."""
    inside = [inner for key in ("anyOf", "oneOf", "allOf") for inner in node.get(key, ())]
    inside += [node["not"]] if "not" in node else []
    return set(node.get("$ref", "")[-1:]).union(*(referred(inner) for inner in inside))


def is_readable(schema: dict[str, Any]) -> bool:
    """Tell whether no definition is defined as itself, which no validator can read."""
    left = {name: referred(inner) for name, inner in schema["$defs"].items()}
    while free := [name for name, others in left.items() if others.isdisjoint(left)]:
        for name in free:
            del left[name]
    return not left


@settings(max_examples=60)
@given(schema=ROOTS.filter(is_readable), values=st.lists(DATA, min_size=1, max_size=8))
def test_the_same_values_are_valid_before_and_after(schema: JsonObject, values: list[Any]) -> None:
    shorter = minified(schema)
    assert [allows(shorter, value) for value in values] == [allows(schema, value) for value in values]


@settings(max_examples=60)
@given(ROOTS)
def test_a_minified_schema_is_not_longer_and_minifying_it_again_changes_nothing(schema: JsonObject) -> None:
    shorter = minified(schema)
    assert size(shorter) <= size(schema)
    assert minified(shorter) == shorter


WORDS = """
    a $defs definitions properties required type enum const anyOf oneOf allOf items $ref default title description
    discriminator propertyName $schema additionalProperties not
"""
KEYWORDS = WORDS.split()
JUNK: Schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["#", "#/$defs/a", "null"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["$defs", "properties", "anyOf", "allOf", "$ref", "title"]), JUNK, max_size=4))
def test_what_is_no_schema_is_taken_as_it_comes(schema: dict[str, Any]) -> None:
    assert minified(minified(schema)) == minified(schema)


class Unit(Enum):
    """A unit of temperature."""

    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Address(BaseModel):
    """Where post goes."""

    street: str | None = None
    city: str = Field(description="The city.")


class Tree(BaseModel):
    value: int
    children: "list[Tree]"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: str


class Order(BaseModel):
    """An order."""

    unit: Unit = Field(Unit.CELSIUS, description="In which unit to answer.")
    home: Address = Field(description="The customer's home.")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    size: Literal["small", "large"] | None = None
    count: Annotated[int, Field(ge=1)] | None = Field(None, description="How many.")
    tag: str | int | list[str] = "none"


def test_a_pydantic_model_keeps_what_it_says_and_loses_the_rest() -> None:
    assert minified(Order.model_json_schema()) == {
        "type": "object",
        "description": "An order.",
        "properties": {
            "unit": {
                "type": "string",
                "enum": ["celsius", "fahrenheit"],
                "default": "celsius",
                "description": "In which unit to answer.\nA unit of temperature.",
            },
            "home": {
                "type": "object",
                "description": "The customer's home.\nWhere post goes.",
                "properties": {
                    "street": {"type": ["string", "null"]},
                    "city": {"type": "string", "description": "The city."},
                },
                "required": ["city"],
            },
            "pet": {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"kind": {"type": "string", "const": "cat"}, "lives": {"type": "integer"}},
                        "required": ["kind", "lives"],
                    },
                    {
                        "type": "object",
                        "properties": {"kind": {"type": "string", "const": "dog"}, "owner": {"type": "string"}},
                        "required": ["kind", "owner"],
                    },
                ]
            },
            "size": {"type": ["string", "null"], "enum": ["small", "large", None]},
            "count": {"type": ["integer", "null"], "minimum": 1, "description": "How many."},
            "tag": {"type": ["string", "integer", "array"], "items": {"type": "string"}, "default": "none"},
        },
        "required": ["home", "pet"],
    }


def test_a_definition_that_is_defined_by_itself_stays() -> None:
    shorter = minified(Tree.model_json_schema())
    assert shorter == {
        "$ref": "#/$defs/Tree",
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                },
                "required": ["value", "children"],
            }
        },
    }


def test_a_short_definition_that_is_defined_by_itself_stays_too() -> None:
    itself: Schema = {"A": {"items": {"$ref": "#/$defs/A"}}}
    by_another: Schema = {"A": {"items": {"$ref": "#/$defs/B"}}, "B": {"not": {"$ref": "#/$defs/A"}}}
    for definitions in (itself, by_another):
        schema: Schema = {"items": {"$ref": "#/$defs/A"}, "$defs": definitions}
        assert minified(schema) == schema


def test_keywords_go_only_with_the_value_that_says_nothing() -> None:
    values: dict[str, tuple[Any, Any]] = {
        "minLength": (0, 1),
        "minItems": (0, 1),
        "minProperties": (0, 1),
        "uniqueItems": (False, True),
        "additionalProperties": (True, False),
        "required": ([], ["a"]),
    }
    for keyword, (idle, busy) in values.items():
        assert minified({"type": "object", keyword: idle}) == {"type": "object"}
        assert minified({"type": "object", keyword: busy}) == {"type": "object", keyword: busy}


def test_a_union_that_gets_shorter_makes_its_definition_short_enough() -> None:
    name = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    schema = {"$defs": {"N": name}, "properties": {"a": {"$ref": "#/$defs/N"}, "b": {"$ref": "#/$defs/N"}}}
    assert minified(schema) == {"properties": {"a": {"type": ["string", "null"]}, "b": {"type": ["string", "null"]}}}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(
            {"properties": {"a": {"anyOf": [{"type": "string"}]}, "b": {"$ref": "#/properties/a/anyOf/0"}}},
            id="a reference to another place than a definition",
        ),
        pytest.param(
            {"$defs": {"A": {"$id": "https://x.example/a", "type": "string"}}, "$ref": "#/$defs/A"},
            id="a schema with a name of its own",
        ),
        pytest.param({"$ref": "#/$defs/A/B", "$defs": {"A": {"type": "string"}}}, id="a path into a definition"),
        pytest.param(
            {"additionalProperties": True, "unevaluatedProperties": False}, id="a keyword that another one depends on"
        ),
        pytest.param(
            {
                "oneOf": [{"$ref": "#/$defs/A"}, True],
                "discriminator": {"propertyName": "kind", "mapping": {"a": "#/$defs/A"}},
                "$defs": {"A": {"type": "object"}},
            },
            id="branches that only the discriminator tells apart",
        ),
        pytest.param(
            {"oneOf": [{"$ref": "#/$defs/A"}], "discriminator": {"mapping": {}}, "$defs": {"A": True}},
            id="a discriminator that names no property",
        ),
        pytest.param(
            {
                "oneOf": [{"$ref": "#/$defs/A"}],
                "discriminator": {"propertyName": "kind"},
                "$defs": {"A": True},
            },
            id="a discriminator of branches that allow anything",
        ),
        pytest.param(
            {"oneOf": [{"$ref": "#/$defs/A"}], "discriminator": {"propertyName": 1}, "$defs": {"A": {}}},
            id="a discriminator that is none",
        ),
        pytest.param(
            {"oneOf": [True, {"type": "null"}], "discriminator": {"propertyName": "kind"}},
            id="a branch that allows anything, and a discriminator",
        ),
        pytest.param({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, id="strict"),
        pytest.param({"properties": {"a": {"title": "What it is for"}, "b": True}}, id="a title with words"),
        pytest.param({"title": "How to call it", "type": "object"}, id="a title of the whole with words"),
        pytest.param({"properties": {"a": {"default": None}}, "required": ["a"]}, id="null as a default that is sent"),
        pytest.param(
            {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}, id="an older draft"
        ),
        pytest.param(
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$ref": "#/definitions/A",
                "type": "object",
                "definitions": {"A": {"minProperties": 1}},
            },
            id="an older draft in which a reference stands alone",
        ),
        pytest.param(
            {"anyOf": [{"type": "string", "minimum": 1}, {"type": "integer"}]}, id="a keyword that bears on two types"
        ),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "number", "minimum": 1}]}, id="types that overlap"),
        pytest.param({"anyOf": [{"const": 1}, {"type": "null"}]}, id="a branch without a type"),
        pytest.param({"anyOf": [{"type": "string", "x": 1}, {"type": "null"}]}, id="a keyword that nobody knows"),
        pytest.param({"anyOf": [{"type": "string", "enum": "a"}, {"type": "null"}]}, id="an enum that is none"),
        pytest.param({"anyOf": [True, {"type": "null"}]}, id="a branch that allows anything"),
        pytest.param({"anyOf": [{"title": "A title", "type": "string"}], "title": "Another one"}, id="two titles"),
        pytest.param({"anyOf": [{"$ref": "#"}], "description": "Once more."}, id="a reference with a description"),
    ],
)
def test_what_cannot_be_said_shorter_stays_as_it_is(schema: JsonObject) -> None:
    assert minified(schema) == schema


def test_the_name_of_the_draft_goes_when_the_newest_one_reads_it_alike() -> None:
    for draft in ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"):
        assert minified({"$schema": draft, "type": "object", "properties": {}}) == {"type": "object", "properties": {}}


def test_a_definition_used_twice_goes_when_it_is_shorter_than_its_references() -> None:
    uses = {"a": {"$ref": "#/$defs/Name"}, "b": {"$ref": "#/$defs/Name"}}
    short = {"$defs": {"Name": {"type": "string"}}, "properties": uses}
    assert minified(short) == {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    long = {"$defs": {"Name": {"type": "string", "description": "A name " * 9 + "."}}, "properties": uses}
    assert minified(long) == long


def test_definitions_that_nothing_leads_to_go() -> None:
    other = {"A": True, "B": {"$ref": "#/$defs/C"}, "C": {"$ref": "#/$defs/B"}}
    schema: Schema = {"$defs": other, "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": "integer"}}}
    assert minified(schema) == {**schema, "$defs": {"A": True}}


def test_one_of_two_descriptions_is_enough_when_it_holds_the_other() -> None:
    for outer, inner in (("The city to go to.", "The city"), ("The city", "The city to go to.")):
        schema = {"anyOf": [{"type": "string", "description": inner}], "description": outer}
        assert minified(schema) == {"type": "string", "description": "The city to go to."}


def test_a_union_of_types_is_a_list_of_types() -> None:
    assert minified({"anyOf": [{"type": "string"}, {"type": ["integer", "null"]}, {"type": "null"}]}) == {
        "anyOf": [{"type": "string"}, {"type": ["integer", "null"]}, {"type": "null"}]
    }
    assert minified({"anyOf": [{"type": ["integer", "null"], "enum": [1, None]}, {"type": "null"}]}) == {
        "type": ["integer", "null"],
        "enum": [1, None],
    }
    assert minified({"anyOf": [{"type": "string", "const": "a"}, {"type": "null"}]}) == {
        "type": ["string", "null"],
        "enum": ["a", None],
    }


def test_names_of_definitions_may_be_written_in_any_way_that_references_know() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/definitions/Page%5Bint%5D"}, "b": {"$ref": "#/definitions/a~1b"}},
        "definitions": {"Page[int]": {"type": "integer"}, "a/b": {"type": "string"}},
    }
    assert minified(schema) == {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}


def chain(length: int) -> dict[str, Any]:
    """Definitions of three levels that refer each to the next one."""
    definitions = {
        f"D{index}": {"items": {"items": {"items": {"$ref": f"#/$defs/D{index + 1}"}}}} for index in range(length)
    }
    return {"items": {"$ref": "#/$defs/D0"}, "$defs": {**definitions, f"D{length}": {"type": "string"}}}


def inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []  # type: ignore[reportUnknownVariableType]


def depth(value: Any) -> int:
    return 1 + max(map(depth, inside(value)), default=0)


def test_definitions_are_put_in_place_only_while_the_schema_stays_shallow() -> None:
    schema = chain(34)
    shorter = minified(schema)
    assert 0 < len(shorter["$defs"]) < len(schema["$defs"])  # type: ignore[arg-type]
    assert depth(shorter) <= LIMIT + 1
    values = [json.loads("[" * levels + "1" + "]" * levels) for levels in (1, 102, 103, 104, 105)]
    assert [allows(shorter, value) for value in values] == [allows(schema, value) for value in values]


def test_a_schema_that_is_nested_too_deeply_is_left_alone() -> None:
    deep: Schema = {"type": "string"}
    for _ in range(10_000):
        deep = {"items": deep}
    assert minified(deep) is deep


def test_descriptions_lose_the_white_space_of_their_source() -> None:
    docstring = """Book a train that goes through the mountains and
        along the sea, with  a seat.

        Kinds:
          - fast ones
          - slow ones that stop at every single station
        day: the day on which it leaves
        """
    schema = minified(
        {"description": docstring, "properties": {"a": {"description": "  Use `a  b`\n    for both,\n    please."}}}
    )
    assert schema["description"] == (
        "Book a train that goes through the mountains and along the sea, with a seat.\n\n"
        "Kinds:\n  - fast ones\n  - slow ones that stop at every single station\nday: the day on which it leaves"
    )
    assert schema["properties"] == {"a": {"description": "Use `a  b`\nfor both,\nplease."}}


def test_a_line_that_was_ended_early_was_ended_on_purpose() -> None:
    assert minified({"description": "From here\nto there."}) == {"description": "From here\nto there."}


def test_the_schema_that_is_given_is_not_changed() -> None:
    schema = Order.model_json_schema()
    before = json.dumps(schema)
    minified(schema)
    assert json.dumps(schema) == before


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    unit: Unit
    address: "StrictAddress | None"
    note: str | None = Field(description="A note.")


class StrictAddress(BaseModel):
    model_config = ConfigDict(extra="forbid")

    street: str | None


def objects_of(value: Any) -> list[Schema]:
    """Return every object schema in a schema."""
    own = [value] if isinstance(value, dict) and "object" in (value.get("type") or ()) else []  # type: ignore[reportUnknownMemberType]
    return [*own, *(found for inner in inside(value) for found in objects_of(inner))]


def test_a_schema_for_strict_mode_stays_one() -> None:
    schema = output_type(Strict).schema
    assert schema.strict
    shorter = minified(schema.schema)
    assert "$defs" not in shorter
    found = objects_of(shorter)
    assert len(found) == 2
    for inner in found:
        assert inner["additionalProperties"] is False
        assert inner["required"] == list(inner["properties"])


def test_a_tool_says_once_what_its_description_says() -> None:
    @tool(effect="read")
    def order(item: str, size: Literal["small", "large"] | None = None, count: int | None = None) -> str:
        """Order something."""
        return item * (count or 1) + str(size)

    spec = order.spec
    shorter = minified_tool(spec)
    assert (shorter.name, shorter.effect, shorter.origin) == (spec.name, spec.effect, spec.origin)
    assert shorter.parameters == {
        "type": "object",
        "properties": {
            "item": {"type": "string"},
            "size": {"type": ["string", "null"], "enum": ["small", "large", None]},
            "count": {"type": ["integer", "null"]},
        },
        "required": ["item"],
        "additionalProperties": False,
    }
    assert minified_tool(shorter) is shorter
    said_twice = ToolSpec(name="x", description="Say it.", parameters={"type": "object", "description": " Say it. "})
    assert minified_tool(said_twice).parameters == {"type": "object"}


def test_schemas_of_mcp_servers_get_shorter_and_mean_the_same() -> None:
    for schema in SCHEMAS.values():
        shorter = minified(schema)
        assert size(shorter) < size(schema)
        assert minified(shorter) == shorter
