"""What a circuit breaker decides: whom it lets through, when it opens and when it closes. Nothing here has a clock.

closed ── too many calls fail, or are slow ──▶ open ── its time is over, and a call comes ──▶ half_open
half_open ── enough probes succeed ──▶ closed          half_open ── a probe fails ──▶ open, for longer
"""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, TypeAlias

from assistant_kit.errors import ConfigurationError
from assistant_kit.policies._breaker_window import CountWindow, Figures, Outcome, Tally, TimeWindow, tally_of

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]

_JITTER = 0.2
_DOUBLINGS = 60
_PROBING = 1.0
"""Seconds that callers are told to wait while a probe is on its way, as nobody knows when it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, for how long, and what closes it again. Times are in seconds.

    It opens when at least `min_calls` are in the `window` and the share of those that failed is at least
    `failure_rate`, or the share of those that succeeded slowly, after more than `slow_after`, at least `slow_rate`;
    but never because of a call that went well. It stays open for up to `open_for`, less up to a fifth by chance, and
    twice as long with each trip in a row, at most `max_open`; trips before a healthy time of `max_open` are forgotten.
    Then up to `probes` calls at once are let through; `probes_needed` that succeed close it, and one that fails or is
    slow opens it again. A probe of which nothing is heard for `probe_timeout` does not count, and makes room for
    another.
    Source: resilience4j; Polly v8.
    """

    window: CountWindow | TimeWindow = field(default_factory=CountWindow)
    min_calls: int = 20
    failure_rate: float = 0.8
    slow_rate: float = 1.0
    slow_after: float | None = None
    open_for: float = 5.0
    max_open: float = 60.0
    probes: int = 1
    probes_needed: int = 2
    probe_timeout: float = 60.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError when a breaker could never open, or never close."""
        if min(self.min_calls, self.probes, self.probes_needed) < 1:
            raise ConfigurationError("CircuitBreaker: min_calls, probes and probes_needed are at least 1")
        if isinstance(self.window, CountWindow) and self.min_calls > self.window.calls:
            raise ConfigurationError("CircuitBreaker: a window of fewer calls than min_calls never opens")
        if not (0 < self.failure_rate <= 1 and 0 < self.slow_rate <= 1):
            raise ConfigurationError("CircuitBreaker: failure_rate and slow_rate are above 0 and at most 1")
        if not 0 < self.open_for <= self.max_open < inf:
            raise ConfigurationError("CircuitBreaker: open_for is a positive number of seconds, at most max_open")
        if not self.probe_timeout > 0 or (self.slow_after is not None and not self.slow_after > 0):
            raise ConfigurationError("CircuitBreaker: probe_timeout and slow_after are positive numbers of seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """How far a breaker has tripped: a value that one process keeps, or that many share.

    `generation` grows with each change of `state`. `trips` counts those in a row, `since` is when the state began,
    `until` when an open breaker may be probed, `passed` how many probes have succeeded, and `slots` has the probes on
    their way, each with the time after which it does not count any more.
    """

    state: CircuitState = "closed"
    generation: int = 0
    trips: int = 0
    since: float = 0.0
    until: float = 0.0
    passed: int = 0
    slots: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a call gives back at its end. `slot` is that of a probe, "" for any other call."""

    generation: int
    slot: str = ""


def after(trip: Trip, now: float) -> int:
    """Return the generation that follows. A place that has lost its values must not begin with smaller ones again."""
    return max(trip.generation + 1, int(now * 1000))


def opened(trip: Trip, rules: BreakerRules, *, now: float, chance: float) -> Trip:
    """Return the trip of a breaker that opens now; `chance` is between 0 and 1."""
    healthy = trip.state == "closed" and now - trip.since >= rules.max_open
    trips = 1 if healthy else trip.trips + 1
    seconds = min(rules.max_open, rules.open_for * 2.0 ** min(trips - 1, _DOUBLINGS)) * (1 - _JITTER * chance)
    return Trip(state="open", generation=after(trip, now), trips=trips, since=now, until=now + seconds)


def admitted(trip: Trip, rules: BreakerRules, *, now: float, slot: str) -> tuple[Trip, bool]:
    """Return the trip once a call has asked to be let through, and whether it was; as a probe it gets `slot`."""
    if trip.state == "closed":
        return trip, True
    if trip.state == "open":
        if now < trip.until:
            return trip, False
        trip = Trip(state="half_open", generation=after(trip, now), trips=trip.trips, since=now)
    slots = _busy(trip, now)
    if len(slots) >= rules.probes:
        return trip, False
    return replace(trip, slots=(*slots, (slot, now + rules.probe_timeout))), True


