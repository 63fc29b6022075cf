"""What a run looks like in a terminal or a pipe: text as it comes, tool calls and results on lines of their own."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO, cast

from assistant_kit.events import (
    ApprovalRequired,
    ContextCompacted,
    Delayed,
    Event,
    FellBack,
    Retrying,
    TextRetracted,
    ToolRequest,
    ToolResult,
)
from assistant_kit.run.history import HistoryTurn
from examples.todo_chatbot.services.texts import is_plain

_SHORT = 100  # characters of arguments or results on a line
_DIM, _RED, _BOLD, _PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[1m", "\x1b[0m"


class Screen:
    """Writes to two streams; with colours where they are a terminal."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        """Take standard output and standard error."""
        self._out = out
        self._err = err
        self._colours = out.isatty()
        self._in_line = False

    def line(self, text: str = "", style: str = "") -> None:
        """Write a line."""
        self.end_line()
        self._write(self._styled(printable(text), style) + "\n")

    def note(self, text: str) -> None:
        """Write a line about what goes on."""
        self.line(text, _DIM)

    def heard(self, text: str) -> None:
        """Write what the user said, where the terminal has not shown it already."""
        self.line(f"> {text}", _BOLD)

    def problem(self, text: str) -> None:
        """Write what went wrong, on one line of standard error."""
        self.end_line()
        self._err.write(f"error: {' '.join(printable(text).split())}\n")
        self._err.flush()

    def show(self, event: Event) -> None:
        """Show one event of a run."""
        match event.kind:
            case "token" | "refusal_token":
                self._write(printable(event.text))
                self._in_line = not event.text.endswith("\n")
            case "tool_request":
                self.note(f"  -> {event.tool}({_arguments(event)})")
            case "tool_progress":
                of = "" if event.total is None else f" of {event.total:g}"
                self.note(f"  .. {event.tool}: {event.progress:g}{of}")
            case "tool_result":
                self.line(f"  <- {_result(event)}", _DIM if event.outcome == "ok" else _RED)
            case "text_retracted" | "retrying" | "delayed" | "fell_back" | "approval_required" | "compacted":
                self.note(f"  ({_happening(event)})")
            case "toolset_unavailable":
                self.note(f"  (without {event.toolset}: {printable(event.reason)})")
            case "complete" | "error" | "reasoning_token":
                self.end_line()

    def history(self, turns: Sequence[HistoryTurn]) -> None:
        """Show a conversation so far."""
        for turn in turns:
            self.heard(turn.input)
            for call in turn.tool_calls:
                self.note(f"  {call.tool}({_shortened(call.arguments)}): {call.outcome or 'not finished'}")
            ended = turn.outcome in ("completed", "waiting")
            self.line(
                turn.text if ended else f"({turn.outcome or 'not finished'}{': ' * bool(turn.reason)}{turn.reason})"
            )

    def end_line(self) -> None:
        """Go to the beginning of a line."""
        if self._in_line:
            self._write("\n")
            self._in_line = False

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{_PLAIN}" if style and self._colours else text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def standard_screen() -> Screen:
    """Return the screen of this process; what its encoding cannot show becomes a question mark."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    return Screen(sys.stdout, sys.stderr)


def printable(text: str) -> str:
    """Replace control characters: nothing that a model or a tool says may steer the terminal."""
    return text if is_plain(text) else "".join(char if is_plain(char) else "\ufffd" for char in text)


def _happening(event: TextRetracted | Retrying | Delayed | FellBack | ApprovalRequired | ContextCompacted) -> str:
    match event.kind:
        case "text_retracted":
            return "the text above does not count"
        case "retrying":
            return f"trying again in {event.delay:.1f} s: {event.error}"
        case "delayed":
            return f"{event.name} is busy: waiting for a turn"
        case "fell_back":
            return f"asking {event.to} instead of {event.model} ({event.reason})"
        case "approval_required":
            return f"{event.tool} waits for approval"
        case "compacted":
            return f"this conversation has become long: {event.strategy}"


def _arguments(event: ToolRequest) -> str:
    return "arguments that are no JSON object" if event.arguments is None else _shortened(_fields(event.arguments))


def _result(event: ToolResult) -> str:
    if event.outcome != "ok":
        return _shortened(f"{event.outcome}: {event.text}")
    try:
        value = json.loads(event.text)
    except ValueError:
        return _shortened(event.text)
    return _shortened(_fields(cast("Mapping[str, Any]", value)) if isinstance(value, dict) else event.text)


def _fields(record: Mapping[str, Any]) -> str:
    """Write a JSON object in short: no empty texts, and lists by their length."""
    filled = {name: value for name, value in record.items() if value != ""}
    return ", ".join(f"{name}={_brief(value)}" for name, value in filled.items())


def _brief(value: Any) -> str:
    return f"[{len(cast('list[Any]', value))}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"
