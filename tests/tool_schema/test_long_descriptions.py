"""OpenAI's API refuses a request for one description that is too long; what is too long goes on elsewhere."""

import pytest

from assistant_kit.messages import JsonObject
from assistant_kit.tool_schema import minified_tool
from assistant_kit.tool_schema.words import parted
from assistant_kit.tool_spec import ToolSpec

LIMIT = 1024
WORDS = " ".join(f"word{index}" for index in range(300))


def made(description: str, parameters: JsonObject) -> ToolSpec:
    return minified_tool(ToolSpec(name="think", description=description, parameters=parameters))


def test_a_description_that_is_too_long_goes_on_in_that_of_the_arguments() -> None:
    tool = made(WORDS, {"type": "object"})
    rest = tool.parameters["description"]
    assert isinstance(rest, str)
    assert len(tool.description) <= LIMIT
    assert f"{tool.description.removesuffix(' […]')} {rest.removeprefix('[…] ')}" == WORDS


def test_what_the_arguments_say_themselves_stays() -> None:
    tool = made(WORDS, {"type": "object", "description": "What to think of."})
    assert str(tool.parameters["description"]).endswith("word299\nWhat to think of.")


def test_a_description_that_fits_stays_as_it_is() -> None:
    assert made("x" * LIMIT, {"type": "object"}).parameters == {"type": "object"}


@pytest.mark.parametrize(
    ("text", "first", "rest"),
    [
        ("One two three.\n\nFour. Five", "One two three. […]", "[…] Four. Five"),
        ("One two three.\nFour five six", "One two three. […]", "[…] Four five six"),
        ("One two three. Four five six", "One two three. […]", "[…] Four five six"),
        ("Onetwo threefour fivesixseven", "Onetwo threefour […]", "[…] fivesixseven"),
        ("a" * 30, "a" * 21 + " […]", "[…] " + "a" * 9),
        ("A. " + "b" * 30, "A. " + "b" * 18 + " […]", "[…] " + "b" * 12),
    ],
)
def test_it_is_parted_where_that_is_best_read(text: str, first: str, rest: str) -> None:
    assert parted(text, 25) == (first, rest)
