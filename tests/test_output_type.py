"""An output type tells the model what to write, and reads it back as a value of that type."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from assistant_kit.errors import ConfigurationError, OutputInvalid
from assistant_kit.output_type import output_type
from assistant_kit.protocols.output import Output


class City(BaseModel):
    name: str
    people: int


class Loose(BaseModel):
    name: str = "Oslo"


class Tree(BaseModel):
    value: int
    children: "list[Tree]"


@dataclass
class Point:
    x: int
    y: float


class Named(TypedDict):
    name: str


class Unreadable:
    """A class that pydantic knows nothing of."""


class Color(Enum):
    RED = "red"


class Dated(BaseModel):
    model_config = ConfigDict(strict=True)

    on: date


class Default(BaseModel):
    default: int
    properties: dict[str, int]


def strict(kind: Any) -> bool:
    return output_type(kind).schema.strict


ROUND_TRIPS: list[tuple[Any, str, Any]] = [
    (City, '{"name": "Oslo", "people": 700000}', City(name="Oslo", people=700_000)),
    (Point, '{"x": 1, "y": 2}', Point(1, 2.0)),
    (Named, '{"name": "Oslo"}', {"name": "Oslo"}),
    (int, '{"value": 3}', 3),
    (list[int], '{"value": [1, 2]}', [1, 2]),
    (Literal["yes", "no"], '{"value": "yes"}', "yes"),
    (City | Point, '{"value": {"x": 1, "y": 2}}', Point(1, 2.0)),
    (City | None, '{"value": null}', None),
    (Color, '{"value": "red"}', Color.RED),
    (Tree, '{"value": {"value": 1, "children": [{"value": 2, "children": []}]}}', None),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (list[Dated], '{"value": [{"on": "2026-11-22"}]}', [Dated(on=date(2026, 11, 22))]),
]


@pytest.mark.parametrize(("kind", "text", "value"), ROUND_TRIPS)
def test_an_answer_becomes_a_value_and_its_schema_is_an_object(kind: Any, text: str, value: Any) -> None:
    made: Output[Any] = output_type(kind)
    assert made.schema.schema["type"] == "object"
    assert made.schema.name.isidentifier()
    assert made.parse(text) == (value or made.parse(text))


def test_a_type_that_refers_to_itself_is_read_whole() -> None:
    tree = output_type(Tree).parse('{"value": {"value": 1, "children": [{"value": 2, "children": []}]}}')
    assert tree == Tree(value=1, children=[Tree(value=2, children=[])])
    assert strict(Tree)


def test_what_is_no_object_is_wrapped_in_one_with_its_definitions_outside() -> None:
    schema = output_type(list[City]).schema.schema
    assert schema == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/City"}}},
        "required": ["value"],
        "additionalProperties": False,
        "$defs": {
            "City": {
                "title": "City",
                "type": "object",
                "properties": {
                    "name": {"title": "Name", "type": "string"},
                    "people": {"title": "People", "type": "integer"},
                },
                "required": ["name", "people"],
                "additionalProperties": False,
            }
        },
    }


@pytest.mark.parametrize(
    ("kind", "text", "named"),
    [
        (City, '{"name": "Oslo", "people": "many"}', "people: "),
        (City, '{"name": "Oslo"}', "people: Field required"),
        (City, "Oslo has 700000.", "answer: "),
        (City, "", "answer: "),
        (City, '{"name": "\ud800"}', "answer: "),
        (list[int], '{"value": [1, "x"]}', "1: "),
        (list[int], "[1, 2]", "object"),
        (list[int], '{"values": [1]}', "object"),
        (list[int], "one, two", "not JSON"),
        (list[int], '{"value": "\ud800"}', "not JSON"),
        (list[int], "[" * 10_000, "not JSON"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error_with_its_text_and_the_place(kind: Any, text: str, named: str) -> None:
    with pytest.raises(OutputInvalid) as caught:
        output_type(kind).parse(text)
    assert caught.value.text == text
    assert named in caught.value.problems
    assert "http" not in caught.value.problems


@given(st.text())
def test_no_text_is_too_odd_to_be_read_or_refused(text: str) -> None:
    kinds: tuple[Any, ...] = (City, list[int])
    for kind in kinds:
        with suppress(OutputInvalid):
            output_type(kind).parse(text)


def test_a_rule_of_the_application_is_part_of_what_fits() -> None:
    class Even(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def even(cls, number: int) -> int:
            if number % 2:
                message = "an even number"
                raise ValueError(message)
            return number

    with pytest.raises(OutputInvalid) as caught:
        output_type(Even).parse('{"number": 3}')
    assert "number: " in caught.value.problems
    assert "an even number" in caught.value.problems


class Several(BaseModel):
    """Everything that strict mode knows."""

    at: date
    ways: list[Literal["up", "down"]] = Field(min_length=1, max_length=3)
    count: Annotated[int, Field(ge=1, le=9)]
    maybe: City | None
    code: str = Field(pattern="^[a-z]+$")
    one: Literal["one"]


@pytest.mark.parametrize("kind", [City, Point, Named, int, list[City], Several, City | None, City | Point, Color])
def test_strict_mode_is_used_for_what_it_takes_without_loss(kind: Any) -> None:
    assert strict(kind)


class Described(BaseModel):
    city: City = Field(description="a description beside a reference")


class Length(BaseModel):
    name: str = Field(max_length=3)


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


@pytest.mark.parametrize(
    "kind",
    [
        Loose,
        dict[str, int],
        tuple[int, str],
        Any,
        list[Any],
        Length,
        Default,
        Extra,
        Described,
        bytes,
        Annotated[Cat | Dog, Field(discriminator="kind")],
    ],
)
def test_strict_mode_is_left_alone_for_what_it_would_refuse_or_change(kind: Any) -> None:
    assert not strict(kind)


def test_properties_may_be_called_like_keywords() -> None:
    class Keywords(BaseModel):
        default: int
        oneOf: str  # noqa: N815  (a keyword of JSON schema)
        type: str

    assert strict(Keywords)


def test_a_class_without_fields_is_an_object_without_properties() -> None:
    class Empty(BaseModel):
        pass

    assert output_type(Empty).schema.schema["additionalProperties"] is False
    assert strict(Empty)


def test_a_default_without_a_json_form_is_no_warning() -> None:
    class Odd(BaseModel):
        name: Any = object()

    assert not strict(Odd)


@pytest.mark.parametrize("kind", [type(lambda: 0), Ellipsis, Unreadable])
def test_a_type_without_a_schema_is_a_mistake_of_configuration(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="no JSON schema"):
        output_type(kind)


@pytest.mark.parametrize("text", ["```json\n3\n```", "```\n3```", " ```json \n3\n```\n"])
def test_json_in_a_fence_is_taken_out_of_it(text: str) -> None:
    written = text.replace("3", '{"name": "Oslo", "people": 7}')
    assert output_type(City).parse(written) == City(name="Oslo", people=7)