def settled(trip: Trip, rules: BreakerRules, *, now: float, slot: str, outcome: Outcome, chance: float) -> Trip:
    """Return the trip once a probe has ended. One that has no slot any more changes nothing."""
    slots = tuple(one for one in _busy(trip, now) if one[0] != slot)
    if slots == _busy(trip, now):
        return trip
    if outcome == "ignored":
        return replace(trip, slots=slots)
    if outcome != "success":
        return opened(trip, rules, now=now, chance=chance)
    if trip.passed + 1 >= rules.probes_needed:
        return Trip(state="closed", generation=after(trip, now), trips=trip.trips, since=now)
    return replace(trip, slots=slots, passed=trip.passed + 1)


def wait(trip: Trip, rules: BreakerRules, now: float) -> float:
    """Return the seconds after which a call may be let through; 0 when it would be now."""
    if trip.state == "open":
        return max(0.0, trip.until - now)
    return _PROBING if trip.state == "half_open" and len(_busy(trip, now)) >= rules.probes else 0.0


def too_bad(figures: Figures, rules: BreakerRules) -> bool:
    """Tell whether a closed breaker has to open."""
    calls = figures.calls
    if calls < rules.min_calls:
        return False
    return figures.failures / calls >= rules.failure_rate or figures.slow / calls >= rules.slow_rate


def _busy(trip: Trip, now: float) -> tuple[tuple[str, float], ...]:
    return tuple(slot for slot in trip.slots if slot[1] > now)


class Breaker:
    """One breaker: its trip, and the calls it remembers. While it is open, those because of which it opened."""

    __slots__ = ("_held_until", "_rules", "_tally", "reason", "seen", "ticket", "trip")

    def __init__(self, rules: BreakerRules) -> None:
        """Begin closed. `seen` is the generation of the latest shared trip that was adopted."""
        self.trip: Trip = Trip()
        self.ticket: Ticket = Ticket(0)
        self.reason: str = ""
        self.seen: int = 0
        self._rules = rules
        self._tally: Tally = tally_of(rules.window)
        self._held_until = 0.0

    @property
    def figures(self) -> Figures:
        """The figures of the calls in the window."""
        return self._tally.figures

    def wait(self, now: float) -> float:
        """Return the seconds after which a call may be let through; 0 when it would be now."""
        return 0.0 if self.trip.state == "closed" else max(wait(self.trip, self._rules, now), self._held_until - now)

    def admit(self, *, now: float, slot: str) -> Ticket | None:
        """Let a call through, or not; `slot` is a new name, for the case that it becomes a probe."""
        if self.wait(now):
            return None
        trip, _ = admitted(self.trip, self._rules, now=now, slot=slot)
        self._become(trip, "its time is over: calls try whether it works again")
        return self.ticket if trip.state == "closed" else Ticket(self.ticket.generation, slot)

    def record(self, ticket: Ticket, outcome: Outcome, *, now: float, chance: float) -> None:
        """Take in how a call has ended. One that began in an earlier state changes nothing."""
        if ticket.slot:
            trip = settled(self.trip, self._rules, now=now, slot=ticket.slot, outcome=outcome, chance=chance)
            self._become(trip, "a call that tried it did not go well" if trip.trips > self.trip.trips else "it works")
        elif ticket.generation == self.ticket.generation and outcome != "ignored":
            self._tally.add(outcome, now)
            # Old failures must not open it when a good call happens to be the one that makes the figures complete.
            if outcome != "success" and too_bad(self._tally.figures, self._rules):
                trip = opened(self.trip, self._rules, now=now, chance=chance)
                figures = self._tally.figures
                self._become(trip, f"of {figures.calls} calls {figures.failures} failed and {figures.slow} were slow")

    def adopt(self, told: Trip) -> None:
        """Take over the trip that workers share, if it is newer than the last one. Only own probes keep their slots."""
        if told.generation > self.seen:
            self.seen = told.generation
            held = {name for name, _ in told.slots}
            slots = tuple(slot for slot in self.trip.slots if slot[0] in held)
            self._become(replace(told, slots=slots), "another worker has found out")

    def hold(self, until: float) -> None:
        """Let no probe through until then: others have them all."""
        self._held_until = until

    def _become(self, trip: Trip, reason: str) -> None:
        if trip.state != self.trip.state:
            self.ticket = Ticket(self.ticket.generation + 1)
            self.reason = reason
            self._held_until = 0.0
            if trip.state == "closed":
                self._tally.clear()
        self.trip = trip
