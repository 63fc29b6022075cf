"""Functions in a module with postponed annotations become tools."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from assistant_kit.errors import InvalidTool
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.functions import as_function_tool, tool


class Place(BaseModel):
    city: str


def test_names_of_the_module_are_found() -> None:
    @tool
    def weather(place: Place, context: ToolContext, days: int | None = None) -> str:
        return f"{place.city} {context.user} {days}"

    assert weather.spec.parameters["properties"] == {
        "place": {"$ref": "#/$defs/Place"},
        "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
    }


def test_a_local_class_cannot_be_found_and_the_error_says_what_to_do() -> None:
    class Local(BaseModel):
        city: str

    def weather(place: Local) -> str:
        return place.city

    with pytest.raises(InvalidTool) as caught:
        as_function_tool(weather)
    assert "Local" in caught.value.problem
    assert "from __future__ import annotations" in caught.value.problem
