"""What both wire formats have in common: ids, SSE frames, and how a route turns an answer into a body or a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from .replies import JSON, Answer, Call, Failed, Incomplete

Outcome = Failed | Incomplete | None


class Ids:
    """Numbers the ids of one server, with the prefixes of OpenAI, or without, as llama.cpp does."""

    def __init__(self, *, prefixed: bool = True) -> None:
        self._prefixed = prefixed
        self._counter = count(1)

    def new(self, prefix: str) -> str:
        """A new id such as `call_00000000000000000000000000000007`."""
        number = f"{next(self._counter):032x}"
        return f"{prefix}_{number}" if self._prefixed else number

    def item_of(self, call_id: str) -> str:
        """The id of the item that holds a call; llama.cpp knows only the call's."""
        return self.new("fc") if self._prefixed else call_id


@dataclass(frozen=True, slots=True)
class EventStream:
    """The events of one streamed answer as SSE bytes."""

    events: Sequence[bytes]
    """Up to the last delta."""
    ending: Sequence[bytes]
    """What says that the answer is finished."""
    done: bytes = b""
    """The closing `[DONE]`, if the format has one."""


class Wire(Protocol):
    """One of the two formats."""

    def body(self, answer: Answer, request: Mapping[str, Any], outcome: Outcome = None) -> JSON:
        """The body of an answer that is not streamed."""
        ...

    def stream(self, answer: Answer, request: Mapping[str, Any], outcome: Outcome = None) -> EventStream:
        """The events of a streamed answer."""
        ...

    def error_event(self, code: str, message: str, sequence_number: int) -> bytes:
        """What the provider sends when it fails in mid-stream."""
        ...


def error_body(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> JSON:
    """An OpenAI error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def dump(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def arguments_text(call: Call) -> str:
    """The arguments of a call as the JSON text that travels."""
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)


Quirk = Callable[[JSON], JSON]


def without_changes(value: JSON) -> JSON:
    """The quirk of a server that has none."""
    return value
