from collections.abc import Sequence

import pytest

from assistant_kit.entries import (
    Entry,
    Measured,
    ModelResponded,
    TurnFinished,
    TurnOutcome,
    TurnResumed,
    TurnStarted,
    TurnSuspended,
)
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Image,
    OutputItem,
    Reasoning,
    Text,
    ToolCall,
    UserMessage,
)
from assistant_kit.stores.projected import Said, said
from assistant_kit.usage import Usage

CALL = ToolCall(call_id="a", name="look", arguments="{}")
REPAIR = DeveloperMessage(text="again")


def asked(text: str = "question", turn: str = "t") -> TurnStarted:
    return TurnStarted(turn=turn, input=UserMessage(content=(Text(text=text),)))


def answered(*items: OutputItem, turn: str = "t", prompt: DeveloperMessage | None = None) -> ModelResponded:
    return ModelResponded(turn=turn, step=1, model="m", items=items, usage=Usage(), prompt=prompt)


def ended(outcome: TurnOutcome = "completed", turn: str = "t") -> TurnFinished:
    return TurnFinished(turn=turn, outcome=outcome, usage=Usage())


def messages(*entries: Entry) -> list[tuple[str, str]]:
    stored = [Measured(entry=entry, tokens=1, counted_by="a", seq=seq) for seq, entry in enumerate(entries, start=1)]
    return [(message.role, message.text) for message in said(stored)]


def text(words: str) -> AssistantMessage:
    return AssistantMessage(text=words)


def test_messages_have_the_numbers_of_their_records() -> None:
    entries = (asked(turn="x"), answered(text("answer"), turn="x"), ended(turn="x"))
    stored = [Measured(entry=entry, tokens=1, counted_by="a", seq=seq) for seq, entry in enumerate(entries, start=7)]

    assert said(stored) == (
        Said(role="user", text="question", turn="x", seq=7),
        Said(role="assistant", text="answer", turn="x", seq=8),
    )


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], []),
        ([asked("hello")], [("user", "hello")]),
        ([answered(text("a"), Reasoning(text="hm"), text("b")), ended()], [("assistant", "ab")]),
        ([answered(AssistantMessage(text="", refusal="I must not")), ended()], [("assistant", "I must not")]),
        ([answered(), ended()], [("assistant", "")]),
        ([answered(text("I look"), CALL), ended("waiting")], []),
        ([answered(text("bad")), answered(text("good"), prompt=REPAIR), ended()], [("assistant", "good")]),
        ([answered(text("bad")), answered(CALL, prompt=REPAIR)], []),
        ([answered(text("bad")), ended("failed")], []),
        ([answered(text("bad")), TurnSuspended(turn="t", reason="down")], []),
        ([TurnResumed(turn="t", attempt=2), answered(text("good")), ended()], [("assistant", "good")]),
        ([ended("failed")], []),
    ],
    ids=[
        "nothing",
        "a question",
        "an answer in parts",
        "a refusal",
        "an answer without words",
        "tool calls",
        "a repaired answer",
        "a repaired answer that goes on",
        "no accepted answer",
        "an answer left for later",
        "a recovered turn",
        "an end",
    ],
)
def test_a_turn_has_one_question_and_at_most_one_answer(
    entries: Sequence[Entry], expected: list[tuple[str, str]]
) -> None:
    assert messages(*entries) == expected


def test_several_turns_in_one_write_keep_their_order() -> None:
    assert messages(
        asked("1", turn="a"),
        answered(text("2"), turn="a"),
        ended(turn="a"),
        asked("3", turn="b"),
        ended("failed", turn="b"),
        asked("4", turn="c"),
        answered(text("5"), turn="c"),
        ended(turn="c"),
    ) == [("user", "1"), ("assistant", "2"), ("user", "3"), ("user", "4"), ("assistant", "5")]


def test_pictures_have_no_text_of_their_own() -> None:
    shown = UserMessage(content=(Text(text="what is"), Image(url="https://example.org/a.png"), Text(text="this?")))

    assert messages(TurnStarted(turn="t", input=shown)) == [("user", "what is\nthis?")]
