import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import INVALID_REQUEST, PARSE_ERROR
from mcp_types.methods import validate_server_result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from assistant_kit.toolsets.mcp.repair import broken_answer, mended

VERSIONS = ["2024-11-05", "2025-11-25", "2026-07-28"]
GOOD: dict[str, Any] = {"name": "good", "inputSchema": {"type": "object"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "name"]), inner),
    max_leaves=6,
)


def tools_of(version: str, *tools: object) -> tuple[list[dict[str, Any]], list[str]]:
    notes: list[str] = []
    found = mended("tools/list", version, {"tools": list(tools), "nextCursor": "2"}, notes.append)
    validate_server_result("tools/list", version, found)
    assert found["nextCursor"] == "2"
    return found["tools"], [note for note in notes if "resultType" not in note]


def outcome_of(version: str, result: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    found = mended("tools/call", version, result, notes.append)
    validate_server_result("tools/call", version, found)
    return found, [note for note in notes if "resultType" not in note]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_answer_is_left_as_it_is(version: str) -> None:
    whole = {"tools": [GOOD], "resultType": "complete", "ttlMs": 5, "cacheScope": "public"}
    assert mended("tools/list", version, whole, pytest.fail) is whole
    result = {"content": [{"type": "text", "text": "x"}], "resultType": "complete"}
    assert mended("tools/call", version, result, pytest.fail) is result


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("bad", "schema"),
    [
        ({"name": "t", "inputSchema": {}}, {"type": "object"}),
        ({"name": "t"}, {"type": "object"}),
        ({"name": "t", "inputSchema": None}, {"type": "object"}),
        ({"name": "t", "inputSchema": {"properties": {"a": {}}}}, {"type": "object", "properties": {"a": {}}}),
    ],
)
def test_a_schema_that_does_not_name_its_type_is_completed(
    version: str, bad: dict[str, Any], schema: dict[str, Any]
) -> None:
    tools, notes = tools_of(version, bad, GOOD)
    assert tools == [{"name": "t", "inputSchema": schema}, GOOD]
    assert len(notes) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "field",
    [
        {"annotations": {"readOnlyHint": "perhaps"}},
        {"annotations": "none"},
        {"outputSchema": []},
        {"title": 5},
        {"description": {}},
        {"icons": "icon.png"},
        {"annotations": 1, "title": 5, "outputSchema": 2},
    ],
)
def test_what_a_tool_can_do_without_is_left_out(version: str, field: dict[str, Any]) -> None:
    tools, notes = tools_of(version, {**GOOD, **field})
    assert tools == [GOOD]
    assert len(notes) == len(field)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "bad", [5, {}, {"name": 5, "inputSchema": {"type": "object"}}, {"name": "t", "inputSchema": []}, {"name": None}]
)
def test_a_tool_that_is_none_is_left_out_alone(version: str, bad: object) -> None:
    tools, notes = tools_of(version, bad, GOOD)
    assert tools == [GOOD]
    assert any("left out" in note for note in notes)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("more", [{}, {"resultType": "complete"}])
def test_a_list_that_is_none_is_empty(version: str, more: dict[str, Any]) -> None:
    broken = {"tools": None, "nextCursor": 5, "_meta": 1, **more}
    found = mended("tools/list", version, broken, list[str]().append)
    validate_server_result("tools/list", version, found)
    assert found["tools"] == []
    assert "nextCursor" not in found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({}, []),
        ({"content": None}, []),
        ({"content": "plain"}, [{"type": "text", "text": "plain"}]),
        ({"content": ["plain"]}, [{"type": "text", "text": "plain"}]),
        ({"content": [{"type": "text", "text": "x", "annotations": 5}]}, [{"type": "text", "text": "x"}]),
        ({"content": [{"type": "text", "text": "x"}], "_meta": 5}, [{"type": "text", "text": "x"}]),
        ({"content": [{"type": "text", "text": "x"}], "isError": "?"}, [{"type": "text", "text": "x"}]),
    ],
)
def test_a_result_without_proper_content_is_kept(version: str, result: dict[str, Any], content: object) -> None:
    assert outcome_of(version, result)[0]["content"] == content


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("block", [{"type": "video", "data": "ü"}, {"type": "image"}, 5])
def test_a_block_that_nobody_knows_is_shown_as_it_is(version: str, block: object) -> None:
    found, notes = outcome_of(version, {"content": [block, {"type": "text", "text": "x"}]})
    assert json.loads(found["content"][0]["text"]) == block
    assert found["content"][1] == {"type": "text", "text": "x"}
    assert any("does not know" in note for note in notes)


