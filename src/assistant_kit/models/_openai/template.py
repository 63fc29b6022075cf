"""The cheap way to read a stream of text: an event that differs from an earlier one in its text alone.

Parsing a whole event costs twice what the rest of the work on a token costs, and all but a few bytes of it repeat.
A template is cut from an event that was parsed, so what lies around the text is known to be sound; what lies between
is taken only when it needs no parsing: no quote, no backslash, no control character. An event that differs in any other
way is no match, and is parsed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

_NUMBER = re.compile(rb'"sequence_number":(\d{1,8})(?=[,}])')  # 8 digits have no room for another member of the object
_PROBE = "other text"
_MOST_CUTS = 24  # an event whose other fields change all the time is not worth cutting


@dataclass(frozen=True, slots=True)
class _Cut:
    """`head`, as many bytes as a number had, `middle` from position `at`, the text, `tail` up to position `end`."""

    head: bytes
    middle: bytes
    at: int
    tail: bytes
    end: int | None
    first: int
    last: int | None


class DeltaTemplate:
    """Reads the text of events that are like an earlier one.

    `key` is the name of the field that holds the text; `read` parses an event and returns its text, or None.
    """

    __slots__ = ("_cut", "_cuts", "_marker", "_read")

    def __init__(self, key: bytes, read: Callable[[bytes], str | None]) -> None:
        self._marker = b'"' + key + b'":"'
        self._read = read
        self._cut: _Cut | None = None
        self._cuts = 0

    def text_of(self, block: bytes) -> str | None:
        """Return the text of an event that is like the one learned from; None when it has to be parsed."""
        cut = self._cut
        if (
            cut is None
            or not block.startswith(cut.head)
            or not block.startswith(cut.middle, cut.at)
            or not block.endswith(cut.tail, 0, cut.end)
        ):
            return None
        try:
            text = block[cut.first : cut.last].decode()
        except UnicodeDecodeError:
            return None
        return text if is_plain(text) else None

    def learn(self, block: bytes, text: str) -> None:
        """Take the event `block`, whose text was parsed as `text`, as the pattern of those to come."""
        if self._cuts >= _MOST_CUTS or not text or not is_plain(text):
            return
        self._cuts += 1
        written = self._marker + text.encode() + b'"'
        if block.count(written) != 1:
            return
        first = block.index(written) + len(self._marker)
        last = first + len(text.encode())
        head, tail = block[:first], block[last:]
        if self._read(head + _PROBE.encode() + tail) == _PROBE:
            self._cut = _cut(head, tail)


def is_plain(text: str) -> bool:
    """Tell whether JSON writes a text as it is."""
    return text.isprintable() and '"' not in text and "\\" not in text


def _cut(head: bytes, tail: bytes) -> _Cut:
    last = -len(tail)
    if (number := _NUMBER.search(head)) is not None:
        at = number.end()
        return _Cut(head[: number.start(1)], head[at:], at, tail, None, len(head), last)
    if (number := _NUMBER.search(tail)) is not None:
        return _Cut(head, b"", 0, tail[: number.start(1)], number.start(1) + last, len(head), last)
    return _Cut(head, b"", 0, tail, None, len(head), last)
