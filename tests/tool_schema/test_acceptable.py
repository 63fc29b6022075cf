import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from assistant_kit.tool_schema import minified
from assistant_kit.tool_schema.acceptable import Acceptable, acceptable
from assistant_kit.tool_schema.places import schemas_in
from tests.tool_schema.somebodys_schemas import closed_roots, instances, roots

TEXT = {"type": "string"}
SHORT = 30  # examples: many more were run once


def strict(schema: dict[str, Any]) -> bool:
    return acceptable(schema).strict


def allows(schema: Any, value: Any) -> bool:
    validator: Any = Draft202012Validator(schema)
    return validator.is_valid(value)


@settings(max_examples=SHORT)
@given(st.data())
def test_what_a_strict_schema_allows_the_original_allows(data: st.DataObject) -> None:
    original = data.draw(closed_roots() | roots())
    made = acceptable(original)
    if made.strict:
        value = data.draw(instances(made.schema, dict(made.schema)))
        assert allows(original, value) or not allows(made.schema, value)


@settings(max_examples=SHORT)
@given(st.data())
def test_what_the_original_allows_can_be_said(data: st.DataObject) -> None:
    original = data.draw(roots())
    value = data.draw(instances(original, original))
    made = acceptable(original)
    if isinstance(value, dict) and allows(original, value):
        assert allows(made.schema, value)


@settings(max_examples=SHORT)
@given(roots() | closed_roots())
def test_a_schema_is_made_of_what_the_api_takes(original: dict[str, Any]) -> None:
    made = acceptable(original)
    Draft202012Validator.check_schema(made.schema)
    assert made.schema["type"] == "object"
    assert isinstance(made.schema["properties"], dict)
    assert made.schema.keys().isdisjoint(("anyOf", "oneOf", "allOf", "not", "enum", "const", "$ref"))
    for node in schemas_in(dict(made.schema)):
        assert node.get("type") != "array" or "items" in node
    assert acceptable(minified(made.schema)).strict or not made.strict


junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.sampled_from(["object", "#", "#/x", "string"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "required",
                    "$ref",
                    "$defs",
                    "anyOf",
                    "allOf",
                    "enum",
                    "minimum",
                    "pattern",
                ]
            )
            | st.text(max_size=2),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=SHORT)
@given(st.dictionaries(st.sampled_from(["type", "properties", "items", "$ref", "$defs", "oneOf", "not"]), junk))
def test_nonsense_becomes_a_schema_that_can_be_read(original: dict[str, Any]) -> None:
    made = acceptable(original)
    Draft202012Validator.check_schema(made.schema)
    assert made.schema["type"] == "object"
    json.dumps(made.schema, allow_nan=False).encode()


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": TEXT}, "required": ["a"]},
        {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "additionalProperties": False},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"anyOf": [TEXT, {"type": "null"}]}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "array", "items": TEXT}}, "required": ["a"], "$schema": "x"},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"], "$defs": {"a": TEXT}},
        {"type": "object", "properties": {"a": {**TEXT, "$comment": "x"}}, "required": ["a"]},
    ],
)
def test_strict_is_what_loses_nothing(schema: dict[str, Any]) -> None:
    assert strict(schema)
    assert acceptable(schema).schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": TEXT}},
        {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": True},
        {"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"additionalProperties": False}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {**TEXT, "minLength": 1}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {**TEXT, "pattern": "(?!x)"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"oneOf": [TEXT, {"type": "null"}]}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"description": "anything"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": True}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"items": True}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]},
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "required": ["a"],
            "$defs": {"a": {"$ref": "#/$defs/a"}},
        },
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "required": ["a"],
            "$defs": {"a": {"anyOf": [TEXT, {"$ref": "#/$defs/a"}]}},
        },
        {"type": "object", "properties": {"a": {"enum": list(range(1001))}}, "required": ["a"]},
        {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "anyOf": [{"required": ["a"]}]},
        {"type": ["object", "null"], "properties": {"a": TEXT}, "required": ["a"]},
    ],
)
def test_what_strict_mode_refuses_or_changes_is_not_strict(schema: dict[str, Any]) -> None:
    assert not strict(schema)


def test_a_schema_that_is_nested_too_deeply_for_strict_mode_is_not_strict() -> None:
    schema: dict[str, Any] = TEXT
    for _ in range(11):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    assert strict(schema["properties"]["a"])
    assert not strict(schema)


def test_formats_that_strict_mode_refuses_are_said_in_words() -> None:
    fields = {"a": {**TEXT, "format": "uri"}, "b": {**TEXT, "format": "x", "description": "B."}}
    made = acceptable({"type": "object", "properties": fields, "required": ["a", "b"]})
    assert made.strict
    assert made.schema["properties"] == {
        "a": {**TEXT, "description": "(format: uri)"},
        "b": {**TEXT, "description": "B. (format: x)"},
    }
    assert acceptable({"type": "object", "properties": fields}).schema["properties"] == fields


