"""The trips of circuit breakers at a place that workers share. A place that fails is done without."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeAlias

import anyio

from assistant_kit.errors import AssistantKitError
from assistant_kit.policies._breaker import BreakerRules, CircuitState, Trip, admitted, opened, settled
from assistant_kit.policies._breaker_window import Outcome
from assistant_kit.protocols.shared_state import Change, Changed, SharedState

_log = logging.getLogger("assistant_kit.policies")

_REST = 5.0
"""Seconds for which a place that has failed is not asked."""
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the place says. `let` tells whether a call that asked was let through."""

    trip: Trip
    let: bool = True


_STATES: dict[str, CircuitState] = {"closed": "closed", "open": "open", "half_open": "half_open"}

Step: TypeAlias = Callable[[Trip, float], tuple[Trip, bool]]


class SharedTrips:
    """Asks and tells the place. Trips that come back have their times on this event loop's clock."""

    def __init__(self, state: SharedState, rules: BreakerRules, *, patience: float = 0.25) -> None:
        """Take the place; it is first used when something is asked. A call waits `patience` seconds for it, at most."""
        self._patience = patience
        self._state = state
        self._rules = rules
        self._rest_until = 0.0

    async def look(self, key: str) -> Told | None:
        """Return the trip of a breaker; None when the place does not say."""
        return await self._asked(key, lambda trip, _: (trip, True))

    async def ask(self, key: str, slot: str) -> Told | None:
        """Ask whether a call may be made now, as a probe in this slot; None when the place does not say."""
        return await self._asked(key, lambda trip, now: admitted(trip, self._rules, now=now, slot=slot))

    async def report(self, key: str, *, slot: str, outcome: Outcome, tripped: bool, chance: float) -> Told | None:
        """Tell how a probe has ended, or that a breaker has `tripped` here; None when nobody has heard it."""

        def step(trip: Trip, now: float) -> tuple[Trip, bool]:
            after = settled(trip, self._rules, now=now, slot=slot, outcome=outcome, chance=chance)
            lets = after.state == "closed" or (after.state == "open" and now >= after.until)
            if tripped and lets and after == trip:
                after = opened(trip, self._rules, now=now, chance=chance)
            return after, True

        # What has been found out is told although the caller leaves, and although the place has failed lately.
        return await self._told(key, step, shield=True)

    async def _asked(self, key: str, step: Step) -> Told | None:
        if anyio.current_time() < self._rest_until:
            return None
        return await self._told(key, step, shield=False)

    async def _told(self, key: str, step: Step, *, shield: bool) -> Told | None:
        problem = f"no answer within {self._patience} s"
        with anyio.move_on_after(self._patience, shield=shield):
            try:
                told, now = await self._state.update("", _name(key), _change(step))
            except AssistantKitError as error:
                problem = str(error)
            else:
                self._rest_until = 0.0
                return replace(told, trip=_moved(told.trip, anyio.current_time() - now))
        if not self._rest_until:
            _log.warning("breakers of other workers are not known, each worker goes by its own: %s", problem)
        self._rest_until = anyio.current_time() + _REST
        return None


def _name(key: str) -> str:
    """Return the name of a breaker's value; a name that a place might refuse is hashed."""
    plain = len(key) <= _LONGEST and key.isascii() and key.isprintable()
    return f"breaker/{key}" if plain else f"breaker/#{sha256(key.encode(errors='surrogatepass')).hexdigest()}"


def _change(step: Step) -> Change[tuple[Told, float]]:
    def change(value: bytes | None, now: float) -> Changed[tuple[Told, float]]:
        trip = Trip() if value is None else decoded(value)
        after, let = step(trip, now)
        kept = value if after == trip else encoded(after)
        return Changed(value=kept, result=(Told(trip=after, let=let), now))

    return change


def _moved(trip: Trip, by: float) -> Trip:
    slots = tuple((name, until + by) for name, until in trip.slots)
    return replace(trip, since=trip.since + by, until=trip.until + by, slots=slots)


def encoded(trip: Trip) -> bytes:
    """Return a trip as it stands at the place."""
    fields = {
        "state": trip.state,
        "generation": trip.generation,
        "trips": trip.trips,
        "since": trip.since,
        "until": trip.until,
        "passed": trip.passed,
        "slots": dict(trip.slots),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decoded(value: bytes) -> Trip:
    """Return the trip that stands at the place; one that cannot be read is as good as none."""
    try:
        fields: Any = json.loads(value)
        return Trip(
            state=_STATES[fields["state"]],
            generation=int(fields["generation"]),
            trips=int(fields["trips"]),
            since=float(fields["since"]),
            until=float(fields["until"]),
            passed=int(fields["passed"]),
            slots=tuple((str(name), float(until)) for name, until in fields["slots"].items()),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return Trip()
