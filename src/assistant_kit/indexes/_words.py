"""A text as the words by which it is found: the same for what is kept and for what is asked."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

MAX_WORD: Final = 64
"""Characters of a word; the rest is cut off. Longer ones are data, and no database should keep them in its index."""

_RUN: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile(
    # Kana, Han, and what stands for a Han character; Thai, Lao, Burmese and Khmer.
    "[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+"
)


def words(text: str) -> list[str]:
    """Return the words of a text in their order: letters and digits, without case and accents.

    Scripts that do not part words give pairs of neighbouring characters, which find a word wherever it stands.
    """
    return list(_words(folded(text)))


def folded(text: str) -> str:
    """Return a text without case, accents, and differences in the way characters are written."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in apart if not unicodedata.combining(char))
    return unicodedata.normalize("NFKC", bare.casefold())


def _words(text: str) -> Iterator[str]:
    for run in _RUN.findall(text):
        if run.isascii():
            yield run[:MAX_WORD]
        else:
            yield from _parts(run)


def _parts(run: str) -> Iterator[str]:
    """Yield the words of a run of letters in which scripts with and without spaces may stand side by side."""
    at = 0
    for found in _UNSPACED.finditer(run):
        if found.start() > at:
            yield run[at : found.start()][:MAX_WORD]
        yield from _pairs(found[0])
        at = found.end()
    if at < len(run):
        yield run[at:][:MAX_WORD]


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for first, second in pairwise(run):
        yield first + second
