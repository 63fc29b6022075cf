"""Finds private values in a text that comes in pieces, and decides between those that overlap.

What a scanner finds is a function of the whole text: of what is decided already more text changes nothing.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from assistant_kit.maskers.rules.recogniser import Recogniser, ShapeRecogniser, Shapes
from assistant_kit.protocols.masker import Private

Part: TypeAlias = "str | Private"
"""A piece of text that is not private, or a value."""


@dataclass(frozen=True, slots=True)
class Match:
    """A value at text[begin:end]. `strength` decides between those that overlap."""

    begin: int
    end: int
    kind: str
    strength: tuple[bool, int, int]


class Search:
    """Looks for the values of all recognisers. Those of `above` win over all others. One serves many texts."""

    def __init__(self, recognisers: Sequence[Recogniser], *, above: ShapeRecogniser) -> None:
        ranked: list[tuple[int, Recogniser]] = list(enumerate([above, *recognisers]))
        self._shapes: list[tuple[int, ShapeRecogniser]] = [
            (rank, each) for rank, each in ranked if isinstance(each, ShapeRecogniser)
        ]
        self._together = Shapes([each for _, each in self._shapes])
        self._others = [(rank, each) for rank, each in ranked if not isinstance(each, ShapeRecogniser)]
        self.behind: int = max(each.behind for _, each in ranked)

    def open(self, text: str, begin: int, base: int) -> int:
        """Return the first place from `begin` on at which more text may change what `find` says."""
        first = self._together.open(text, begin)
        return min((first, *(each.open(text, begin, base) for _, each in self._others)))

    def find(self, text: str, begin: int, end: int, base: int) -> Iterator[Match]:
        """Return the values found at the places from `begin` to before `end`."""
        for number, span in self._together.find(text, begin, end):
            yield _match(*self._shapes[number], span)
        for rank, recogniser in self._others:
            for span in recogniser.find(text, begin, end, base):
                yield _match(rank, recogniser, span)


def _match(rank: int, recogniser: Recogniser, span: tuple[int, int]) -> Match:
    begin, end = span
    return Match(begin, end, recogniser.kind, (rank == 0, end - begin, -rank))


class Scanner:
    """Takes a text in pieces and returns it in parts, each as soon as it is certain.

    Of matches that overlap the longest wins, then the one of the recogniser that stands first, then the first in the
    text. What a match that has lost has outside of the winner is a value, too: so each character in any match is in a
    value.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._text = ""  # what is still looked at
        self._base = 0  # its place in the whole text
        self._at = 0  # up to here it was returned
        self._decided = 0  # matches of all places before this one are known
        self._matches: deque[Match] = deque()  # in their order, not yet looked at
        self._rivals: list[Match] = []  # looked at, and perhaps not returned whole

    @property
    def held(self) -> int:
        """The number of characters that were fed and not returned."""
        return len(self._text) - self._at

    def feed(self, piece: str) -> list[Part]:
        """Take a piece, and return what is certain by now."""
        self._text += piece
        return self._decide(self._search.open(self._text, self._decided, self._base))

    def finish(self) -> list[Part]:
        """Return what was held back: the text has ended."""
        return self._decide(len(self._text))

    def _decide(self, end: int) -> list[Part]:
        found = list(self._search.find(self._text, self._decided, end, self._base))
        if found:
            self._matches = deque(sorted([*self._matches, *found], key=lambda match: match.begin))
        self._decided = end
        parts = list(self._parts())
        self._drop()
        return parts

    def _parts(self) -> Iterator[Part]:
        for match in self._chosen():
            if match.begin > self._at:
                yield self._text[self._at : match.begin]
            yield Private(kind=match.kind, value=self._text[match.begin : match.end])
            self._at = match.end
        certain = min((self._begin(match) for match in [*self._rivals, *self._matches]), default=self._decided)
        certain = min(certain, self._decided)
        if certain > self._at:
            yield self._text[self._at : certain]
            self._at = certain

    def _chosen(self) -> Iterator[Match]:
        """Return what is certain to be a value, in order; `_at` is behind each before the next is looked for."""
        while True:
            self._meet(self._at + 1)
            self._rivals = [match for match in self._rivals if match.end > self._at]
            if not self._rivals:
                if not self._matches:
                    return
                self._rivals.append(self._matches.popleft())
                continue
            self._meet(min(map(self._begin, self._rivals)) + 1)
            begin = min(map(self._begin, self._rivals))
            first = [match for match in self._rivals if self._begin(match) == begin]
            end = max(match.end for match in first)
            if end > self._decided:
                return
            self._meet(end)
            best = _strongest(match for match in self._rivals if match.begin < end)
            if self._begin(best) > begin:
                yield replace(_strongest(first), begin=begin, end=best.begin)
            yield replace(best, begin=self._begin(best))

    def _meet(self, end: int) -> None:
        """Make rivals of the matches that begin before `end`."""
        while self._matches and self._matches[0].begin < end:
            self._rivals.append(self._matches.popleft())

    def _begin(self, match: Match) -> int:
        return max(match.begin, self._at)

    def _drop(self) -> None:
        """Forget the text that nobody looks at any more."""
        cut = min(self._at, self._decided) - self._search.behind
        if cut <= 0:
            return
        self._text = self._text[cut:]
        self._base += cut
        self._at -= cut
        self._decided -= cut
        self._matches = deque(_moved(match, cut) for match in self._matches)
        self._rivals = [_moved(match, cut) for match in self._rivals]


def _strongest(matches: Iterable[Match]) -> Match:
    return max(matches, key=lambda match: (match.strength, -match.begin))


def _moved(match: Match, cut: int) -> Match:
    return replace(match, begin=match.begin - cut, end=match.end - cut)
