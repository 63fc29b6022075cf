"""Values are checked by somebody else's schema, whatever that one holds."""

import socket
from typing import Any

import pytest

from assistant_kit.errors import InvalidArguments
from assistant_kit.toolsets._schemas import SchemaCheck

DOUBLED = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(20)}


def places(schema: dict[str, Any], value: Any) -> list[str]:
    """Where something is wrong."""
    return [problem.partition(":")[0] for problem in SchemaCheck(schema).problems(value)]


@pytest.mark.parametrize(
    ("schema", "value", "wrong"),
    [
        ({"properties": {"n": {"type": "integer"}}}, {"n": 1}, []),
        ({"properties": {"n": {"type": "integer"}}}, {"n": "1"}, ["n"]),
        ({"properties": {"l": {"items": {"enum": ["a"]}}}}, {"l": ["a", "b"]}, ["l.1"]),
        ({"required": ["a"], "additionalProperties": False}, {"b": 1}, ["arguments", "arguments"]),
        ({"additionalProperties": {"type": "string"}}, {"b": 1, "c": "x"}, ["b"]),
        ({"additionalProperties": False}, [], []),
        ({"anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}]}, {"b": 1}, ["b"]),
        ({"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"minLength": 2}}}, {"a": "x"}, ["a"]),
        ({"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}, {"a": {"a": {"b": 1}}}, ["a.a"]),
        ({"maxProperties": 0}, {"a": 1}, ["arguments"]),
        ({"properties": {"a": {"items": {"type": "null"}}}}, {"a": [1] * 9}, ["a.0", "a.1", "a.2", "a.3", "a.4"]),
        ({"properties": {"a": {"pattern": "^a"}}}, {"a": "b"}, ["a"]),
        ({"properties": {"a": {"pattern": "^a"}}}, {"a": 3}, []),
        ({"patternProperties": {"^a": {"type": "null"}}}, {"a": 1, "b": 1}, ["a"]),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, {"a": 1, "b": 1}, ["arguments"]),
        ({"patternProperties": {"^a": False}}, [], []),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(schema: dict[str, Any], value: Any, wrong: list[str]) -> None:
    assert places(schema, value) == wrong


@pytest.mark.parametrize(
    ("schema", "value", "wrong"),
    [
        # what older drafts say
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": True},
            3,
            ["arguments"],
        ),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]}, [1], ["0"]),
        ({"dependencies": {"a": ["b"]}}, {"a": 1}, ["arguments"]),
        # what is malformed, and what is not beside it
        ({"type": "objekt", "properties": {"a": {"type": "int"}, "b": "text"}}, {"a": "x", "b": 1}, ["a"]),
        ({"required": True, "enum": [], "properties": 3}, {"a": 1}, []),
        ({"properties": {"a": {"pattern": "("}, "b": {"maxLength": "3"}}}, {"a": "x", "b": "long"}, []),
        # patterns that Rust does not know
        ({"properties": {"a": {"pattern": "(?=x)"}}}, {"a": "y"}, []),
        ({"patternProperties": {"(?=x)": {"type": "null"}}, "additionalProperties": False}, {"x": 1, "y": 1}, []),
        # what was evaluated elsewhere
        ({"properties": {"a": {}}, "unevaluatedProperties": False}, {"b": 1}, []),
        # circles
        ({"$ref": "#"}, {"a": 1}, []),
        ({"allOf": [{"$ref": "#"}], "properties": {"a": {"type": "null"}}}, {"a": 1}, []),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, {}, []),
        # more steps than atoms in a grain of sand
        ({"$ref": "#/$defs/d0", "$defs": {**DOUBLED, "d20": {}}}, {}, []),
    ],
)
def test_a_schema_that_cannot_be_used_checks_nothing_more_than_it_can(
    schema: dict[str, Any], value: Any, wrong: list[str]
) -> None:
    assert places(schema, value) == wrong


@pytest.mark.parametrize("draft", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_a_pattern_that_never_ends_in_other_engines_ends(draft: dict[str, str]) -> None:
    hostile = {**draft, "pattern": "^(a+)+$"}
    value = "a" * 40 + "!"
    assert places({"properties": {"a": hostile}}, {"a": value}) == ["a"]
    assert places({**draft, "properties": {"b": {"$ref": "#/$defs/a"}}, "$defs": {"a": hostile}}, {"b": value}) == ["b"]
    assert (
        places({"patternProperties": {"^(a+)+$": {"type": "null"}}, "unevaluatedProperties": False}, {value: 1}) == []
    )


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003  (the socket's own)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        schema = {"properties": {"a": {"$ref": url}, "b": {"$ref": f"{url}#/a"}, "c": {"type": "null"}}}
        assert places({**schema, "$schema": url, "$id": url}, {"a": 1, "b": 1, "c": 1}) == ["c"]
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_deep_schemas_and_deep_values_do_not_end_the_program() -> None:
    deep: Any = {"type": "null"}
    value: Any = 1
    for _ in range(500):
        deep = {"properties": {"a": deep}}
        value = {"a": value}
    assert places(deep, value) == []
    assert places({"properties": {"a": {"$ref": "#"}}, "type": "object"}, value) == []


def test_what_is_wrong_is_said_to_the_model_in_few_words() -> None:
    check = SchemaCheck({"properties": {"n": {"type": "integer"}}})
    with pytest.raises(InvalidArguments) as wrong:
        check.fitting({"n": "x" * 10_000})
    assert "n: " in str(wrong.value)
    assert len(str(wrong.value)) < 500
    assert check.fitting({"n": 3}) == {"n": 3}


OPTIONAL: dict[str, Any] = {
    "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}, "c": {"type": "array"}},
    "required": ["c"],
}


def test_an_optional_argument_that_may_not_be_null_was_not_given_when_it_is() -> None:
    check = SchemaCheck(OPTIONAL)
    assert check.fitting({"a": None, "b": None, "c": []}) == {"b": None, "c": []}
    assert check.fitting({"b": None, "c": []}) == {"b": None, "c": []}


@pytest.mark.parametrize("arguments", [{"a": None, "c": None}, {"a": None}, {"a": None, "b": 1, "c": []}])
def test_what_is_wrong_beside_a_null_is_still_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArguments):
        SchemaCheck(OPTIONAL).fitting(arguments)
