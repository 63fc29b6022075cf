"""Values of an application's own, found by its regular expression or its function."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, TypeAlias

from assistant_kit.errors import ConfigurationError

Spans: TypeAlias = Callable[[str], Iterable[tuple[int, int]]]
"""Returns where in a text the values are: begin and end of each."""

Within: TypeAlias = Literal["word", "line"]
"""What a value does not go beyond: white space, or the end of a line."""

_KIND: Final = re.compile(r"[A-Z][A-Z0-9_]{0,30}")
_BREAKS: Final = {"word": re.compile(r"\s"), "line": re.compile(r"[\r\n]")}


class Pattern:
    """Finds the values of a kind of yours in each word or line of a text, which is given to `find` by itself.

    `find` is a regular expression, of which the group `value` counts if there is one, or a function. It sees nothing
    beyond the word or line, so that it cannot matter how a text was cut; a stream holds back that much. In one of more
    than `longest` characters it looks at windows of twice that length, so that it finds every value of up to `longest`
    characters; where those begin depends on what stands before. Raises ConfigurationError.
    """

    def __init__(
        self, kind: str, find: str | re.Pattern[str] | Spans, *, within: Within = "word", longest: int = 256
    ) -> None:
        if _KIND.fullmatch(kind) is None:
            raise ConfigurationError(f"{kind!r} is no kind of values: use capital letters, digits and underscores")
        if longest < 1:
            raise ConfigurationError(f"Pattern {kind}: longest is a number of characters, at least 1")
        self.kind: str = kind
        self.reach: int = 3 * longest
        self.behind: int = 3 * longest
        self._find = find if callable(find) else _by_expression(kind, find)
        self._break = _BREAKS[within]
        self._longest = longest

    def __repr__(self) -> str:
        return f"Pattern({self.kind})"

    def open(self, text: str, begin: int, base: int) -> int:
        """Return where the word or line begins that has not ended, or the first window that is not full."""
        first = self._first(text, len(text))
        if len(text) - first > self._longest:
            window = ((base + len(text)) // self._longest - 1) * self._longest - base
            first = max(first, window)
        return max(begin, first)

    def find(self, text: str, begin: int, end: int, base: int) -> Iterator[tuple[int, int]]:
        """Return the values that begin at the places from `begin` to before `end`."""
        place = self._first(text, begin)
        while place < end:
            found = self._break.search(text, place)
            stop = len(text) if found is None else found.start()
            for first, last in self._windows(place, stop, base):
                if first < end and last > begin:
                    yield from self._inside(text, first, last, begin, end)
            place = stop + 1

    def _first(self, text: str, end: int) -> int:
        """Return where the word or line begins in which this place is, if it is not farther than anybody looks."""
        start = max(0, end - self.behind)
        found = start
        for match in self._break.finditer(text, start, end):
            found = match.end()
        return found

    def _windows(self, begin: int, end: int, base: int) -> Iterator[tuple[int, int]]:
        if end - begin <= self._longest:
            yield begin, end
            return
        first = (begin + base) // self._longest * self._longest - base
        for window in range(first, end, self._longest):
            yield max(begin, window), min(end, window + 2 * self._longest)

    def _inside(self, text: str, first: int, last: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
        for start, stop in self._find(text[first:last]):
            if 0 <= start < stop <= last - first and begin <= first + start < end:
                yield first + start, first + stop


def _by_expression(kind: str, find: str | re.Pattern[str]) -> Spans:
    try:
        expression = re.compile(find)
    except re.error as error:
        raise ConfigurationError(f"Pattern {kind}: this is no regular expression: {error}") from error
    group = "value" if "value" in expression.groupindex else 0
    return lambda text: (match.span(group) for match in expression.finditer(text))
