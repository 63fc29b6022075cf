"""Turns of a conversation as the API shows them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, cast

from assistant_kit import CallResult, HistoryTurn, Result, Usage, citations
from assistant_kit.documents.citations import Answer
from assistant_kit.documents.document import Location
from assistant_kit.documents.search_tool import SEARCH_DOCUMENTS
from examples.flask_demo.orchestrator.attachments import said
from examples.flask_demo.orchestrator.errors import Invalid

JsonObject: TypeAlias = dict[str, Any]
Status: TypeAlias = Literal["completed", "failed", "cancelled", "waiting", "running"]

_STATUS: Final[Mapping[str | None, Status]] = {
    "completed": "completed",
    "cancelled": "cancelled",
    "waiting": "waiting",
    "failed": "failed",
    "parked": "failed",
    None: "running",
}
_SEARCHES: Final = (SEARCH_DOCUMENTS, "search_handbook")
"""Tools whose results can be cited."""
_FAILED: Final = {"code": "unavailable", "message": "this message could not be answered: say it again"}


def moment(at: float) -> str:
    """Return a time, in seconds since 1970, as ISO 8601; later ones are greater as texts."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def seconds_of(text: str) -> float:
    """Return a time that `moment` wrote. Raises Invalid."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid("this is no time: give the `updated_at` of a conversation") from error
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()


def shown_turns(turns: Sequence[HistoryTurn]) -> list[JsonObject]:
    """Return turns, the oldest first. `steps` has what was said and called in its order; `text` is the last answer."""
    return [
        {
            "id": turn.turn,
            "request_id": turn.request_id,
            "at": moment(turn.started_at),
            "user": said(turn.content),
            "text": turn.text,
            "status": _STATUS[turn.outcome],
            "steps": [{"text": step.text, "tools": [_tool(call) for call in step.tool_calls]} for step in turn.steps],
            "tools": [_tool(call) for call in turn.tool_calls],
            "citations": cited(turn, turns[:place]),
            "usage": shown_usage(turn.usage),
            "error": _FAILED if _STATUS[turn.outcome] == "failed" else None,
        }
        for place, turn in enumerate(turns)
    ]


def pending(turns: Sequence[HistoryTurn]) -> list[JsonObject]:
    """Return the calls that wait for approval."""
    last = turns[-1] if turns else None
    if last is None or last.outcome != "waiting":
        return []
    return [
        {"call_id": call.call_id, "tool": call.tool, "arguments": _arguments(call), "digest": call.digest}
        for call in last.tool_calls
        if call.outcome is None
    ]


async def with_citations(result: Result[str]) -> JsonObject:
    """Return what the event that ends a turn says beside its own: what the answer cites."""
    return {"citations": cited(result, ())}


def cited(turn: Answer, earlier: Sequence[Answer]) -> list[JsonObject]:
    """Return what the answer of a turn cites, each passage once."""
    found = {one.label: one for tool in _SEARCHES for one in citations(turn, earlier=earlier, tool=tool).known}
    return [
        {
            "label": one.label,
            "source": one.source,
            "title": one.title,
            "place": place_of(one.location),
            "text": one.text,
        }
        for one in found.values()
    ]


def place_of(location: Location) -> str:
    """Say where in a document something stands."""
    if location.page is not None:
        last = location.last_page or location.page
        return f"page {location.page}" if last == location.page else f"pages {location.page} to {last}"
    if location.first_line == location.last_line:
        return f"line {location.first_line}"
    return f"lines {location.first_line} to {location.last_line}"


def shown_usage(usage: Usage) -> JsonObject:
    """Return what a turn used."""
    return {
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _tool(call: CallResult) -> JsonObject:
    return {
        "call_id": call.call_id,
        "tool": call.tool,
        "arguments": _arguments(call),
        "outcome": call.outcome,
        "text": call.text,
    }


def _arguments(call: CallResult) -> JsonObject:
    try:
        arguments: object = json.loads(call.arguments)
    except ValueError:
        return {}
    return cast("JsonObject", arguments) if isinstance(arguments, dict) else {}
