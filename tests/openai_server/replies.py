"""What the test server can reply: an answer, an error status, or one of the ways in which a stream goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeAlias

JSON: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call the model asks for; `arguments` is JSON text, or a mapping that is dumped."""

    name: str
    arguments: str | Mapping[str, Any] = "{}"
    call_id: str | None = None
    """Made up by the server if None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one answer."""

    input: int = 11
    output: int = 7
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the model, served in the shape the route and `stream` ask for."""

    text: str = ""
    tool_calls: tuple[Call, ...] = ()
    refusal: str = ""
    reasoning: str = ""
    """Summary of the thinking: a reasoning item in Responses, `reasoning_content` in Chat Completions."""
    usage: Usage | None = Usage()
    """None leaves usage out, as some compatible servers do."""
    pieces: int | tuple[str, ...] = 3
    """Into how many deltas the text is cut, or the deltas themselves (then `text` may be left empty)."""
    argument_pieces: int = 3
    """Into how many deltas each call's arguments are cut."""
    phase: Literal["commentary", "final_answer"] | None = None
    """Responses only: the phase of the message."""
    items: tuple[JSON, ...] = ()
    """Responses only: further output items, served as they are, ahead of the message."""

    @property
    def full_text(self) -> str:
        """The text, joined from the pieces if only those were given."""
        if self.text or isinstance(self.pieces, int):
            return self.text
        return "".join(self.pieces)


OK = Answer("ok")


@dataclass(frozen=True, slots=True)
class Status:
    """An HTTP status with a body: an error object, other JSON, or text such as the HTML of some other server."""

    code: int
    body: JSON | str | None = None
    """None: an OpenAI error object with a message of its own."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is dropped after some events of the stream, or in the middle of a body that is not streamed."""

    after_events: int = 0
    answer: Answer = OK


@dataclass(frozen=True, slots=True)
class NoTerminal:
    """The stream ends cleanly, but without its terminal event, finish reason or `[DONE]`."""

    answer: Answer = OK
    done_only: bool = False
    """Only the `[DONE]` line is missing, which many compatible servers never send."""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The provider reports an error in mid-stream and ends; a 500 when the request is not streamed."""

    code: str = "server_error"
    message: str = "The server had an error while processing your request."
    after_events: int = 3
    answer: Answer = OK


@dataclass(frozen=True, slots=True)
class Failed:
    """Responses: `response.failed`, or status `failed` in a body. Chat Completions knows no such thing: an error."""

    code: str = "server_error"
    message: str = "An error occurred while processing your request."
    answer: Answer = OK


@dataclass(frozen=True, slots=True)
class Incomplete:
    """An answer that was stopped: `response.incomplete`, or finish reason `length` or `content_filter` in Chat."""

    reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens"
    answer: Answer = OK


@dataclass(frozen=True, slots=True)
class BrokenJson:
    """One event (or the body) is not JSON."""

    after_events: int = 1
    answer: Answer = OK


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence for at most `seconds`, until `server.release()` or until the client leaves; then the answer goes on."""

    seconds: float
    after_events: int | None = None
    """None: before the status line; a number: after so many events of the stream."""
    answer: Answer = OK


@dataclass(frozen=True, slots=True)
class Paced:
    """An answer whose events come one by one, with so many seconds between them, until `server.release()`."""

    seconds: float
    answer: Answer = OK


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes on the socket, then it is closed; `Raw(b"")` is a server that leaves without a word."""

    data: bytes


Reply: TypeAlias = (
    Answer | Status | Cut | NoTerminal | ErrorEvent | Failed | Incomplete | BrokenJson | Hang | Paced | Raw
)


def cut_into(text: str, pieces: int | tuple[str, ...]) -> list[str]:
    """Cut a text into that many pieces of about one length (fewer if it is short), or return the pieces given."""
    if not isinstance(pieces, int):
        return list(pieces)
    count = max(1, min(pieces, len(text)))
    bounds = [len(text) * index // count for index in range(count + 1)]
    return [text[start:end] for start, end in pairwise(bounds) if start < end]
