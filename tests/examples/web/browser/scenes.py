"""What happens in the conversations of these tests: events as an orchestrator tells them."""

from typing import Any

from tests.examples.web.browser.site import Visitor

ANSWER = """\
Yes: on **Tuesday** you are free from 14:00. From your notes:

| Day | Free |
|---|---|
| Tuesday | 14:00 to 17:00 |
| Wednesday | all day |

1. Call the *dentist*.
2. See the [opening hours](https://dentist.example/hours).

```python
print("a line of code that is so long that it does not fit into a window of three hundred and sixty pixels")
```

> The practice is closed on Mondays. [1]
"""
CITATION = {
    "label": "[1]",
    "source": "f_1",
    "title": "practice.md",
    "place": "Opening hours",
    "text": "The practice is closed on Mondays.\nFrom Tuesday on it is open from nine to five.",
}
LOOK = {"call_id": "call_1", "tool": "calendar__list_events", "arguments": {"from": "2026-11-24", "days": 7}}
BOOK = {
    "call_id": "call_2",
    "tool": "calendar__create_event",
    "arguments": {"title": "Dentist", "start": "2026-11-24T14:00", "minutes": 30},
    "digest": "d_2",
}

FAILED = ("error", {"error": {"code": "unavailable", "message": "the provider cut the answer off"}})


def complete(output: str | None, *, status: str = "completed", **more: object) -> tuple[str, dict[str, Any]]:
    """Return the last event of a turn."""
    return "complete", {"output": output, "status": status, "usage": {}, **more}


def tokens(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return a text as it comes: in pieces."""
    return [("token", {"text": text[at : at + 7]}) for at in range(0, len(text), 7)]


def result(call: dict[str, Any], outcome: str, text: str) -> tuple[str, dict[str, Any]]:
    """Return what became of a call."""
    told = {"call_id": call["call_id"], "tool": call["tool"], "outcome": outcome, "text": text}
    return "tool_result", {**told, "content": [], "untrusted": True}


def play(visitor: Visitor, conversation: str, events: list[tuple[str, dict[str, Any]]]) -> None:
    """Let events happen one after the other."""
    for name, data in events:
        visitor.hears(conversation, name, **data)


def say(
    visitor: Visitor, conversation: str, text: str, request_id: str, files: list[dict[str, str]] | None = None
) -> None:
    """Let the user say something, as from another device."""
    visitor.hears(conversation, "message", request_id=request_id, text=text, files=files or [])


def rich(visitor: Visitor, conversation: str) -> None:
    """Fill a conversation with a bit of everything; it ends with a call that waits for a decision."""
    files = [{"id": "f_1", "name": "practice.md"}]
    say(visitor, conversation, "When can I see the dentist? Look into my calendar and into the file.", "r1", files)
    play(
        visitor,
        conversation,
        [
            *tokens("Let me look."),
            ("tool_request", LOOK),
            result(LOOK, "ok", '{"events": [{"title": "Budget", "start": "2026-11-24T09:00"}]}'),
            ("toolset_unavailable", {"toolset": "search"}),
            *tokens(ANSWER),
            complete(ANSWER, citations=[CITATION], request_id="r1"),
        ],
    )
    say(visitor, conversation, "Book it for Tuesday, please.", "r2")
    play(
        visitor,
        conversation,
        [("approval_required", BOOK), complete(None, status="waiting", request_id="r2")],
    )
