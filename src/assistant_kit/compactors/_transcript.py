"""A conversation as text for a model to sum up: a line of JSON for each message, so that none can pass for another."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    Image,
    Item,
    Part,
    ProviderItem,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.text_pieces import pieces
from assistant_kit.turns import Turn

LINE_BREAK = 2
"""Tokens that two lines may take more together than alone (as `request_tokens.PART`), the break included."""


@dataclass(slots=True, kw_only=True)
class Portion:
    """Turns that are summed up together: their records, and their lines.

    `tokens` are those of the lines, `shown` those that the turns take in a window.
    """

    first: int = 0
    last: int = 0
    turns: int = 0
    shown: int = 0
    lines: list[str] = field(default_factory=list[str])
    tokens: int = 0


class Portions:
    """Parts turns into portions of at most `max_tokens`, without holding more of them than one portion.

    A turn that is longer is a portion of its own.
    """

    def __init__(self, max_tokens: int, counter: TokenCounter) -> None:
        self._max_tokens = max_tokens
        self._counter = counter
        self._portion = Portion()

    @property
    def begun(self) -> bool:
        """Whether there are turns in a portion that was not returned yet."""
        return self._portion.turns > 0

    def add(self, turn: Turn) -> Portion | None:
        """Take the next turn; return the portion before it, if it is full."""
        lines = list(lines_of(turn))
        tokens = sum(self._counter.count(line) + LINE_BREAK for line in lines)
        full = None
        if self._portion.turns and self._portion.tokens + tokens > self._max_tokens:
            full = self.rest(before=turn.seq)
        portion = self._portion
        portion.first = portion.first or turn.seq
        portion.last = turn.seq
        portion.turns += 1
        portion.shown += turn.tokens
        portion.lines += lines
        portion.tokens += tokens
        return full

    def rest(self, *, before: int | None) -> Portion | None:
        """Return the last portion, if there is one; the records from `before` on are not in it."""
        portion, self._portion = self._portion, Portion()
        if before is not None:
            portion.last = max(portion.last, before - 1)
        return portion if portion.turns else None


def lines_of(turn: Turn) -> Iterator[str]:
    """Return the messages of a turn; reasoning is left out."""
    for block in turn.blocks:
        for item in block.items:
            line = _line_of(item)
            if line:
                yield json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def text_lines(summaries: Iterable[str]) -> list[str]:
    """Return earlier summaries, each a line."""
    return [json.dumps({"summary": text}, ensure_ascii=False, separators=(",", ":")) for text in summaries]


def parts_of(lines: Sequence[str], max_tokens: int, counter: TokenCounter) -> Iterator[str]:
    """Return the lines as texts of at most `max_tokens`; only a line that is longer than that is parted."""
    part: list[str] = []
    room = max_tokens
    for line in lines:
        for piece in pieces(line, max_tokens - LINE_BREAK, counter):
            tokens = counter.count(piece) + LINE_BREAK
            if part and tokens > room:
                yield "\n".join(part)
                part, room = [], max_tokens
            part.append(piece)
            room -= tokens
    if part:
        yield "\n".join(part)


def _line_of(item: Item) -> dict[str, str]:
    match item:
        case UserMessage():
            return {"user": _words(item.content)}
        case DeveloperMessage():
            return {"application": item.text}
        case AssistantMessage():
            return {"assistant": item.text or item.refusal or ""}
        case ToolCall():
            return {"call": item.name, "arguments": item.arguments}
        case ToolAnswer():
            return {"result": _words(item.content), "outcome": item.outcome}
        case ProviderItem():
            return {"provider": item.type}
        case _:
            return {}


def _words(content: Sequence[Part]) -> str:
    return "\n".join(_word(part) for part in content)


def _word(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    return "(a picture)" if isinstance(part, Image) else f"(a file: {part.filename or 'without a name'})"
