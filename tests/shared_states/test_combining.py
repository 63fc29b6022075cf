"""How many that wait share a write, and who is told what when others are faster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreError
from assistant_kit.protocols.shared_state import Changed
from assistant_kit.shared_states._combining import Update, settle
from assistant_kit.shared_states._rules import Held, Spot, Write
from assistant_kit.testing.conformance.shared_state_workbench import increment

pytestmark = pytest.mark.anyio


@dataclass
class Rivalry:
    """Values of which somebody else changes one just before each of the first `rivals` writes."""

    rivals: int = 0
    damaged: Mapping[Spot, StoreError] = field(default_factory=dict[Spot, StoreError])
    held: dict[Spot, Held[int]] = field(default_factory=dict[Spot, Held[int]])
    writes: int = 0

    def read(self, spots: Sequence[Spot]) -> tuple[float, Mapping[Spot, Held[int] | StoreError]]:
        return 1.0, {spot: found for spot in spots if (found := self.damaged.get(spot) or self.held.get(spot))}

    def write(self, writes: Sequence[Write[int]], clock: float) -> Sequence[Spot]:
        self.writes += 1
        if self.writes <= self.rivals:
            self._put(("o", "k"), b"%d" % (100 * self.writes), clock)
        refused: list[Spot] = []
        for write in writes:
            there = self.held.get(write.spot)
            if (there.mark if there else None) != write.seen or write.value is None:
                refused.append(write.spot)
            else:
                self._put(write.spot, write.value, clock)
        return refused

    def _put(self, spot: Spot, value: bytes, clock: float) -> None:
        mark = self.held[spot].mark + 1 if spot in self.held else 1
        self.held[spot] = Held(value=value, at=clock, until=clock + 60, mark=mark)


def counting(*keys: str) -> list[Update[Any]]:
    return [Update[Any](("o", key), increment) for key in keys]


def outcomes(updates: Sequence[Update[Any]]) -> list[object]:
    return [update.decision.outcome() for update in updates]


async def test_500_changes_of_one_value_are_one_write() -> None:
    values, updates = Rivalry(), counting(*["k"] * 500)

    settle(values, updates, place="here", patience=10)

    assert values.writes == 1
    assert outcomes(updates) == list(range(1, 501))


async def test_who_was_too_late_decides_again_and_nobody_else() -> None:
    values = Rivalry(rivals=2)
    updates = counting("k", "other", "k")

    settle(values, updates, place="here", patience=10)

    assert outcomes(updates) == [201, 1, 202]
    assert values.writes == 3


async def test_after_its_patience_only_who_was_not_written_is_busy() -> None:
    values = Rivalry(rivals=10)
    updates = counting("k", "other", "k")

    settle(values, updates, place="here", patience=0)

    assert updates[1].decision.outcome() == 1
    for update in (updates[0], updates[2]):
        with pytest.raises(StoreBusy):
            update.decision.outcome()


async def test_a_value_that_cannot_be_read_is_told_to_those_who_asked_for_it() -> None:
    values = Rivalry(damaged={("o", "k"): StoreCorrupt("damaged")})
    updates = counting("k", "other")

    settle(values, updates, place="here", patience=10)

    with pytest.raises(StoreCorrupt):
        updates[0].decision.outcome()
    assert updates[1].decision.outcome() == 1


async def test_what_needs_no_write_writes_nothing() -> None:
    values, update = Rivalry(), Update[Any](("o", "k"), lambda value, _: Changed(value=value, result="same"))

    settle(values, [update], place="here", patience=10)

    assert values.writes == 0
    assert outcomes([update]) == ["same"]
