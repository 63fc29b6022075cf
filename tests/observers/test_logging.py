"""Each notice is a line of the log, with its facts as fields of the record."""

import json
import logging
from typing import Any

import pytest

from assistant_kit.messages import AssistantMessage, File, Reasoning, Text, ToolCall, UserMessage
from assistant_kit.observers.logging import LOGGER, LoggingObserver
from assistant_kit.protocols.observer import (
    ConditionNoted,
    Notice,
    RunBegan,
    RunEnded,
    ToolAnswered,
)
from assistant_kit.protocols.policy import Condition, ConditionChanged
from assistant_kit.testing.conformance.observer import notices
from assistant_kit.usage import Usage

BEGAN = RunBegan(span=1, run="r1", assistant="helper", model="openai:m", user="ann", conversation="c1")


def logged(caplog: pytest.LogCaptureFixture, notice: Notice, **options: Any) -> logging.LogRecord:
    with caplog.at_level(logging.DEBUG, LOGGER):
        LoggingObserver(**options).observe(notice)
    return caplog.records[-1]


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record has beyond what every record has."""
    usual = vars(logging.makeLogRecord({}))
    return {name: value for name, value in vars(record).items() if name not in usual and name != "message"}


def test_a_line_reads_without_its_fields_and_the_fields_without_the_line(caplog: pytest.LogCaptureFixture) -> None:
    usage = Usage(requests=1, input_tokens=90, output_tokens=9)
    ended = RunEnded(began=BEGAN, status="completed", seconds=1.23456789, usage=usage, cost=1_500_000)

    record = logged(caplog, ended)

    assert record.name == "assistant_kit.observer"
    assert record.getMessage().startswith('run_ended run="r1" assistant="helper" model="openai:m" conversation="c1"')
    assert fields(record) == {
        "event": "run_ended",
        "run": "r1",
        "assistant": "helper",
        "model": "openai:m",
        "conversation": "c1",
        "streams": False,
        "priority": "interactive",
        "status": "completed",
        "seconds": 1.234568,
        "requests": 1,
        "input_tokens": 90,
        "output_tokens": 9,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "reported": True,
        "cost_dollars": pytest.approx(0.0015),
    }


def test_a_formatter_that_writes_json_can_write_every_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER):
        for notice in notices("a\nname", first=1):
            LoggingObserver(users=True, content=True).observe(notice)

    assert len(caplog.records) == len(list(notices("a")))
    for record in caplog.records:
        assert json.loads(json.dumps(fields(record)))["event"]
        assert "\n" not in record.getMessage()
    assert {"keyed(60)"} == {fields(record)["effect"] for record in caplog.records if hasattr(record, "effect")}


def test_users_are_named_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    quota = ConditionChanged(
        name="quota day", before="ok", after="low", condition=Condition(ok=True, state="low"), owner="ann"
    )
    for notice in (BEGAN, ConditionNoted(change=quota)):
        assert "ann" not in str(vars(logged(caplog, notice)))
        assert "ann" in str(fields(logged(caplog, notice, users=True)))


def test_what_is_said_is_logged_as_text(caplog: pytest.LogCaptureFixture) -> None:
    said = (
        UserMessage(content=(Text(text="Rain?"), File(data=b"x"))),
        Reasoning(),
        ToolCall(call_id="1", name="look", arguments="{}"),
        AssistantMessage(text="", refusal="No."),
        AssistantMessage(text="Yes."),
    )
    ended = RunEnded(began=BEGAN, status="completed", seconds=1, usage=Usage(), messages=said)
    answered = ToolAnswered(run="r1", tool="look", call_id="1", outcome="ok", content=(Text(text="seen"),))

    assert fields(logged(caplog, ended, content=True))["messages"] == "Rain?\nlook({})\nNo.\nYes."
    assert fields(logged(caplog, answered, content=True))["content"] == "seen"


def test_figures_of_a_condition_are_fields(caplog: pytest.LogCaptureFixture) -> None:
    data = {"waiting": {"interactive": 2, "background": 1}, "limit": 5, "adaptive": True, "why": "many"}
    change = ConditionChanged(
        name="bulkhead m", before="free", after="waiting", condition=Condition(ok=True, state="waiting", data=data)
    )

    assert fields(logged(caplog, ConditionNoted(change=change))) == {
        "event": "condition_noted",
        "condition": "bulkhead m",
        "before": "free",
        "after": "waiting",
        "ok": True,
        "figure_waiting_interactive": 2,
        "figure_waiting_background": 1,
        "figure_limit": 5,
    }


def test_levels_say_what_somebody_should_look_at(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, LOGGER):
        for notice in notices("a"):
            LoggingObserver().observe(notice)

    levels = {(fields(record)["event"], record.levelname) for record in caplog.records}
    assert levels == {
        ("run_began", "DEBUG"),
        ("model_call_began", "DEBUG"),
        ("tool_call_began", "DEBUG"),
        ("model_call_ended", "WARNING"),
        ("model_call_ended", "INFO"),
        ("call_retried", "WARNING"),
        ("model_replaced", "WARNING"),
        ("call_delayed", "INFO"),
        ("tool_call_ended", "INFO"),
        ("run_ended", "INFO"),
        ("tool_answered", "INFO"),
        ("approval_asked", "INFO"),
        ("compacted", "INFO"),
        ("condition_noted", "WARNING"),
    }


def test_a_level_that_nobody_hears_costs_nothing_and_a_logger_can_be_given(caplog: pytest.LogCaptureFixture) -> None:
    mine = logging.getLogger("mine")
    with caplog.at_level(logging.INFO, "mine"):
        LoggingObserver(mine).observe(BEGAN)
        assert caplog.records == []
        LoggingObserver(mine).observe(RunEnded(began=BEGAN, status="completed", seconds=1, usage=Usage()))
    assert [record.name for record in caplog.records] == ["mine"]
