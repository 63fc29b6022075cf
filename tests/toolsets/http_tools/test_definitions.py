from typing import Any

import pytest

from assistant_kit.toolsets._definitions import Definition
from assistant_kit.toolsets.http_tools.definitions import MalformedListing, read_listing
from tests.toolsets.http_tools.scripted_server import ADD


@pytest.mark.parametrize("spelling", ["input_schema", "inputSchema", "parameters"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_schema_is_found_under_each_of_its_spellings(spelling: str, *, wrapped: bool) -> None:
    schema = {"type": "object"}
    tools: list[Any] = [{"name": "look", "description": "Look.", spelling: schema}]
    listing = read_listing({"tools": tools} if wrapped else tools)
    said = {"name": "look", "description": "Look.", spelling: schema}
    assert listing.definitions == (Definition(name="look", description="Look.", schema=schema, said=said),)


def test_hints_are_read_and_what_is_missing_has_a_default() -> None:
    hints = {"readOnlyHint": True, "idempotent_hint": True}
    (found,) = read_listing([{"name": "look", "annotations": hints, "description": None}]).definitions
    said = {"name": "look", "annotations": hints}
    assert found == Definition(name="look", description="", schema={}, said=said, read_only=True, idempotent=True)


@pytest.mark.parametrize(
    "bad",
    [7, {"description": "x"}, {"name": ""}, {"name": 7}, {"name": "add", "inputSchema": []}, {"name": "add"}],
)
def test_a_bad_tool_is_left_out_alone_with_a_note(bad: Any) -> None:
    listing = read_listing({"tools": [ADD, bad]})
    assert [definition.name for definition in listing.definitions] == ["add"]
    assert len(listing.notes) == 1


@pytest.mark.parametrize("document", [None, "tools", {}, {"tools": {}}, {"tools": "add"}])
def test_what_is_no_list_of_tools_is_refused(document: Any) -> None:
    with pytest.raises(MalformedListing):
        read_listing(document)
