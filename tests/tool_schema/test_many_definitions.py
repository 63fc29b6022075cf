"""A server can define as much as it likes: working that out must not take longer than a request."""

import pytest

from assistant_kit.messages import JsonObject
from assistant_kit.tool_schema import minified
from assistant_kit.tool_schema.definitions import MOST


def chain(length: int) -> JsonObject:
    links: JsonObject = {
        f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}} for i in range(length - 1)
    }
    return {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/d0"}},
        "$defs": {**links, f"d{length - 1}": {"type": "string"}, "unused": {"type": "string"}},
    }


@pytest.mark.parametrize(("length", "left"), [(20, 0), (MOST + 1, MOST + 1), (2000, 2000)])
def test_many_definitions_stay_where_they_are_and_those_that_nobody_uses_go(length: int, left: int) -> None:
    definitions = minified(chain(length)).get("$defs", {})
    assert isinstance(definitions, dict)
    assert len(definitions) == left
    assert "unused" not in definitions
