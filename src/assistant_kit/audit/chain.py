"""Checks the links of an audit chain one by one, and reads what they tell."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from assistant_kit.audit.report import MAX_FINDINGS, Finding
from assistant_kit.audit_chain import APPEND_VERSION, GENESIS, AuditLink, digest_of, link_after


@dataclass(frozen=True, slots=True)
class Written:
    """A record as the chain knows it; `sha256` is that of its body, in hexadecimal digits.

    `fence` and `at_us`, the time in microseconds since 1970, are None where the chain does not tell: it was written
    before they were chained.
    """

    record_id: str
    kind: str
    tokens: int
    sha256: str
    fence: int | None = None
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """Records were appended."""

    conversation: str
    records: Sequence[Written]


@dataclass(frozen=True, slots=True)
class Forked:
    """A conversation began as the first `at` records of `source`."""

    conversation: str
    source: str
    at: int


@dataclass(frozen=True, slots=True)
class Rewound:
    """A conversation goes on after its record `to`."""

    conversation: str
    to: int


@dataclass(frozen=True, slots=True)
class Renamed:
    """A conversation has the title with this SHA-256, in hexadecimal digits."""

    conversation: str
    title: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """A conversation was deleted."""

    conversation: str


@dataclass(frozen=True, slots=True)
class Erased:
    """All of the user was erased."""


Step: TypeAlias = Appended | Forked | Rewound | Renamed | Deleted | Erased


def step_of(link: AuditLink) -> Step | None:
    """Return what a link tells; None when it tells nothing that can be read."""
    if link.payload is None:
        return None
    try:
        return _step(json.loads(link.payload), link.at_us)
    except (ValueError, TypeError, RecursionError):
        return None


def _step(told: Any, at_us: int) -> Step | None:
    match told:
        case {"do": "append", "conversation": str(name), "records": [*records]}:
            fence, at = _under(told, at_us)
            return Appended(name, [_written(fence, at, *record) for record in records])
        case {"do": "fork", "conversation": str(name), "source": str(source), "at": int(at)}:
            return Forked(name, source, at)
        case {"do": "rewind", "conversation": str(name), "to": int(to)}:
            return Rewound(name, to)
        case {"do": "rename", "conversation": str(name), "title": str(title)}:
            return Renamed(name, title)
        case {"do": "delete", "conversation": str(name)}:
            return Deleted(name)
        case {"do": "erase"}:
            return Erased()
        case _:
            return None


def _under(told: dict[str, Any], at_us: int) -> tuple[int | None, int | None]:
    """Return the fence and the time that records bear, as far as their payload tells. Raises ValueError."""
    match told:
        case {"v": version, "fence": int(fence)} if version == APPEND_VERSION:
            return fence, at_us
        case {"v": version, "fence": "time"} if version == APPEND_VERSION:
            return at_us, at_us
        case {"v": _}:
            raise ValueError("a payload about records is of another version")
        case _:
            return None, None


def _written(fence: int | None, at_us: int | None, record_id: Any, kind: Any, tokens: Any, sha256: Any) -> Written:
    return Written(str(record_id), str(kind), int(tokens), str(sha256), fence, at_us)


_CANDIDATES: Final = 3
"""Links from which the one behind a damaged link may follow."""


class ChainCheck:
    """Takes the links in order, and finds those that do not belong where they stand.

    A damaged link is found once: the next one may follow either from what it is or from what it should be.
    """

    def __init__(self) -> None:
        self.n: int = 0
        self.head: bytes = GENESIS
        self.erased: bool = False
        self._previous: tuple[bytes, ...] = (GENESIS,)
        self._blank: list[int] = []

    def take(self, link: AuditLink) -> Iterator[Finding]:
        """Check the next link."""
        if link.n > self.n + 1:
            yield Finding(problem="missing_link", n=self.n + 1, detail=f"the next one is {link.n}")
            self._previous = ()
        elif link.n < self.n + 1:
            yield Finding(problem="misplaced_link", n=self.n + 1, detail=f"its number is {link.n}")
            self._previous = ()
        following = [_following(link, previous) for previous in self._previous]
        self._previous = (link.link,)
        if following and link.link not in following:
            yield Finding(problem="changed_link", n=link.n)
            self._previous = (link.link, *following)[:_CANDIDATES]
        else:
            yield from self._check_payload(link)
        self.n, self.head = link.n, link.link

    def _check_payload(self, link: AuditLink) -> Iterator[Finding]:
        if link.payload is None and link.salt is None:
            if len(self._blank) <= MAX_FINDINGS:
                self._blank.append(link.n)
        elif link.payload is None or link.salt is None or digest_of(link.payload, link.salt) != link.digest:
            yield Finding(problem="changed_payload", n=link.n)
        elif (step := step_of(link)) is None:
            yield Finding(problem="unreadable_payload", n=link.n)
        elif isinstance(step, Erased):
            self.erased = True
            self._blank.clear()

    def blanks(self) -> Iterator[Finding]:
        """Return, at the end, the links whose payloads are gone without an erasure."""
        return (Finding(problem="missing_payload", n=n) for n in self._blank)


def _following(link: AuditLink, previous: bytes) -> bytes:
    try:
        return link_after(previous, link.digest, link.at_us)
    except OverflowError:  # a time that was changed to one that cannot be
        return b""
