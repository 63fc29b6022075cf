"""How the rule-based model reads a sentence: templates, filler words, and where a message parts into clauses."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from assistant_kit.errors import ConfigurationError

Slots: TypeAlias = Mapping[str, str | int]

_TOKEN = re.compile(
    r"(?P<space>\s+)|\{(?P<slot>[A-Za-z]\w*)(?::(?P<type>\w+))?\}|(?P<mark>[\[\]()|{}])|(?P<text>[^\s\[\](){}|]+)"
)
_SLOT_TYPES = {None: "(?P<%s>.+?)", "word": r"(?P<%s>\S+?)", "int": r"\#?(?P<%s>\d{1,18})"}
_APOSTROPHE = re.compile("['\u2019]")
_OPENING = {")": "(", "]": "["}
_QUOTES = ('""', "“”", "''", "\u2018\u2019", "«»", "``")
_QUOTED = r'"[^"]*"|“[^”]*”|«[^»]*»'
STOPS = ".!?,; "
_FIELD = re.compile(r"\{([A-Za-z]\w*(?:\.\w+)*)\}")
_MOST_PIECES = 12  # reading is quadratic in the pieces


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a clause has to look like, as a whole. Slots named in `numbers` are int; `lead` is put before the clause."""

    regex: re.Pattern[str]
    numbers: frozenset[str] = frozenset()
    lead: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The names of its slots."""
        return frozenset(self.regex.groupindex)

    def match(self, clause: str) -> Slots | None:
        """Return what the slots took, without quotes around it and without slots that are missing; or None."""
        found = self.regex.fullmatch(self.lead + clause)
        if found is None:
            return None
        slots = {name: _unquoted(text.strip()) for name, text in found.groupdict().items() if text is not None}
        return {name: int(text) if name in self.numbers else text for name, text in slots.items()}


def pattern_of(source: str | re.Pattern[str]) -> Pattern:
    """Compile a template or a regular expression, both to ignore case. Raises ConfigurationError."""
    if isinstance(source, str):
        return _Template(source).compile()
    return Pattern(_compiled(source.pattern, source.pattern, source.flags))


def _compiled(pattern: str, source: str, flags: int = 0) -> re.Pattern[str]:
    try:
        return re.compile(pattern, flags | re.IGNORECASE)
    except re.error as error:
        raise ConfigurationError(f"the pattern {source!r} cannot be used: {error}") from error


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] + text[-1] in _QUOTES
    return text[1:-1].strip() if quoted else text


class _Template:
    """Makes `(add|put) {title} [to my list]` a regular expression.

    Each word brings the space before it along, so that what may be missing takes its space with it.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._parts: list[str] = []
        self._open: list[tuple[str, bool]] = []  # each bracket, and whether there is a space before it
        self._space = True
        self._numbers: set[str] = set()

    def compile(self) -> Pattern:
        for token in _TOKEN.finditer(self._source):
            if token["space"]:
                self._space = True
            elif token["mark"]:
                self._space = self._mark(token["mark"])
            else:
                self._parts.append(r"\s+" if self._space else "")
                self._parts.append(self._slot(token["slot"], token["type"]) if token["slot"] else _literal(token[0]))
                self._space = False
        if self._open:
            raise self._error(f"no end to its {self._open[-1][0]!r}")
        return Pattern(_compiled("".join(self._parts), self._source), frozenset(self._numbers), lead=" ")

    def _mark(self, mark: str) -> bool:
        """Translate a bracket or bar, and tell whether there is a space before what comes next."""
        if mark in _OPENING.values():
            self._open.append((mark, self._space))
            self._parts.append("(?:")
            return self._space
        if mark == "|" and self._open:
            self._parts.append("|")
            return self._open[-1][1]
        if self._open and self._open[-1][0] == _OPENING.get(mark):
            self._open.pop()
            self._parts.append(")" if mark == ")" else ")?")
            return False
        raise self._error(f"a {mark!r} in the wrong place")

    def _slot(self, name: str, kind: str | None) -> str:
        if kind not in _SLOT_TYPES:
            raise self._error(
                f"a slot of the unknown type {kind!r}: write {{{name}}}, {{{name}:word}} or {{{name}:int}}"
            )
        if kind == "int":
            self._numbers.add(name)
        return _SLOT_TYPES[kind] % name

    def _error(self, problem: str) -> ConfigurationError:
        return ConfigurationError(f"the template {self._source!r} has {problem}")