def test_structured_content_that_the_older_protocol_does_not_admit_is_kept_as_text() -> None:
    found, _ = outcome_of("2025-11-25", {"structuredContent": [1, 2]})
    assert found["content"] == [{"type": "text", "text": "[1, 2]"}]
    found, _ = outcome_of("2025-11-25", {"structuredContent": [1], "content": [{"type": "text", "text": "x"}]})
    assert found["content"] == [{"type": "text", "text": "x"}]
    found, _ = outcome_of("2026-07-28", {"structuredContent": [1, 2]})
    assert found["structuredContent"] == [1, 2]


@pytest.mark.parametrize(
    "other",
    [
        {"task": {"taskId": "1", "status": "working"}},
        {"taskId": "1", "status": "working", "resultType": "task"},
        {"resultType": "input_required", "inputRequests": {}},
    ],
)
def test_what_is_no_result_yet_is_not_made_one(other: dict[str, Any]) -> None:
    for version in VERSIONS:
        assert "content" not in mended("tools/call", version, other, pytest.fail if "Type" in str(other) else print)


def test_other_answers_are_completed_and_otherwise_left_alone() -> None:
    found = mended("resources/list", "2026-07-28", {"resources": []}, list[str]().append)
    validate_server_result("resources/list", "2026-07-28", found)
    assert mended("unheard/of", "2026-07-28", {}, pytest.fail) == {}
    assert mended("resources/list", "1999-01-01", {}, pytest.fail) == {}


@given(tools=st.lists(JSON, max_size=4), version=st.sampled_from(VERSIONS))
def test_whatever_a_server_lists_the_good_tool_is_there(tools: list[object], version: str) -> None:
    assert GOOD in tools_of(version, *tools, GOOD)[0]


@pytest.mark.parametrize("version", [version for version in VERSIONS if version not in MODERN_PROTOCOL_VERSIONS])
def test_a_block_that_does_not_name_its_type_is_completed(version: str) -> None:
    found, notes = outcome_of(version, {"content": [{"text": "It is done."}]})
    assert (found["content"], notes) == ([{"type": "text", "text": "It is done."}], [])


@given(content=JSON, structured=JSON, is_error=JSON, version=st.sampled_from(VERSIONS))
def test_whatever_a_server_answers_to_a_call_is_a_result(
    content: object, structured: object, is_error: object, version: str
) -> None:
    outcome_of(version, {"content": content, "structuredContent": structured, "isError": is_error})


@pytest.mark.parametrize(
    ("line", "key", "code"),
    [
        (b'{"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "te', 7, PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": "a", "result": "words"}', "a", INVALID_REQUEST),
        (b'{"id":7,"error":"words"}', 7, INVALID_REQUEST),
        (b'[{"jsonrpc": "2.0", "id": 7}]', 7, INVALID_REQUEST),
    ],
)
def test_a_broken_answer_fails_the_request_that_it_answers(line: bytes, key: object, code: int) -> None:
    found = broken_answer(line)
    assert found is not None
    assert found.id == key
    assert found.error.code == PARSE_ERROR
    assert str(code) in found.error.message


@pytest.mark.parametrize(
    "line",
    [b"Server listening", b'{"id": 7}', b'{"level": "info"}', b'{"jsonrpc": "2.0", "id": 7, "method": 5}', b"\xff"],
)
def test_what_answers_nothing_fails_nothing(line: bytes) -> None:
    assert broken_answer(line) is None
