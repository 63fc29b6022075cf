"""What is printed: plain text in columns, in which nothing that was stored can move a cursor or change a colour."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Final, TextIO
from unicodedata import category, east_asian_width

_NARROWEST: Final = 60
_USUAL: Final = (80, 24)
_CUT: Final = "…"
_GAP: Final = "  "


def shown(text: str) -> str:
    """Return text as it can be printed: control characters, and those that nobody sees, are written as escapes."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    return " " if category(char) == "Zs" else char.encode("unicode_escape").decode()


def json_shown(line: str) -> str:
    """Return JSON text of the same meaning that can be printed."""
    return line if line.isprintable() else "".join(map(_json_shown, line))


def _json_shown(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def width(text: str) -> int:
    """Return the columns that text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def cut(text: str, room: int) -> str:
    """Return as much of a stored text as fits in so many columns, with `…` where it goes on."""
    pieces: list[str] = []
    taken, fits = 0, 0
    for char in text:
        pieces.append(piece := _shown(char))
        taken += width(piece)
        if taken > room:
            return "".join(pieces[:fits]).rstrip() + _CUT
        fits += taken < room
    return "".join(pieces)


def day(at: float) -> str:
    """Return the date of a store's time, in UTC."""
    return _time(at, "%Y-%m-%d")


def clock(at: float) -> str:
    """Return the time of day of a store's time with milliseconds, in UTC."""
    return _time(at, "%H:%M:%S.%f")[:12]


def moment(at: float) -> str:
    """Return a store's time, in UTC."""
    return _time(at, "%Y-%m-%d %H:%M:%S")


def _time(at: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"  # what a damaged record says, or a clock in a test


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 turn`, `1,200 turns`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Screen:
    """Lines on a stream, as wide as the terminal; 80 columns where there is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.columns: int = max(_NARROWEST, get_terminal_size(_USUAL).columns)

    def line(self, text: str = "") -> None:
        """Print a line that may hold stored text."""
        self._stream.write(shown(text).rstrip() + "\n")

    def json(self, line: str) -> None:
        """Print a line of JSON."""
        self._stream.write(json_shown(line.rstrip("\r\n")) + "\n")

    def flush(self) -> None:
        """Let what was printed be seen."""
        self._stream.flush()

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns; the last column has the room that is left, on as many lines as it needs."""
        shown_rows = [[shown(cell) for cell in row] for row in rows]
        widths = [max(map(width, column)) for column in zip(*(row[:-1] for row in shown_rows), strict=True)]
        for row in shown_rows:
            head = "".join(
                _GAP + cell + " " * (most - width(cell)) for cell, most in zip(row[:-1], widths, strict=True)
            )
            self.beside(head + _GAP, row[-1])

    def beside(self, head: str, text: str) -> None:
        """Print a text behind `head`, on as many lines as it needs; all of them stand below its beginning."""
        room = max(20, self.columns - width(head))
        for number, piece in enumerate(textwrap.wrap(shown(text), room, break_on_hyphens=False) or [""]):
            self.line((" " * width(head) if number else head) + piece)
