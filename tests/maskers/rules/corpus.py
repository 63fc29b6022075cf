"""A small corpus of lines with private data and of lines that only look like it, and how the rules do on it.

`python -m tests.maskers.rules.corpus` prints the table.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assistant_kit.maskers.rules import standard
from assistant_kit.maskers.rules.pseudonyms import pseudonym
from assistant_kit.maskers.rules.scanner import Scanner, Search
from assistant_kit.protocols.masker import Private

LABEL = re.compile(r"\[([A-Z][A-Z0-9_]*)\|([^]]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line without its marks, and what is private in it; `promised` where the rules say that they find it."""

    text: str
    private: tuple[Private, ...]
    promised: bool = True


@dataclass(slots=True, kw_only=True)
class Score:
    """What was found of what is there, by kind; and the lines where that differs."""

    right: Counter[str] = field(default_factory=Counter[str])
    wrong: Counter[str] = field(default_factory=Counter[str])
    missed: Counter[str] = field(default_factory=Counter[str])
    lines: list[str] = field(default_factory=list[str])

    def table(self) -> str:
        """Return precision and recall of each kind."""
        rows = [f"{'kind':<12} {'there':>6} {'found':>6} {'precision':>10} {'recall':>7}"]
        for kind in [*sorted({*self.right, *self.wrong, *self.missed}), "all"]:
            right, wrong, missed = (
                count.total() if kind == "all" else count[kind] for count in (self.right, self.wrong, self.missed)
            )
            precision, recall = _share(right, right + wrong), _share(right, right + missed)
            rows.append(f"{kind:<12} {right + missed:>6} {right + wrong:>6} {precision:>10} {recall:>7}")
        return "\n".join(rows)


def read() -> list[Line]:
    """Return the lines of the corpus."""
    lines = Path(__file__).with_name("corpus.txt").read_text("utf-8").splitlines()
    return [_line(line) for line in lines if line and not line.startswith("# ")]


def scored(lines: Iterable[Line]) -> Score:
    """Compare what is found with what is there."""
    search, score = Search(standard(), above=pseudonym()), Score()
    for line in lines:
        there, found = Counter(line.private), Counter(_found(search, line.text))
        for count, values in (
            (score.right, there & found),
            (score.wrong, found - there),
            (score.missed, there - found),
        ):
            count.update(value.kind for value in values.elements())
        if there != found:
            score.lines.append(f"{line.text}: {[(each.kind, each.value) for each in found]}")
    return score


def _line(line: str) -> Line:
    promised, text = not line.startswith("~ "), line.removeprefix("~ ")
    private = tuple(Private(kind=match[1], value=match[2]) for match in LABEL.finditer(text))
    return Line(text=LABEL.sub(r"\2", text), private=private, promised=promised)


def _found(search: Search, text: str) -> Sequence[Private]:
    scanner = Scanner(search)
    return [part for part in [*scanner.feed(text), *scanner.finish()] if isinstance(part, Private)]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


if __name__ == "__main__":
    corpus = read()
    for name, promised in (("what the rules promise", True), ("what they do not promise", False)):
        chosen = [line for line in corpus if line.promised is promised]
        result = scored(chosen)
        sys.stdout.write(
            f"{name}: {len(chosen)} lines\n{result.table()}\n" + "".join(f"  {each}\n" for each in result.lines)
        )
