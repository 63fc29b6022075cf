"""Changes that wait for a thread, and how all that wait become one write for each value.

500 tasks that change one value at once cost a handful of writes: while one is on its way, the others gather.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

from assistant_kit.errors import StoreBusy, StoreError
from assistant_kit.protocols.shared_state import Change, Changed
from assistant_kit.shared_states._rules import Held, Spot, Write, check_keep, combined
from assistant_kit.worker_thread import Group, Job

M = TypeVar("M")
T = TypeVar("T")


class Connection(Protocol):
    """A way to a place, used by one thread. All may raise errors of its driver, and StoreError."""

    def update(self, updates: "Sequence[Update[object]]") -> None:
        """Let each update decide, and write what they come to."""
        ...

    def values(self, owner: str) -> Mapping[str, bytes]:
        """Return the values of an owner that count."""
        ...

    def erase(self, owner: str) -> None:
        """Delete all values of an owner."""
        ...

    def close(self) -> None:
        """Close it; raises nothing."""
        ...


class Decision(Generic[T]):
    """A change that is asked once or several times. What it said last counts."""

    __slots__ = ("_change", "_error", "_result")

    def __init__(self, change: Change[T]) -> None:
        self._change = change
        self._error: Exception | None = None
        self._result: T | None = None

    def decide(self, value: bytes | None, now: float) -> Changed[T] | None:
        """Return what the change makes of the value; None when it raised an error."""
        self._error = None
        try:
            changed = self._change(value, now)
            check_keep(changed.keep)
        except Exception as error:  # noqa: BLE001  (it belongs to the task that asked)
            self._error = error
            return None
        self._result = changed.result
        return changed

    def refuse(self, error: Exception) -> None:
        """Let `error` be what came of it."""
        self._error = error

    def outcome(self, _: object = None) -> T:
        """Return the result of the change, or raise its error."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


_Waiting: TypeAlias = dict[Spot, list[Decision[object]]]


class Update(Job[Connection, T]):
    """A change of the value at a spot, on behalf of a task that waits."""

    __slots__ = ("decision", "spot")

    def __init__(self, spot: Spot, change: Change[T]) -> None:
        self.spot: Spot = spot
        self.decision: Decision[T] = Decision(change)
        super().__init__(self.decision.outcome)


def perform(connection: Connection, group: Group[Connection]) -> None:
    """Do what waits, in its order; updates that stand together are done together. Errors of changes are their own."""
    for together, jobs in groupby(group, key=lambda job: isinstance(job, Update)):
        if together:
            _perform_updates(connection, [cast("Update[object]", job) for job in jobs])
        else:
            for job in jobs:
                job.run(connection)


def _perform_updates(connection: Connection, updates: Sequence[Update[object]]) -> None:
    connection.update(updates)
    for update in updates:
        try:
            update.run(connection)
        except Exception as error:  # noqa: BLE001  (it belongs to the task that asked)
            update.fail(error)


class Values(Protocol[M]):
    """What a place has and takes. M is the type of its marks."""

    def read(self, spots: Sequence[Spot]) -> tuple[float, Mapping[Spot, Held[M] | StoreError]]:
        """Return the time of the place's clock, and what stands at these spots, or why that cannot be read."""
        ...

    def write(self, writes: Sequence[Write[M]], clock: float) -> Sequence[Spot]:
        """Write each value whose mark is still the one that was seen, and return the spots of the others."""
        ...


def settle(values: Values[M], updates: Sequence[Update[object]], *, place: str, patience: float) -> None:
    """Let each update decide upon what is there, and write what all come to; again where others were faster.

    After `patience` seconds StoreBusy is the outcome of those that still were not written.
    """
    waiting = _by_spot(updates)
    end = time.monotonic() + patience
    while waiting := _refused(values, waiting):
        if time.monotonic() >= end:
            everybody = chain.from_iterable(waiting.values())
            _refuse(everybody, StoreBusy(f"{place}: others change these values all the time: try again"))
            return


def _refused(values: Values[M], waiting: _Waiting) -> _Waiting:
    """Decide and write, and return what has to be decided again."""
    clock, found = values.read(list(waiting))
    writes: list[Write[M]] = []
    for spot, decisions in waiting.items():
        held = found.get(spot)
        if isinstance(held, StoreError):
            _refuse(decisions, held)
        elif write := combined(spot, held, decisions, clock=clock):
            writes.append(write)
    return {spot: waiting[spot] for spot in values.write(writes, clock)} if writes else {}


def _refuse(decisions: Iterable[Decision[object]], error: StoreError) -> None:
    for decision in decisions:
        decision.refuse(error)


def _by_spot(updates: Sequence[Update[object]]) -> _Waiting:
    by_spot: _Waiting = {}
    for update in updates:
        by_spot.setdefault(update.spot, []).append(update.decision)
    return by_spot
