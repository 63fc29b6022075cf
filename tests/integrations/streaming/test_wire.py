import json
from dataclasses import dataclass
from datetime import date
from typing import get_args

import pytest
from pydantic import BaseModel

from assistant_kit import errors
from assistant_kit.errors import InputError, ModelUnavailable, QuotaExceeded, StoreUnavailable
from assistant_kit.events import (
    ApprovalRequired,
    Complete,
    ContextCompacted,
    Delayed,
    Error,
    Event,
    FellBack,
    ReasoningToken,
    RefusalToken,
    Retrying,
    TextRetracted,
    Token,
    ToolProgress,
    ToolRequest,
    ToolResult,
    ToolsetUnavailable,
)
from assistant_kit.integrations.streaming.failures import UNKNOWN, Failure, failure_of
from assistant_kit.integrations.streaming.wire import data_of, error_data
from assistant_kit.messages import File, Image, Text
from assistant_kit.usage import Usage

SECRET = "postgres://admin:hunter2@db.internal"
BROKEN = ModelUnavailable(SECRET, model="m")
NO_ANSWER = {"code": "no_answer", "message": failure_of(BROKEN).message}
USAGE = {
    "requests": 1,
    "input_tokens": 2,
    "output_tokens": 3,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "reported": True,
}

FORMS: list[tuple[Event, dict[str, object]]] = [
    (Token("a"), {"text": "a"}),
    (ReasoningToken("b"), {"text": "b"}),
    (RefusalToken("c"), {"text": "c"}),
    (ToolRequest(call_id="1", tool="t", arguments={"a": [1]}), {"call_id": "1", "tool": "t", "arguments": {"a": [1]}}),
    (ToolRequest(call_id="1", tool="t", arguments=None), {"call_id": "1", "tool": "t", "arguments": None}),
    (
        ToolProgress(call_id="1", tool="t", progress=0.5, total=None, message="half"),
        {"call_id": "1", "tool": "t", "progress": 0.5, "total": None, "message": "half"},
    ),
    (
        ApprovalRequired(call_id="1", tool="t", arguments={}, digest="d"),
        {"call_id": "1", "tool": "t", "arguments": {}, "digest": "d"},
    ),
    (TextRetracted(text="x"), {"text": "x"}),
    (Retrying(attempt=2, delay=0.5, error=BROKEN), {"attempt": 2, "delay": 0.5, "error": NO_ANSWER}),
    (
        Delayed(call="model", name="m", reason="queue", expected=None),
        {"call": "model", "name": "m", "reason": "queue", "expected": None},
    ),
    (
        FellBack(model="a", to="b", reason="outage", error=BROKEN),
        {"model": "a", "to": "b", "reason": "outage", "error": NO_ANSWER},
    ),
    (
        FellBack(model="a", to="b", reason="refusal", error=None),
        {"model": "a", "to": "b", "reason": "refusal", "error": None},
    ),
    (ToolsetUnavailable(toolset="s", reason="https://s.internal is down"), {"toolset": "s"}),
    (
        ContextCompacted(strategy="s", dropped_turns=1, tokens_before=9, tokens_after=3),
        {"strategy": "s", "dropped_turns": 1, "tokens_before": 9, "tokens_after": 3},
    ),
    (
        Complete(output="o", status="completed", usage=Usage(requests=1, input_tokens=2, output_tokens=3)),
        {"output": "o", "status": "completed", "usage": USAGE},
    ),
    (Error(error=BROKEN), {"error": NO_ANSWER}),
    (
        ToolResult(
            call_id="1",
            tool="t",
            outcome="ok",
            content=(
                Text(text="a"),
                Image(data=b"1234", media_type="image/png"),
                Image(url="https://x.example/y.png"),
                File(url="data:text/plain,abc", filename="f.txt", media_type="text/plain"),
            ),
            untrusted=True,
        ),
        {
            "call_id": "1",
            "tool": "t",
            "outcome": "ok",
            "content": [
                {"kind": "text", "text": "a"},
                {"kind": "image", "media_type": "image/png", "size": 4},
                {"kind": "image", "media_type": None, "url": "https://x.example/y.png"},
                {"kind": "file", "media_type": "text/plain", "filename": "f.txt"},
            ],
            "untrusted": True,
            "text": "a",
        },
    ),
]


@pytest.mark.parametrize(("event", "form"), FORMS, ids=[f"{event.kind}-{n}" for n, (event, _) in enumerate(FORMS)])
def test_an_event_has_the_names_and_fields_that_are_documented(event: Event, form: dict[str, object]) -> None:
    assert data_of(event) == form
    assert json.loads(json.dumps(data_of(event))) == form


def test_every_kind_of_event_has_a_form() -> None:
    assert {type(event) for event, _ in FORMS} == set(get_args(Event))


class Trip(BaseModel):
    day: date
    cost: float


class Odd:
    def __str__(self) -> str:
        return "odd"


@dataclass
class Stop:
    name: str


@pytest.mark.parametrize(
    ("output", "form"),
    [
        (Trip(day=date(2026, 11, 22), cost=float("nan")), {"day": "2026-11-22", "cost": None}),
        (Stop(name="Oslo"), {"name": "Oslo"}),
        (None, None),
        ([1, "a"], [1, "a"]),
        (b"\xff", "_w=="),
    ],
)
def test_an_output_of_any_type_becomes_json(output: object, form: object) -> None:
    assert data_of(Complete(output=output, status="completed", usage=Usage()))["output"] == form


def test_an_output_that_json_does_not_know_becomes_text() -> None:
    output = data_of(Complete(output={"x": Odd()}, status="completed", usage=Usage()))["output"]

    assert output == {"x": "odd"}


ERRORS = [
    InputError(SECRET),
    StoreUnavailable(SECRET),
    QuotaExceeded(SECRET, unit="tokens", needed=1, left=0, retry_after=1.0),
    ValueError(SECRET),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_nothing_of_an_errors_own_text_is_told(error: BaseException) -> None:
    told = error_data(error)

    assert set(told) == {"code", "message"}
    assert "hunter2" not in json.dumps(told)


def test_every_error_of_the_library_has_words() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    made = [kind.__new__(kind) for kind in kinds if issubclass(kind, errors.AssistantKitError)]

    assert all(failure_of(error) != UNKNOWN for error in made)
    assert len(made) > 20


def test_an_application_has_words_of_its_own() -> None:
    event = Error(error=InputError("x"))

    told = data_of(event, tell=lambda error: Failure(code=type(error).__name__, message="sorry"))

    assert told == {"error": {"code": "InputError", "message": "sorry"}}
