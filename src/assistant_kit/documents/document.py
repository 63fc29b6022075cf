"""A document as it was read: its text, and the pieces that it is made of."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

BlockKind: TypeAlias = Literal["heading", "paragraph", "item", "code", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where a piece of a text begins: a character, the headings above it, and the page, from 1."""

    kind: BlockKind
    start: int
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece that is best kept whole: the characters from `start` to before `end`, white space behind it included."""

    kind: BlockKind
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader makes of a document. `title` is empty when the document has none."""

    text: str
    marks: Sequence[Mark]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document that was read. `source` is its address, or whatever name the application gives it.

    `blocks` cover `text` without gaps, in order. Lines of a plain text and of Markdown are those of the file; HTML
    and PDF have the lines of the text that was extracted.
    """

    source: str
    title: str
    media_type: str
    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where in a document a passage stands. Pages and lines count from 1, and the last ones are included.

    `headings` are those above it, the outermost first; `page` and `last_page` are None where there are no pages.
    `start` and `end` are characters of the document's text, from 0, `end` not included.
    """

    start: int
    end: int
    first_line: int
    last_line: int
    headings: tuple[str, ...] = ()
    page: int | None = None
    last_page: int | None = None


def tiled(reading: Reading) -> tuple[Block, ...]:
    """Return blocks that cover the text: each reaches to the next, and the first begins with the text.

    A text in which nothing begins, such as one of a rule only, is one block.
    """
    marks = reading.marks or [Mark(kind="paragraph", start=0)]
    ends = [*(mark.start for mark in marks[1:]), len(reading.text)]
    return tuple(
        Block(kind=mark.kind, start=mark.start if index else 0, end=end, headings=mark.headings, page=mark.page)
        for index, (mark, end) in enumerate(zip(marks, ends, strict=True))
        if mark.start < end
    )


class Outline:
    """The headings above the place that a reader has reached."""

    def __init__(self) -> None:
        self.path: tuple[str, ...] = ()
        self._levels: tuple[int, ...] = ()

    def enter(self, level: int, heading: str) -> None:
        """Go on under a heading; 1 is the highest level."""
        above = sum(1 for outer in self._levels if outer < level)
        self.path = (*self.path[:above], heading)
        self._levels = (*self._levels[:above], level)


class Lines:
    """Tells the line, from 1, in which a character of a text stands."""

    def __init__(self, text: str) -> None:
        self._starts = line_starts(text)

    def at(self, position: int) -> int:
        """Return the line of the character at `position`."""
        return bisect_right(self._starts, position)


def line_starts(text: str, begin: int = 0) -> list[int]:
    """Return where the lines of a text begin, from `begin` on."""
    starts = [begin]
    while (end := text.find("\n", starts[-1])) >= 0:
        starts.append(end + 1)
    return starts


def shared(paths: Collection[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the headings with which all of these paths begin."""
    first = min(paths, default=())
    last = max(paths, default=())
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:same]
