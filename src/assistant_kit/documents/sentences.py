"""Where a text may be cut: between sentences, between words, and else between characters as a reader sees them."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

Span: TypeAlias = tuple[int, int]
"""Characters of a text, the last one not included."""

_END: Final = re.compile(
    # What ends a sentence, with closing quotes and the white space behind it. Scripts without spaces need none.
    r"""(?<![.!?\u2026])[.!?\u2026]++["'\u201d\u2019\u00bb)\]]*+\s++|[\u3002\uff01\uff1f\uff61]++["'\u201d\u2019\u300d\u300f\uff09]*+\s*+|\n[^\S\n]*+\n\s*+"""
)
_LINE: Final = re.compile(r"\n")
_WORD: Final = re.compile(r"\s*+\S++\s*+")
_SHORT: Final = re.compile(
    r"(?:\b(?:[^\W\d_]|[Dd]r|[Mm]rs?|[Mm]s|[Pp]rof|[Ss]t|[Nn]o|[Nn]r|[Vv]gl|[Ff]ig|cf|etc|vs|bzw|ca|usw)|\b\d{1,2})\.\s\Z"
)
_LONGEST_SHORT: Final = 8
_JOINERS: Final = "\u200d\u2060\ufeff"
_MOST_JOINED: Final = 64
"""Characters that are looked back for the beginning of a visible one; longer ones are made to break something."""


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the sentences between two characters of a text, each with the white space behind it."""
    begin = start
    for found in _END.finditer(text, start, end):
        if found.end() < end and not _goes_on(text, found):
            yield begin, found.end()
            begin = found.end()
    if begin < end:
        yield begin, end


def _goes_on(text: str, found: re.Match[str]) -> bool:
    """Tell whether a full stop does not end a sentence: behind an abbreviation, or before a small letter."""
    if not found[0].startswith(".") or "\n" in found[0]:
        return False
    if text[found.end()].islower():
        return True
    return (
        found[0][1:].isspace()
        and _SHORT.search(text[max(0, found.start() - _LONGEST_SHORT) : found.start() + 2]) is not None
    )


def lines(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the lines between two characters of a text, each with its line feed."""
    begin = start
    for found in _LINE.finditer(text, start, end):
        yield begin, found.end()
        begin = found.end()
    if begin < end:
        yield begin, end


def words(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the words between two characters of a text, each with the white space behind it."""
    for found in _WORD.finditer(text, start, end):
        yield found.span()


def visible_cut(text: str, start: int, at: int) -> int:
    """Return where to cut instead of at `at`, so that no visible character is split: before it, but after `start`.

    Keeps together what most grapheme clusters of Unicode (UAX 29) are: accents, emoji with skin colours and joiners,
    flags, Hangul of single letters. A cluster without end is cut all the same.
    """
    least = max(start + 1, at - _MOST_JOINED)
    for place in range(at, least - 1, -1):
        if not _inside(text, start, place):
            return place
    return at


def outside_of(kept: Sequence[Span], start: int, at: int) -> int:
    """Return where to cut instead of at `at`, so that none of `kept` is split: before it, but after `start`; or behind.

    They are in order, and do not overlap.
    """
    number = bisect_left(kept, (at, 0)) - 1
    if number < 0 or at >= kept[number][1]:
        return at
    begin, end = kept[number]
    return begin if begin > start else end


def _inside(text: str, start: int, at: int) -> bool:
    char, before = text[at], text[at - 1]
    if unicodedata.category(char)[0] == "M" or char in _JOINERS or before in _JOINERS:
        return True
    if "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f":  # skin colours, tags of flags
        return True
    if _is_flag_half(char):
        return _flag_halves(text, start, at) % 2 == 1
    return "\u1160" <= char <= "\u11ff"  # vowels and final consonants of Hangul


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _flag_halves(text: str, start: int, at: int) -> int:
    """Return how many halves of flags stand before `at`."""
    begin = at
    while begin > max(start, at - _MOST_JOINED) and _is_flag_half(text[begin - 1]):
        begin -= 1
    return at - begin
