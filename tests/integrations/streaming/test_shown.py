from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.entries import ApprovalDecided, Entry, Measured, ModelResponded, ToolFinished, TurnStarted
from assistant_kit.integrations.streaming.shown import Shown, recorded_turn, repair, shown_after
from assistant_kit.messages import AssistantMessage, DeveloperMessage, File, Text, ToolCall, UserMessage
from assistant_kit.protocols.event_log import NewEvent
from assistant_kit.usage import Usage

STARTED = TurnStarted(turn="t", input=UserMessage(content=(Text(text="x"), File(url="f", filename="a.txt"))))


def measured(*entries: Entry) -> list[Measured]:
    return [Measured(entry=entry, tokens=0, counted_by="") for entry in entries]


def answer(step: int, text: str, *calls: str, prompt: str | None = None) -> ModelResponded:
    return ModelResponded(
        turn="t",
        step=step,
        model="m",
        items=(AssistantMessage(text=text), *(ToolCall(call_id=c, name="tool", arguments="{}") for c in calls)),
        usage=Usage(),
        prompt=None if prompt is None else DeveloperMessage(text=prompt),
    )


def end(key: str, call_id: str) -> ToolFinished:
    return ToolFinished(turn="t", key=key, call_id=call_id, tool="tool", outcome="ok", content=(Text(text="r"),))


def told(*events: tuple[str, dict[str, Any]]) -> Shown:
    shown = shown_after(Shown(), "message", {"request_id": "t"})
    for name, data in events:
        shown = shown_after(shown, name, data)
    return shown


def repaired(shown: Shown, *entries: Entry) -> tuple[Shown, list[NewEvent]]:
    events = list(repair(shown, recorded_turn(measured(STARTED, *entries))))
    for event in events:
        shown = shown_after(shown, event.name, event.data)
    return shown, events


texts = st.text("ab", max_size=5)


@given(texts, st.lists(texts, max_size=3))
def test_after_the_repair_the_text_is_the_recorded_one(shown: str, recorded: list[str]) -> None:
    entries = [answer(n, text) for n, text in enumerate(recorded, 1)]

    after, events = repaired(told(("token", {"text": shown})), *entries)

    assert after.text == "".join(recorded)
    assert repair(after, recorded_turn(measured(STARTED, *entries))) == ()
    assert all(event.data["text"] for event in events)


def test_nothing_is_said_of_what_is_shown_already() -> None:
    request: tuple[str, dict[str, Any]] = ("tool_request", {"call_id": "a", "tool": "tool", "arguments": {}})
    result = ("tool_result", {"call_id": "a", "tool": "tool", "outcome": "ok"})

    _, events = repaired(told(("token", {"text": "x"}), request, result), answer(1, "x", "a"), end("1.0", "a"))

    assert events == []


def test_what_is_missing_is_said_in_its_order() -> None:
    _, events = repaired(told(), answer(1, "x", "a", "b"), end("1.0", "a"), answer(2, "y", "a"), end("2.0", "a"))

    assert [event.name for event in events] == [
        "token",
        "tool_request",
        "tool_result",
        "token",
        "tool_request",
        "tool_result",
    ]


def test_a_call_of_a_response_that_was_lost_is_ended() -> None:
    after, events = repaired(told(("tool_request", {"call_id": "a", "tool": "tool", "arguments": {}})))

    assert [(event.name, event.data["outcome"]) for event in events] == [("tool_result", "cancelled")]
    assert after.open_call("a") is None


@pytest.mark.parametrize("approved", [True, False])
def test_a_decision_is_told_before_what_comes_of_it(approved: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    decided = ApprovalDecided(turn="t", key="1.0", call_id="a", arguments_hash="", approved=approved)
    waiting = told(("approval_required", {"call_id": "a", "tool": "tool", "arguments": {}, "digest": ""}))

    after, events = repaired(waiting, answer(1, "", "a"), decided)

    assert [(event.name, event.data) for event in events] == [("approved", {"call_id": "a", "approved": approved})]
    call = after.open_call("a")
    assert call is not None
    assert not call.waits


def test_an_answer_that_was_not_accepted_does_not_stand() -> None:
    after, _ = repaired(told(("token", {"text": "bad"})), answer(1, "bad"), answer(2, "good", prompt="again"))

    assert after.text == "good"


def test_what_is_not_known_changes_nothing() -> None:
    shown = told(("token", {"text": "a"}))

    assert shown_after(shown, "delayed", {}) == shown
