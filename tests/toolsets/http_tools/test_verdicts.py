import json
from math import inf
from typing import Any

import pytest

from assistant_kit.deadline import Deadline
from assistant_kit.messages import Text
from assistant_kit.protocols.toolset import ToolOutput
from assistant_kit.tool_spec import Effect, keyed
from assistant_kit.toolsets.http_tools.verdicts import (
    ATTEMPTS,
    Answered,
    MayHaveRun,
    NotRun,
    Reply,
    Verdict,
    judge,
    pause,
)


def reply(status: int = 200, body: Any = None, *, content: bytes | None = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=json.dumps(body).encode() if content is None else content)


def reported(kind: str, status: int, **headers: str) -> Reply:
    body = {"ok": False, "error": {"type": kind, "message": " so  it\nis "}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=json.dumps(body).encode())


def answer(text: str, *, is_error: bool = False) -> Answered:
    return Answered(output=ToolOutput(content=(Text(text=text),), is_error=is_error))


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (reply(body={"ok": True, "result": "a"}), answer("a")),
        (reply(body={"ok": True, "result": "a", "error": "b"}), answer("a")),
        (reply(body={"result": [1]}), answer("[1]")),
        (reply(body={"ok": True}), answer("Done.")),
        (reply(body={"content": [{"type": "text", "text": "a"}]}), answer("a")),
        (reply(body={"ok": False, "content": ["a"]}), answer("a", is_error=True)),
        (reply(content=b"a", content_type="Text/Plain; charset=utf-8"), answer("a")),
    ],
)
def test_a_result_is_taken_in_each_of_its_forms(given: Reply, verdict: Verdict) -> None:
    assert judge(given, now=0.0) == verdict


@pytest.mark.parametrize(
    "given",
    [
        reply(body=[1]),
        reply(body={"greeting": "hello"}),
        reply(content=b"<h1>"),
        reply(content=b"[" * 100_000),
        reply(500, content=b"<h1>"),
        reply(502, {"detail": "bad gateway"}),
        reported("timeout", 504),
        reported("outcome_unknown", 200),
    ],
)
def test_where_the_server_says_nothing_certain_the_call_may_have_run(given: Reply) -> None:
    assert isinstance(judge(given, now=0.0), MayHaveRun)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (reported("tool_error", 200), answer("so it is", is_error=True)),
        (reported("invalid_arguments", 422), answer("so it is", is_error=True)),
        (reported("boom", 500), answer("so it is", is_error=True)),
        (reply(500, {"ok": False, "error": "so it is"}), answer("so it is", is_error=True)),
        (
            reply(400, {"error": {}, "content": [{"type": "text", "text": "whole story"}]}),
            answer("whole story", is_error=True),
        ),
    ],
)
def test_what_the_server_reports_is_for_the_model_to_read(given: Reply, verdict: Verdict) -> None:
    assert judge(given, now=0.0) == verdict


def test_an_error_without_words_is_told_as_one() -> None:
    verdict = judge(reply(200, {"ok": False, "error": {}}), now=0.0)
    assert isinstance(verdict, Answered)
    assert verdict.output.is_error


@pytest.mark.parametrize(
    ("given", "wait", "unknown"),
    [
        (reply(429, {}, retry_after="7"), 7.0, False),
        (reply(503, content=b"busy"), None, False),
        (reported("unavailable", 503, retry_after="Thu, 01 Jan 1970 00:01:40 GMT"), 90.0, False),
        (reported("rate_limit", 429), None, False),
        (reply(404, content=b"nothing here"), None, True),
        (reported("unknown_tool", 400), None, True),
        (reported("not_found", 404), None, True),
        (reply(401, content=b"secret"), None, False),
        (reported("forbidden", 403), None, False),
        (reply(302, content=b""), None, False),
        (reply(400, content=b"bad"), None, False),
    ],
)
def test_what_was_not_run_is_told_from_what_may_have_been(given: Reply, wait: float | None, *, unknown: bool) -> None:
    verdict = judge(given, now=10.0)
    assert isinstance(verdict, NotRun)
    assert (verdict.wait, verdict.unknown) == (wait, unknown)
    assert "secret" not in verdict.why


@pytest.mark.parametrize("value", ["soon", "inf", "nan", "Thu, 99 Jan 1970 00:00:00 GMT"])
def test_a_wait_that_nobody_understands_is_none(value: str) -> None:
    assert judge(reply(503, {}, retry_after=value), now=0.0) == NotRun(why="it answers 503")


def pausing(verdict: Verdict, *, attempt: int = 1, effect: Effect = "once", until: float = inf) -> float | None:
    return pause(verdict, attempt=attempt, effect=effect, deadline=Deadline(until), now=0.0)


def test_a_call_is_made_again_when_the_server_asks_for_it_and_there_is_time() -> None:
    busy = NotRun(why="busy", wait=5.0)
    assert pausing(busy) == 5.0
    assert pausing(busy, attempt=ATTEMPTS) is None
    assert pausing(busy, until=4.0) is None
    assert pausing(NotRun(why="refused")) is None


@pytest.mark.parametrize("effect", ["read", "idempotent"])
def test_what_may_have_run_is_made_again_once_where_that_does_no_harm(effect: Effect) -> None:
    assert pausing(MayHaveRun(why="broke"), effect=effect) == 0.0
    assert pausing(MayHaveRun(why="broke"), effect=effect, attempt=2) is None
    assert pausing(MayHaveRun(why="broke"), effect=effect, until=0.0) is None


@pytest.mark.parametrize("effect", ["once", keyed(60)])
def test_what_may_have_run_is_not_made_again_where_it_may_do_harm(effect: Effect) -> None:
    assert pausing(MayHaveRun(why="broke"), effect=effect) is None
