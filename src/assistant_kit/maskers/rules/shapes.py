"""Shapes of values: regular expressions that also tell whether the end of a text may be the beginning of a value.

`re` cannot say that a text would match if more of it came. So each shape is written twice, by the functions here: as
the expression for a whole value, and as one for a beginning of it that reaches the end of the text. Everything is
bounded, and so are a value's length and the time that looking at one place takes.
"""

import re
from dataclasses import dataclass
from functools import reduce
from typing import Final

AHEAD: Final = 2
"""Characters behind a value that may be looked at to decide whether it is one."""

BEHIND: Final = 16
"""Characters before a value that may be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`whole` matches a value, `begun` a beginning of one, empty or complete, up to the end of the text.

    `longest` is the number of characters that a value has at most.
    """

    whole: str
    begun: str
    longest: int


def chars(allowed: str, least: int = 1, most: int = 1) -> Shape:
    """Make a shape of `least` to `most` characters of a class such as `a-z0-9`."""
    return Shape(whole=f"[{allowed}]{{{least},{most}}}", begun=rf"[{allowed}]{{0,{most}}}\Z", longest=most)


def word(text: str) -> Shape:
    """Make a shape of just this text."""
    escaped = [re.escape(letter) for letter in text]
    begun = reduce(lambda rest, letter: f"(?:{letter}{rest})?", reversed(escaped), "")
    return Shape(whole="".join(escaped), begun=rf"{begun}\Z", longest=len(text))


def sequence(*shapes: Shape) -> Shape:
    """Make a shape of several, one after another."""
    *before, last = shapes
    begun = reduce(lambda rest, shape: f"(?:{shape.begun}|{shape.whole}{rest})", reversed(before), last.begun)
    whole = "".join(shape.whole for shape in shapes)
    return Shape(whole=whole, begun=f"(?:{begun})", longest=sum(shape.longest for shape in shapes))


def either(*shapes: Shape) -> Shape:
    """Make a shape of alternatives; of those that match, the first counts."""
    return Shape(
        whole=f"(?:{'|'.join(shape.whole for shape in shapes)})",
        begun=f"(?:{'|'.join(shape.begun for shape in shapes)})",
        longest=max(shape.longest for shape in shapes),
    )


def repeated(shape: Shape, least: int, most: int) -> Shape:
    """Make a shape of `least` to `most` times another one; `most` is at least 1."""
    return Shape(
        whole=f"(?:{shape.whole}){{{least},{most}}}",
        begun=rf"(?:{shape.whole}){{0,{most - 1}}}(?:{shape.begun}|\Z)",
        longest=shape.longest * most,
    )
