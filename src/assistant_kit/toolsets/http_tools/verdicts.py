"""What an answer to a call means: pure decisions, apart from the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias, TypeGuard

from pydantic_core import from_json

from assistant_kit.deadline import Deadline
from assistant_kit.messages import Json, JsonObject, Text
from assistant_kit.protocols.toolset import ToolOutput
from assistant_kit.retry_after import retry_after
from assistant_kit.tool_spec import Effect, may_repeat
from assistant_kit.toolsets.http_tools.content import from_result, from_wire

ATTEMPTS = 3
"""Requests that one call makes at most."""
_QUOTED = 300  # characters of a server's words
_UNSURE = frozenset({"outcome_unknown", "timeout"})
_UNTOUCHED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer, read to its end; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The tool has answered."""

    output: ToolOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """Nothing was run. `wait`: the call may be made again, after so many seconds. `unknown`: there is no such tool.

    `unreached`: there was no connection.
    """

    why: str
    wait: float | None = None
    unknown: bool = False
    unreached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MayHaveRun:
    """Nobody can tell whether the call took effect."""

    why: str


Verdict: TypeAlias = Answered | NotRun | MayHaveRun


def judge(reply: Reply, *, now: float) -> Verdict:
    """Tell what an answer to `POST /mcp/execute` means; `now` is the time of day. What the server says comes first."""
    body = _object(reply)
    error = None if body is None or body.get("ok") is True else _error(body.get("error"))
    if body is not None and error is not None:
        return _reported(reply, error, body, now)
    if HTTPStatus(200) <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return _given(reply, body)
    return _by_status(reply, now)


def pause(verdict: Verdict, *, attempt: int, effect: Effect, deadline: Deadline, now: float) -> float | None:
    """Return the seconds to wait before the next request after number `attempt`, counted from 1; None to give up.

    What was not run is sent again when the server asks for it, or when no connection was made (once). What may have run
    is sent again once, and only where a second effect does no harm.
    """
    match verdict:
        case NotRun(wait=float() as wait) if attempt < ATTEMPTS:
            return wait if deadline.allows(wait, now=now) else None
        case MayHaveRun() if attempt == 1 and may_repeat(effect):
            return 0.0 if deadline.allows(0.0, now=now) else None
        case _:
            return None


def _reported(reply: Reply, error: JsonObject, body: JsonObject, now: float) -> Verdict:
    """Read `{"ok": false, "error": {"type", "message", "retryable"}}`."""
    words = _words(error.get("message")) or "the tool failed and gives no reason"
    kind = error.get("type")
    if kind in _UNSURE:
        return MayHaveRun(why=words)
    if kind == "unknown_tool" or reply.status == HTTPStatus.NOT_FOUND:
        return NotRun(why=words, unknown=True)
    if reply.status in _UNTOUCHED:
        return NotRun(why=words, wait=retry_after(reply.headers, now=now))
    if reply.status in _DENIED:
        return NotRun(why=_denied(reply.status))
    blocks = body.get("content")
    content = from_wire(blocks) if _is_list(blocks) else (Text(text=words),)
    return Answered(output=ToolOutput(content=content, is_error=True))


def _given(reply: Reply, body: JsonObject | None) -> Verdict:
    if body is None:
        if reply.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/plain":
            return Answered(output=ToolOutput(content=(Text(text=reply.body.decode(errors="replace")),)))
        return MayHaveRun(why="its answer is no JSON object")
    failed = body.get("ok") is False
    blocks = body.get("content")
    if _is_list(blocks):
        return Answered(output=ToolOutput(content=from_wire(blocks), is_error=failed))
    if "result" in body or "ok" in body:
        return Answered(output=ToolOutput(content=from_result(body.get("result")), is_error=failed))
    return MayHaveRun(why="its answer has neither result nor content")


def _by_status(reply: Reply, now: float) -> Verdict:
    """Judge an answer without a word of the contract: of a proxy, or of a server that speaks another one."""
    status = reply.status
    if status in _UNTOUCHED:
        return NotRun(why=f"it answers {status}", wait=retry_after(reply.headers, now=now))
    if status in _DENIED:
        return NotRun(why=_denied(status))
    if status == HTTPStatus.NOT_FOUND:
        return NotRun(why="it answers 404", unknown=True)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return NotRun(why=f"it answers {status}")
    return MayHaveRun(why=f"it answers {status}")


def _error(value: Json) -> JsonObject | None:
    """Return the error of a body as an object; servers exist that put a text there."""
    if isinstance(value, str):
        return {"message": value}
    return value if isinstance(value, Mapping) else None


def _denied(status: int) -> str:
    return f"it does not accept who asks ({status})"


def _object(reply: Reply) -> JsonObject | None:
    try:
        value: Json = from_json(reply.body)
    except ValueError:
        return None
    return value if isinstance(value, Mapping) else None


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _words(value: Json) -> str:
    return " ".join(value.split())[:_QUOTED] if isinstance(value, str) else ""