def _literal(text: str) -> str:
    return _APOSTROPHE.pattern.join(re.escape(piece) for piece in _APOSTROPHE.split(text))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads a message as clauses: what stands `between` two of them, and what means nothing `before` or `after` one."""

    between: re.Pattern[str]
    before: re.Pattern[str]
    after: re.Pattern[str]

    @classmethod
    def of(cls, *, joiners: Sequence[str], filler: Sequence[str]) -> "Reader":
        """Compile the words that join clauses and the templates of filler. Raises ConfigurationError."""
        words = "".join(rf"|(?<!\w){re.escape(word)}(?!\w)" for word in joiners)
        fillers = "|".join(pattern_of(template).regex.pattern for template in filler) or r"(?!)"
        return cls(
            between=re.compile(rf"{_QUOTED}|(?P<cut>(?: ?(?:[,;.!?]+(?=\s|\Z)|\n{words}))+ ?)", re.IGNORECASE),
            before=re.compile(rf"\A(?:{fillers})[,:!.]*(?=\s)", re.IGNORECASE),
            after=re.compile(rf"[,;]?(?:{fillers})\Z", re.IGNORECASE),
        )

    def clauses(self, message: str, matches: Callable[[str], bool]) -> Sequence[str]:
        """Part a message into as many clauses as possible that all match; into none when that is not possible.

        Clauses come without filler and with single spaces between their words.
        """
        message = "\n".join(" ".join(line.split()) for line in message.splitlines())
        cuts = [cut.span("cut") for cut in self.between.finditer(message) if cut["cut"]]
        starts = [0, *(end for _, end in cuts)]
        ends = [*(start for start, _ in cuts), len(message)]
        pieces = [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]
        if len(pieces) > _MOST_PIECES:
            pieces = [(0, len(message))]
        best: list[Sequence[str] | None] = [*(None for _ in pieces), []]
        for first in reversed(range(len(pieces))):  # the longest row of clauses from here on
            for last in range(first, len(pieces)):
                rest = best[last + 1]
                if rest is not None:
                    clause = self._clause(message[pieces[first][0] : pieces[last][1]], matches)
                    best[first] = _longer(best[first], None if clause is None else [*clause, *rest])
        return best[0] or []

    def _clause(self, text: str, matches: Callable[[str], bool]) -> Sequence[str] | None:
        """Return a text with as much filler taken away as it still matches; nothing if it is all filler; or None."""
        text = text.replace("\n", " ").strip().rstrip(STOPS)
        forms: list[str] = []
        while text not in forms:
            forms.append(text)
            text = self.after.sub("", self.before.sub("", f" {text}")).strip().rstrip(STOPS)
        matching = next((form for form in reversed(forms) if form and matches(form)), None)
        if matching is not None:
            return [matching]
        return None if forms[-1] else []


def _longer(known: Sequence[str] | None, found: Sequence[str] | None) -> Sequence[str] | None:
    return found if known is None or (found is not None and len(found) > len(known)) else known


def fill(template: str, value: Callable[[str], str]) -> str:
    """Replace each `{name}` or `{name.path}` of an answer template by its value."""
    return _FIELD.sub(lambda field: value(field[1]), template)


def fields(template: str) -> Iterator[str]:
    """Name what an answer template asks for."""
    return (field[1] for field in _FIELD.finditer(template))
