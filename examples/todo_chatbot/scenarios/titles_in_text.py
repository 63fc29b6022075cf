"""Finding titles in a text, so that their words are not read as what the text itself says."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MARK = re.compile("\ue000(\\d+)\ue001")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A text in which each title is a mark."""

    text: str
    titles: tuple[str, ...]

    def titles_in(self, part: str) -> tuple[str, ...]:
        """Return the titles whose marks stand in a part of the text."""
        return tuple(self.titles[int(number)] for number in _MARK.findall(part))

    def shown(self, part: str) -> str:
        """Return a part of the text as it was."""
        return _MARK.sub(lambda mark: self.titles[int(mark[1])], part).strip()


def masked(text: str, titles: Iterable[str]) -> Masked:
    """Put marks in place of titles, the longest first; upper and lower case are the same."""
    text = _MARK.sub("", text)
    known = sorted({" ".join(title.split()) for title in titles if _WORD.search(title)}, key=len, reverse=True)
    for number, title in enumerate(known):
        words = r"\s+".join(map(re.escape, title.split()))
        text = re.sub(rf"(?<![^\W_]){words}(?![^\W_])", f"\ue000{number}\ue001", text, flags=re.IGNORECASE)
    return Masked(text=text, titles=tuple(known))


def unmarked(part: str) -> str:
    """Return a part without its marks."""
    return _MARK.sub(" ", part)


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text in lower case."""
    return frozenset(_words(text))


def _words(text: str) -> Iterator[str]:
    return (word.casefold() for word in _WORD.findall(text))
