"""The judge of the sweep sees what it is there to see."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from assistant_kit.entries import Entry, ModelResponded, ToolFinished, ToolStarted, TurnFinished, TurnStarted
from assistant_kit.errors import ModelBroke
from assistant_kit.events import (
    Complete,
    Error,
    Event,
    FellBack,
    ReasoningToken,
    Retrying,
    TextRetracted,
    Token,
    ToolRequest,
)
from assistant_kit.messages import AssistantMessage, Text, user_message
from assistant_kit.usage import Usage
from tests.mid_stream.cases import Case
from tests.mid_stream.judge import Observed, violations
from tests.mid_stream.provider import FINE
from tests.mid_stream.reader import Reader

BROKE = ModelBroke("it broke off", model="m")
DONE = Complete(output="", status="completed", usage=Usage())
CASE = Case(number=1, wire="chat", where="the final answer", kind="cut", index=3, policy="fallback", reach="always")
ASKED = [ToolRequest(call_id=name, tool=name, arguments={}) for name in ("pay", "look")]
FELL_BACK = FellBack(model="m", to="n", reason="outage", error=BROKE)
RETRYING = Retrying(attempt=2, delay=0, error=BROKE)
GOOD: list[Event] = [
    Token("Let me."), *ASKED, Token("It "), TextRetracted(text="It "), FELL_BACK, Token("I have looked."), DONE,
]  # fmt: skip


def answered(step: int, text: str) -> ModelResponded:
    return ModelResponded(turn="1", step=step, model="m", items=(AssistantMessage(text=text),), usage=Usage())


def ended(tool: str) -> ToolFinished:
    return ToolFinished(turn="1", key="1.0", call_id=tool, tool=tool, outcome="ok", content=(Text(text="done"),))


def journal(*, last: str = "I have looked.") -> list[Entry]:
    begun = ToolStarted(
        turn="1", key="1.0", call_id="pay", tool="pay", arguments_hash="", effect="once", idempotency_key=""
    )
    return [
        TurnStarted(turn="1", input=user_message("case 1")),
        answered(1, "Let me."),
        begun,
        ended("pay"),
        ended("look"),
        answered(2, last),
        TurnFinished(turn="1", outcome="completed", usage=Usage()),
        TurnStarted(turn="2", input=user_message("case 1 again")),
        TurnFinished(turn="2", outcome="completed", usage=Usage()),
    ]


def observed(events: Sequence[Event] = GOOD) -> Observed:
    return Observed(events=list(events), entries=journal(), ran=["pay", "look"], requests=3, after=FINE)


def test_a_good_run_is_found_good() -> None:
    assert list(violations(CASE, observed())) == []


@pytest.mark.parametrize(
    "bad",
    [
        replace(observed(), ran=["pay", "look", "pay"]),
        replace(observed(), ran=["look"]),
        replace(observed(), requests=4),
        replace(observed(), requests=2),
        replace(observed(), after="?"),
        replace(observed(), entries=journal(last="Others have looked.")),
        replace(observed(), entries=[entry for entry in journal() if not isinstance(entry, ToolStarted)]),
        replace(observed(), entries=[entry for entry in journal() if entry != journal()[6]]),
        replace(observed(), raised=BROKE),
        observed([*GOOD[:-1], Error(error=BROKE)]),
        observed([*GOOD[:4], *GOOD[5:]]),
    ],
)
def test_a_bad_run_is_found_bad(bad: Observed) -> None:
    assert list(violations(CASE, bad)) != []


def test_a_run_that_should_have_been_hidden_is_found() -> None:
    failed = [replace(entry, outcome="failed") if entry == journal()[6] else entry for entry in journal()[:-2]]
    entries = [entry for entry in [*failed, *journal()[-2:]] if entry != answered(2, "I have looked.")]
    events = [*GOOD[:5], Error(error=BROKE)]
    run = replace(observed(events), entries=entries, raised=BROKE, requests=2)
    assert list(violations(replace(CASE, policy="none", reach="once"), run)) == []
    assert len(list(violations(CASE, run))) == 1


@pytest.mark.parametrize(
    "events",
    [
        [Token("a"), DONE, DONE],
        [Token("a")],
        [DONE, Token("a")],
        [Error(error=BROKE), DONE],
        [Token("a"), Error(error=BROKE)],
        [ReasoningToken("a"), Error(error=BROKE)],
        [Token("a"), Token("b"), TextRetracted(text="b"), Error(error=BROKE)],
        [Token("a"), *ASKED, Token("b"), TextRetracted(text="ab"), Error(error=BROKE)],
        [TextRetracted(text=""), Error(error=BROKE)],
        [Token("a"), RETRYING, Token("a"), DONE],
        [Token("a"), FELL_BACK, Token("a"), DONE],
    ],
)
def test_a_stream_that_misleads_its_reader_is_found(events: Sequence[Event]) -> None:
    assert Reader().read(events).wrong != []


def test_an_attempt_that_had_shown_something_is_made_again_only_where_it_shall_be() -> None:
    run = observed([*GOOD[:5], RETRYING, *GOOD[6:]])
    retry = replace(CASE, policy="retry", reach="once")
    assert list(violations(replace(retry, policy="anew"), run)) == []
    assert len(list(violations(retry, run))) == 1


def test_what_stands_is_kept_answer_by_answer() -> None:
    reader = Reader().read(GOOD)
    assert (reader.kept, reader.retracted, reader.fallbacks) == (["Let me.", "I have looked."], ["It "], 1)
