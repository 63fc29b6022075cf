"""Events have the names that readers see on the wire."""

from typing import Any, get_args

from assistant_kit.events import Event, ToolResult
from assistant_kit.messages import Image, Text


def test_each_kind_of_event_has_one_name() -> None:
    kinds: list[Any] = [getattr(kind, "__dataclass_fields__")["kind"].default for kind in get_args(Event)]  # noqa: B009  (dataclasses all)
    assert kinds == [
        "token",
        "reasoning_token",
        "refusal_token",
        "tool_request",
        "tool_progress",
        "tool_result",
        "approval_required",
        "text_retracted",
        "retrying",
        "delayed",
        "fell_back",
        "toolset_unavailable",
        "compacted",
        "complete",
        "error",
    ]


def test_the_text_of_a_result_is_that_of_its_text_parts() -> None:
    content = (Text(text="a"), Image(url="https://example.org/a.png"), Text(text="b"))
    assert ToolResult(call_id="c", tool="t", outcome="ok", content=content).text == "a\nb"
