"""The cheap way to read a stream of text: an event that differs from an earlier one in its text alone.

Parsing a whole event costs more than the rest of the work on a token, and all but a few bytes of it repeat. So a
pattern is cut from an event that was parsed. What lies around the text is then known to be sound, and what lies between
is taken only when JSON writes it as it is: no quote, no backslash, no control character. An event that differs in any
other way is no match, and is parsed.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from assistant_kit.events import Token
from assistant_kit.models._openai.sse import END, EventBlocks
from assistant_kit.protocols.model import Emit

TextOf: TypeAlias = Callable[[bytes], str | None]

_NUMBER = re.compile(rb'"sequence_number":(\d{1,8})(?=[,}])')  # 8 bytes have no room for another member of the object
_PROBE = "other text"
_MOST_PATTERNS = 24  # events whose other fields change all the time are not worth it


class TextStream:
    """Reads the bytes of a stream: emits its plain text, and hands every other event to `parse`.

    `key` is the name of the field that holds text; `read` parses an event and returns that text if it holds nothing
    else of interest.
    """

    def __init__(self, key: bytes, *, emit: Emit, parse: Callable[[bytes], None], read: TextOf) -> None:
        self.texts: list[str] = []
        self._blocks = EventBlocks()
        self._text_of: TextOf = _nothing
        self._emit = emit
        self._parse = parse
        self._read = read
        self._marker = b'"' + key + b'":"'
        self._patterns = 0

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes."""
        if self._blocks.between and (text := self._text_of(chunk)) is not None:  # one event: most chunks are
            self.texts.append(text)
            self._emit(Token(text))
            return
        for block in self._blocks.feed(chunk):
            text = self._text_of(block + END)
            if text is None:
                self._parse(block)
            else:
                self.texts.append(text)
                self._emit(Token(text))

    def end(self) -> None:
        """Read what is left when the stream has ended."""
        for block in self._blocks.rest():
            self._parse(block)

    def add(self, text: str, block: bytes) -> None:
        """Take a text that was parsed out of an event, and the event as the pattern of those to come."""
        if not text:
            return
        self.texts.append(text)
        self._emit(Token(text))
        if self._patterns < _MOST_PATTERNS and _is_plain(text):
            self._patterns += 1
            self._learn(block, text.encode())

    def _learn(self, block: bytes, text: bytes) -> None:
        if block.count(self._marker + text + b'"') != 1:
            return
        start = block.index(self._marker + text) + len(self._marker)
        head, tail = block[:start], block[start + len(text) :]
        if self._read(head + _PROBE.encode() + tail) == _PROBE:
            self._text_of = _pattern(head, tail + END)


def _pattern(head: bytes, tail: bytes) -> TextOf:
    """Return what reads events like this one; the number that counts events may differ, at the same length."""
    first, last = len(head), -len(tail)
    more, at, end = b"", 0, None
    if (found := _NUMBER.search(head)) is not None:
        at = found.end()
        head, more = head[: found.start(1)], head[at:]
    elif (found := _NUMBER.search(tail)) is not None:
        at, end = found.end() + last, found.start(1) + last
        tail, more = tail[: found.start(1)], tail[found.end() :]

    def text_of(block: bytes) -> str | None:
        if not (block.startswith(head) and block.startswith(more, at) and block.endswith(tail, 0, end)):
            return None
        try:
            text = block[first:last].decode()
        except UnicodeDecodeError:
            return None
        return text if text and text.isprintable() and '"' not in text and "\\" not in text else None

    return text_of


def _is_plain(text: str) -> bool:
    return text.isprintable() and '"' not in text and "\\" not in text


def _nothing(_: bytes) -> None:
    """Recognise no event: none was learned from yet."""
