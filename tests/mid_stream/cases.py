"""The cases: where a stream fails, how, how often, and which policies stand around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

Wire: TypeAlias = Literal["responses", "chat"]
Where: TypeAlias = Literal["words and calls", "calls alone", "the final answer"]
"""Which answer fails: the first, with text and two tool calls or with the calls alone, or the one after the tools."""

Kind: TypeAlias = Literal["cut", "failed", "overloaded", "hang", "broken JSON", "early end"]
"""How it fails: the connection is cut; the provider sends an error event, one that is final or one that may pass; it
goes silent; an event is not JSON; the stream ends cleanly, without its last event."""

Reach: TypeAlias = Literal["once", "always", "everywhere"]
"""What fails: the first attempt, each attempt of the model, or each attempt of the other model as well."""

PolicyName: TypeAlias = Literal["none", "retry", "anew", "fallback"]
"""`anew` is a retry that takes back what was shown."""
Backend: TypeAlias = Literal["asyncio", "trio"]

WIRES: tuple[Wire, ...] = ("responses", "chat")
PLACES: tuple[Where, ...] = ("words and calls", "calls alone", "the final answer")
KINDS: tuple[Kind, ...] = ("cut", "failed", "overloaded", "hang", "broken JSON", "early end")
UNDER: tuple[tuple[PolicyName, Reach], ...] = (
    ("none", "once"),
    ("retry", "once"),
    ("retry", "always"),
    ("anew", "once"),
    ("fallback", "always"),
    ("fallback", "everywhere"),
)
ON_DISK = 25
"""One case in so many is stored in SQLite, the others in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A turn in which one answer fails after `index` of its events."""

    number: int
    wire: Wire
    where: Where
    kind: Kind
    index: int
    policy: PolicyName
    reach: Reach

    @property
    def step(self) -> int:
        """The step of the turn whose answer fails."""
        return 2 if self.where == "the final answer" else 1

    @property
    def on_disk(self) -> bool:
        """Whether the conversation is stored in a file."""
        return self.number % ON_DISK == 0

    def __str__(self) -> str:
        return (
            f"{self.number} ({self.wire}, {self.where}: {self.kind} after {self.index} events, {self.reach}; "
            f"{self.policy})"
        )


def cases(wire: Wire, where: Where, events: int) -> Iterator[Case]:
    """Every case of an answer that has so many events: before the first, between each two, behind the last."""
    first = 1 + 10_000 * (WIRES.index(wire) * len(PLACES) + PLACES.index(where))
    kinds = product(range(events + 1), KINDS, UNDER)
    for number, (index, kind, (policy, reach)) in enumerate(kinds, first):
        yield Case(number=number, wire=wire, where=where, kind=kind, index=index, policy=policy, reach=reach)