def test_a_union_at_the_top_becomes_one_object_and_words() -> None:
    schema = {
        "description": "Where to look.",
        "properties": {"day": TEXT},
        "additionalProperties": False,
        "oneOf": [
            {"properties": {"city": TEXT, "day": {"type": "integer"}}, "required": ["city"]},
            {"$ref": "#/$defs/point"},
        ],
        "$defs": {"point": {"properties": {"lat": {"type": "number"}, "city": TEXT}, "required": ["lat", "city"]}},
    }
    made = acceptable(schema)
    assert not made.strict
    assert made.schema["properties"] == {
        "city": TEXT,
        "day": {"allOf": [{"type": "integer"}, TEXT]},
        "lat": {"type": "number"},
    }
    assert made.schema["required"] == ["city"]
    assert "additionalProperties" not in made.schema
    assert made.schema["description"] == (
        "Where to look.\nThe arguments have to fit exactly one of these sets ('?': may be left out): "
        "city, day? | lat, city."
    )


def test_conditions_at_the_top_are_said_in_words_or_left_to_the_check() -> None:
    condition = {"if": {"required": ["a"]}, "then": {"required": ["b"]}}
    made = acceptable({"not": {"required": ["x"]}, "allOf": [condition, {"properties": {"a": TEXT}}]})
    assert made.schema["description"] == ('The arguments also have to fit this schema: {"not": {"required": ["x"]}}')
    assert made.schema["if"] == {"required": ["a"]}
    both = acceptable({"allOf": [condition, condition]})
    assert both.schema.keys().isdisjoint(("if", "then"))
    assert acceptable({"anyOf": [{}, {"not": {}}]}) == Acceptable(
        schema={"type": "object", "properties": {}}, strict=False
    )


def test_what_is_closed_in_one_part_of_a_whole_is_open_for_the_others() -> None:
    closed = {"properties": {"a": {"type": "string"}}, "additionalProperties": False}
    made: Any = acceptable({"allOf": [closed, {"properties": {"b": {}}}]}).schema
    assert {*made["properties"]} == {"a", "b"}
    assert "additionalProperties" not in made


def test_references_to_anywhere_in_the_document_become_definitions_and_those_to_elsewhere_are_open() -> None:
    made = acceptable(
        {
            "type": "object",
            "properties": {
                "a": {"$ref": "#/properties/b"},
                "b": {"type": "object", "properties": {"more": {"$ref": "#/properties/b"}}},
                "c": {"$ref": "https://tools.example/c.json", "description": "C."},
                "d": {"$ref": "#/properties/z/0"},
                "e": {"anyOf": [TEXT, {"type": "null"}]},
                "f": {"$ref": "#/properties/e/anyOf/0"},
                "g": {"$ref": "#/properties/e/anyOf/2"},
                "h": {"$ref": "#named"},
                "i": {"$ref": "#/properties/b"},
            },
            "$defs": {"properties_e_anyOf_0": {"type": "integer"}},
        }
    )
    again = {"type": "object", "properties": {"more": {"$ref": "#/$defs/properties_b"}}}
    assert made.schema["properties"] == {
        "a": {"$ref": "#/$defs/properties_b"},
        "b": again,
        "c": {"description": "C."},
        "d": {},
        "e": {"anyOf": [TEXT, {"type": "null"}]},
        "f": {"$ref": "#/$defs/properties_e_anyOf_0_"},
        "g": {},
        "h": {},
        "i": {"$ref": "#/$defs/properties_b"},
    }
    assert made.schema["$defs"] == {
        "properties_e_anyOf_0": {"type": "integer"},
        "properties_b": again,
        "properties_e_anyOf_0_": TEXT,
    }


def test_references_beside_names_for_places_are_not_followed() -> None:
    inner = {"$id": "inner", "$anchor": "x", "properties": {"b": {"$ref": "#/$defs/a"}}}
    made = acceptable({"type": "object", "properties": {"a": inner}, "$defs": {"a": TEXT}})
    assert made.schema["properties"] == {"a": {"properties": {"b": {}}}}


def test_definitions_that_double_each_other_end() -> None:
    doubled = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    made = acceptable({"$ref": "#/$defs/d0", "$defs": {**doubled, "d40": {}}})
    assert made.schema["properties"] == {}


def test_a_schema_that_is_too_deep_to_be_read_is_open_below() -> None:
    deep: dict[str, Any] = TEXT
    for _ in range(100_000):
        deep = {"items": deep}
    made = acceptable({"type": "object", "properties": {"a": deep, "b": TEXT}})
    properties = made.schema["properties"]
    assert isinstance(properties, dict)
    assert properties["b"] == TEXT
    assert len(json.dumps(made.schema)) < 10_000
