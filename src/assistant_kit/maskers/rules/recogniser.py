"""What finds the values of one kind: a shape, and a check of what has that shape."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias

from assistant_kit.maskers.rules.shapes import AHEAD, BEHIND, Shape

Check: TypeAlias = Callable[[str, int, int], tuple[int, int] | None]
"""Looks at text[begin:end], which has the shape, and returns where in the text the value is; None if it is none.

It may look at `BEHIND` characters before it and `AHEAD` behind it, and no others: they may not have come yet."""


_GOES_ON: Final = re.compile(r"\w|[-.,]\w")


class Recogniser(Protocol):
    """Finds the values of one kind. What it finds does not depend on how a text is cut.

    It is given excerpts of a text: `text`, whose first character is the text's character number `base`.
    """

    @property
    def kind(self) -> str:
        """The kind of the values: capital letters, digits and underscores, such as `EMAIL`."""
        ...

    @property
    def reach(self) -> int:
        """How many characters a value has at most, together with what is looked at behind it."""
        ...

    @property
    def behind(self) -> int:
        """How many characters before a place are looked at, at most."""
        ...

    def open(self, text: str, begin: int, base: int) -> int:
        """Return the first place from `begin` on at which more text may change what `find` says; else len(text).

        All places before it are decided. It is not before len(text) - `reach`.
        """
        ...

    def find(self, text: str, begin: int, end: int, base: int) -> Iterable[tuple[int, int]]:
        """Return the values found at the places from `begin` to before `end`, in any order; they may overlap."""
        ...


class ShapeRecogniser:
    """Finds values of a shape that pass a check, at every place where one may begin.

    `before` are regular expressions of fixed length for what must not stand right before the shape.
    """

    def __init__(
        self, kind: str, shape: Shape, check: Check, *, before: tuple[str, ...] = (r"\w",), ignore_case: bool = False
    ) -> None:
        self.kind: str = kind
        self.reach: int = shape.longest + AHEAD
        self.behind: int = BEHIND
        self._check = check
        start = "".join(f"(?<!{each})" for each in before)
        near_end = rf"{shape.whole}[\s\S]{{0,{AHEAD - 1}}}\Z"
        case = "?i:" if ignore_case else "?:"
        self.whole: str = f"({case}{start}{shape.whole})"
        self.begun: str = f"({case}{start}(?:{shape.begun}|{near_end}))"
        self._whole = re.compile(self.whole)
        self._search = Shapes([self])

    def __repr__(self) -> str:
        return f"ShapeRecogniser({self.kind})"

    def open(self, text: str, begin: int, base: int) -> int:  # noqa: ARG002  (a shape is the same everywhere)
        """Return the first place at which a value may have begun that is not decided."""
        return self._search.open(text, begin)

    def find(self, text: str, begin: int, end: int, base: int) -> Iterator[tuple[int, int]]:  # noqa: ARG002  (as above)
        """Return the values found at the places from `begin` to before `end`."""
        return (span for _, span in self._search.find(text, begin, end))

    def at(self, text: str, place: int) -> tuple[int, int] | None:
        """Return the value found at one place."""
        found = self._whole.match(text, place)
        return None if found is None else self._check(text, place, found.end())


class Shapes:
    """Several recognisers of shapes, which look at a text together: for most places one look tells that it is none."""

    def __init__(self, recognisers: Sequence[ShapeRecogniser]) -> None:
        self._recognisers = tuple(recognisers)
        self._reach = max(each.reach for each in recognisers)
        # The lookahead lets the search go on behind the first letter of a match, and not behind its end.
        self._whole = re.compile(f"(?={'|'.join(each.whole for each in recognisers)})")
        self._begun = re.compile("|".join(each.begun for each in recognisers))

    def open(self, text: str, begin: int) -> int:
        """Return the first place at which a value may have begun that is not decided."""
        found = self._begun.search(text, max(begin, len(text) - self._reach))
        return len(text) if found is None else found.start()

    def find(self, text: str, begin: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Return the values found at the places from `begin` to before `end`, each behind its recogniser's number."""
        for found in self._whole.finditer(text, begin):
            place = found.start()
            if place >= end:
                return
            for number, recogniser in enumerate(self._recognisers):
                value = recogniser.at(text, place)
                if value is not None:
                    yield number, value


def before_it(text: str, begin: int) -> str:
    """Return the characters before a place that a check may look at."""
    return text[max(0, begin - BEHIND) : begin]


def goes_on(text: str, end: int) -> bool:
    """Tell whether a number goes on behind its digits, and so is another one: 1,000 or 4711-b."""
    return _GOES_ON.match(text, end) is not None
