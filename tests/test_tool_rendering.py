"""Tools as OpenAI's models read them."""

from collections import UserList
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.messages import JsonObject
from assistant_kit.tool_rendering import MOST_NODES, rendered
from assistant_kit.tool_spec import ToolSpec
from tests.token_accounting.corpus import corpus
from tests.token_accounting.harmony import Renderer


def tool(parameters: JsonObject, description: str = "") -> ToolSpec:
    return ToolSpec(name="t", description=description, parameters=parameters)


def kind_of(schema: JsonObject, **root: JsonObject) -> str:
    """Return how the type of one property is written."""
    text = rendered(tool({"type": "object", "properties": {"p": schema}, "required": ["p"], **root}))
    return text.removeprefix("type t = (_: {\np: ").removesuffix(",\n}) => any")


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer(tmp_path_factory.mktemp("vocabulary"))


RICH: JsonObject = {
    "type": "object",
    "description": "All of it",
    "properties": {
        "unit": {"type": "string", "enum": ["c", "f"], "default": "c", "description": "The unit"},
        "days": {"title": "Days", "description": "How\nmany", "type": "integer", "default": 3},
        "place": {
            "type": "object",
            "description": "Where",
            "properties": {
                "name": {"type": ["string", "null"]},
                "points": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
            },
            "required": ["name"],
        },
        "choice": {"oneOf": [{"type": "string", "default": "a"}, {"type": "integer", "nullable": True}]},
        "told": {"default": {"a": "é"}, "description": "D", "oneOf": [{"type": "string"}, {"type": "boolean"}]},
        "named": {
            "oneOf": [{"type": "integer", "description": "a number"}, {"type": "string", "description": "a text"}]
        },
        "deep": {"oneOf": [{"oneOf": [{"type": "integer", "default": 3}, {"type": "string"}]}]},
        "seen": {"examples": ["one", 2, "two"], "type": "string", "nullable": True, "default": "x"},
        "unseen": {"examples": [], "type": "mystery"},
        "list": {"type": "array"},
        "lists": {"type": "array", "items": {"type": "string", "enum": ["l", "r"]}},
        "anything": {},
    },
    "required": ["days", "place"],
}


@pytest.mark.parametrize("description", ["", "One line.", "Two\r\nlines\n", "\n\nafter"])
def test_a_tool_is_written_as_openai_writes_it(renderer: Renderer, description: str) -> None:
    schemas: list[JsonObject] = [RICH, {"type": "object", "properties": {}}, {}]
    for parameters in schemas:
        one = tool(parameters, description)
        assert f"{rendered(one)};\n" == renderer.tool_text(one)


def test_the_tools_of_a_corpus_are_written_as_openai_writes_them_or_longer(renderer: Renderer) -> None:
    same = 0
    for request in corpus(12, seed=3):
        for one in request.tools:
            assert isinstance(one, ToolSpec)
            ours, theirs = f"{rendered(one)};\n", renderer.tool_text(one)
            same += ours == theirs
            assert len(ours) >= len(theirs) - theirs.count("number | any") * len("any")
    assert same > 10


NULL: JsonObject = {"type": "null"}
TEXT: JsonObject = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"anyOf": [TEXT, NULL]}, "string | null"),
        ({"allOf": [TEXT, {"type": "integer"}]}, "string & number"),
        ({"anyOf": []}, "any"),
        ({"const": "on"}, '"on"'),
        ({"type": "string", "const": "on"}, '"on"'),
        ({"enum": ["a", 2, None]}, '"a" | 2 | null'),
        ({"type": "integer", "enum": [1, 2]}, "1 | 2"),
        ({"type": ["string", "null"], "enum": ["a", "b"]}, '"a" | "b" | null'),
        ({"type": []}, "any"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "{\n    [key: string]: number,\n    }"),
        ({"type": "object", "additionalProperties": False}, "{\n    }"),
        ({"properties": {"a": TEXT}}, "{\n    a?: string,\n    }"),
        ({"type": "object", "properties": {"a": True}}, "{\n    a?: any,\n    }"),
        ({"type": "array", "items": {"$ref": "#/$defs/City"}}, '"Oslo" | "Rome"[]'),
        ({"$ref": "#/$defs/a~1b"}, "boolean"),
        ({"$ref": "#/$defs/Missing"}, "any"),
        ({"$ref": "#/$defs/City/type/deeper"}, "any"),
        ({"$ref": "https://example.com/schema"}, "any"),
        ({"$ref": "#/$defs/Tree"}, "{\n    more?: any[],\n    }"),
    ],
)
def test_what_openai_leaves_out_is_written_out(schema: JsonObject, written: str) -> None:
    definitions: JsonObject = {
        "City": {"type": "string", "enum": ["Oslo", "Rome"]},
        "a/b": {"type": "boolean"},
        "Tree": {"type": "object", "properties": {"more": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
    }
    assert kind_of(schema, **{"$defs": definitions}) == written


def test_definitions_that_unfold_without_end_are_cut() -> None:
    definitions: dict[str, JsonObject] = {
        f"d{n}": {"type": "array", "items": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 4}} for n in range(30)
    }
    text = rendered(tool({"type": "object", "properties": {"p": {"$ref": "#/$defs/d0"}}, "$defs": definitions}))
    assert len(text) < 20 * MOST_NODES


def test_a_schema_that_is_deeper_than_python_can_follow_is_cut() -> None:
    schema: JsonObject = {"type": "string"}
    for _ in range(5_000):
        schema = {"type": "object", "properties": {"p": schema}}
    assert "any" in rendered(tool(schema))
    for _ in range(5_000):
        schema = {"anyOf": [schema]}
    assert rendered(tool(schema))


def test_any_mapping_is_a_schema() -> None:
    default: JsonObject = {"type": "string", "default": ["a", {"b": 1}]}
    frozen_default = {"type": "string", "default": UserList(["a", MappingProxyType({"b": 1})])}
    frozen = MappingProxyType({"type": "object", "properties": MappingProxyType({"p": frozen_default})})
    assert rendered(tool(frozen)) == rendered(tool({"type": "object", "properties": {"p": default}}))


KEYWORDS = """
type properties items oneOf anyOf enum const default $ref description required examples title nullable
additionalProperties p
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS.split()), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_no_schema_makes_it_fail(schema: object) -> None:
    root: JsonObject = {"type": "object", "properties": {"p": schema}}  # pyright: ignore[reportAssignmentType]
    assert rendered(tool(root)).startswith("type t = (_: {")
