from math import inf
from typing import Any

import pytest

from assistant_kit.tool_schema.mended import cut, mended

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "int"}, {"type": "integer"}),
    ({"type": ["String", "NULL"]}, {"type": ["string", "null"]}),
    ({"type": ["str", "text"]}, {"type": "string"}),
    ({"type": "any"}, {}),
    ({"type": ["string", "thing"]}, {}),
    ({"type": []}, {}),
    ({"type": [3]}, {}),
    ({"type": "list"}, {"type": "array", "items": {}}),
    ({"items": [{"type": "str"}, True]}, {"prefixItems": [{"type": "string"}, {}]}),
    ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": {"not": {}}}),
    (
        {"dependencies": {"a": ["b"], "b": {"type": "int"}}},
        {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"type": "integer"}}},
    ),
    ({"dependencies": ["a"], "dependentRequired": {"a": "b"}}, {}),
    ({"items": True}, {"items": {}}),
    ({"minimum": 3, "exclusiveMinimum": True}, {"exclusiveMinimum": 3}),
    ({"maximum": 3, "exclusiveMaximum": False}, {"maximum": 3}),
    ({"exclusiveMinimum": True}, {}),
    ({"minimum": "3", "maxLength": -1, "minItems": 1.5, "multipleOf": 0}, {}),
    ({"multipleOf": 0.5, "maxLength": 1}, {"multipleOf": 0.5, "maxLength": 1}),
    ({"required": True, "uniqueItems": "yes", "description": 3}, {}),
    ({"required": ["a", 1]}, {}),
    ({"enum": []}, {}),
    ({"enum": "ab"}, {}),
    ({"pattern": "("}, {}),
    ({"pattern": 3}, {}),
    ({"patternProperties": {"(": {}}}, {}),
    ({"patternProperties": {"^a": True}}, {"patternProperties": {"^a": {}}}),
    ({"properties": ["a"]}, {}),
    ({"properties": {"a": True, "b": False, "c": "text"}}, {"properties": {"a": {}, "b": {"not": {}}}}),
    ({"anyOf": []}, {}),
    ({"anyOf": {}}, {}),
    ({"anyOf": [True, "x", {"type": "float"}]}, {"anyOf": [{}, {"type": "number"}]}),
    ({"anyOf": ["x"]}, {}),
    ({"additionalProperties": "no"}, {}),
    ({"nobody": ["knows", {"type": "int"}]}, {"nobody": ["knows", {"type": "int"}]}),
    ({"default": {"type": "int"}}, {"default": {"type": "int"}}),
]


@pytest.mark.parametrize(("written", "meant"), CASES)
def test_what_has_no_meaning_is_left_out_and_what_is_meant_is_written_properly(
    written: dict[str, Any], meant: dict[str, Any]
) -> None:
    assert mended(written) == meant


def test_what_has_no_form_in_json_is_replaced() -> None:
    assert cut({"\udc00": ("\udc00", inf, 1.5, None)}, 3) == {"?": ["?", None, 1.5, None]}
