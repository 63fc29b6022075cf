"""Leave alone for a while what fails too often, so that nobody waits for it and it can recover."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from secrets import token_hex
from threading import Lock

import anyio

from assistant_kit.background import Background
from assistant_kit.errors import (
    AssistantKitError,
    CircuitOpen,
    ConfigurationError,
    InvalidArguments,
    ModelBroke,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
    OutcomeUnknown,
    ToolError,
    ToolsetError,
)
from assistant_kit.messages import Json
from assistant_kit.policies._breaker import Breaker, BreakerRules, CircuitState, Ticket, wait
from assistant_kit.policies._breaker_sharing import SharedTrips, Told
from assistant_kit.policies._breaker_window import CountWindow, Outcome, TimeWindow
from assistant_kit.policies._reports import Reports
from assistant_kit.policies._state import GivenState
from assistant_kit.protocols.model import Progress
from assistant_kit.protocols.policy import Call, Condition, Hear, Proceed, T
from assistant_kit.protocols.shared_state import SharedState

__all__ = ["CircuitBreaker", "CircuitChange", "CountWindow", "TimeWindow", "is_failure"]

_log = logging.getLogger("assistant_kit.policies")

_FAILURES = (
    ModelUnreachable,
    ModelTimeout,
    ModelUnavailable,
    ModelBroke,
    ToolsetError,
    OutcomeUnknown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChange:
    """A breaker has changed its state, at a time on the event loop's clock.

    `trips` counts those in a row, `open_for` is in seconds, and 0 unless it has opened.
    """

    key: str
    before: CircuitState
    after: CircuitState
    at: float
    reason: str
    trips: int
    open_for: float = 0.0


@dataclass(slots=True)
class _Kept:
    """A breaker under its key. It was last used at `used_at`, and the place is looked at again at `look_at`."""

    key: str
    breaker: Breaker
    used_at: float
    look_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker(BreakerRules):
    """A breaker for each model, tool or server that is called (`call.key`), by the rules of `BreakerRules`.

    A call that an open breaker does not let through raises `CircuitOpen`. Failures are what the one who is called is
    to blame for: no connection, no answer in time, an error on its side, an answer that is none, and exceptions that a
    tool raises; or those errors for which `counts` is true. A call that is cancelled, refused before it was sent, or
    rejected for what it asks, counts as neither. What may be slow is the beginning of an answer that is
    streamed, and otherwise the whole call.

    `on_change` is told of every change of state; the log is told, too. With `state`, workers share trips and probes:
    what others have found out is looked up at most every `shared_every` seconds, and a place that fails is done
    without; an address, such as `"redis://host/0"`, stands for a state that is closed with the assistant. Only the
    `max_keys` breakers used last are kept. Safe to share between threads and event loops of asyncio.
    """

    counts: Callable[[BaseException], bool] | None = None
    on_change: Callable[[CircuitChange], None] | None = None
    state: SharedState | str | None = field(default=None, repr=False)
    shared_every: float = 1.0
    max_keys: int = 1000
    uniform: Callable[[], float] = random.random
    _kept: dict[str, _Kept] = field(init=False, repr=False, compare=False, default_factory=dict[str, _Kept])
    _lock: Lock = field(init=False, repr=False, compare=False, default_factory=Lock)
    _reports: Reports = field(init=False, repr=False, compare=False, default_factory=Reports)
    _given: GivenState | None = field(init=False, repr=False, compare=False, default=None)
    _place: SharedTrips | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing could work by these rules."""
        BreakerRules.__post_init__(self)
        if self.max_keys < 1 or not self.shared_every >= 0:
            raise ConfigurationError("CircuitBreaker: max_keys is at least 1, and shared_every not negative")
        if self.state is not None:
            given = GivenState(self.state)
            object.__setattr__(self, "_given", given)
            object.__setattr__(self, "_place", SharedTrips(given.state, self))

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call, unless its breaker is open. Raises CircuitOpen."""
        kept = self._of(call.key)
        if self._place is not None:
            await self._look(self._place, kept)
        ticket = kept.breaker.ticket if kept.breaker.trip.state == "closed" else self._admitted(kept)
        if ticket.slot and self._place is not None:
            ticket = await self._confirmed(self._place, kept, ticket)
        outcome: Outcome = "success"
        try:
            if self.slow_after is None:
                result = await proceed(call)
            else:
                result, outcome = await _timed(call, proceed, self.slow_after)
        except BaseException as error:
            await self._failed(kept, ticket, call, error)
            raise
        tripped = self._recorded(kept, ticket, outcome, anyio.current_time())
        if tripped or ticket.slot:
            await self._report(kept, ticket, outcome, tripped=tripped)
        return result

    def is_open(self, key: str) -> bool:
        """Tell whether a call of this key (`call.key`) would be refused now; nothing is changed by asking."""
        kept = self._kept.get(key)
        return kept is not None and kept.breaker.wait(anyio.current_time()) > 0

    def explain(self, call: Call) -> str:
        """Return what applies to a call."""
        kept = self._kept.get(call.key)
        state = "closed" if kept is None else kept.breaker.trip.state
        rules = f"opens when {self.failure_rate:.0%} of at least {self.min_calls} calls fail"
        if self.slow_after is not None:
            rules += f" or {self.slow_rate:.0%} take more than {self.slow_after:g} s"
        return f"circuit breaker: {state} for {call.key}; {rules}, for {self.open_for:g} to {self.max_open:g} s"

    def health(self) -> Mapping[str, Condition]:
        """Return the state of each breaker, as `breaker` and its key; if it is open, how it was when it opened."""
        with self._lock:
            kept = list(self._kept.values())
        return {f"breaker {one.key}": _condition(one.breaker) for one in kept}

    async def aclose(self) -> None:
        """Close the state, if it was given by its address."""
        if self._given is not None:
            await self._given.aclose()

    def report_to(self, hear: Hear) -> None:
        """Tell `hear` when a breaker opens, lets probes through (`half_open`), and closes."""
        self._reports.add(hear)

    def _of(self, key: str) -> _Kept:
        kept = self._kept.get(key)
        if kept is None:
            with self._lock:
                if len(self._kept) >= self.max_keys:
                    del self._kept[min(self._kept.values(), key=attrgetter("used_at")).key]
                kept = self._kept[key] = _Kept(key, Breaker(self), anyio.current_time())
        return kept

    def _admitted(self, kept: _Kept) -> Ticket:
        kept.used_at = now = anyio.current_time()
        with self._lock:
            before = kept.breaker.trip.state
            ticket = kept.breaker.admit(now=now, slot=token_hex(8))
        self._announce(kept, before, now)
        if ticket is None:
            raise CircuitOpen(kept.key, retry_after=kept.breaker.wait(now))
        return ticket

    def _recorded(self, kept: _Kept, ticket: Ticket, outcome: Outcome, now: float) -> bool:
        """Record how a call has ended, and tell whether the breaker has opened by it."""
        kept.used_at = now
        breaker = kept.breaker
        with self._lock:
            before = breaker.trip.state
            breaker.record(ticket, outcome, now=now, chance=self.uniform())
        if breaker.trip.state == before:
            return False
        self._announce(kept, before, now)
        return breaker.trip.state == "open"

    async def _failed(self, kept: _Kept, ticket: Ticket, call: Call, error: BaseException) -> None:
        outcome: Outcome = "ignored"
        try:
            outcome = self._judged(call, error)
        finally:
            await self._left(kept, ticket, outcome, error)

    async def _left(self, kept: _Kept, ticket: Ticket, outcome: Outcome, error: BaseException) -> None:
        if isinstance(error, GeneratorExit):  # thrown away, perhaps after the loop: it may not wait, nor ask the time
            self._recorded(kept, ticket, outcome, kept.used_at)
            return
        tripped = self._recorded(kept, ticket, outcome, anyio.current_time())
        if tripped or ticket.slot:
            await self._report(kept, ticket, outcome, tripped=tripped)

    async def _report(self, kept: _Kept, ticket: Ticket, outcome: Outcome, *, tripped: bool) -> None:
        if self._place is not None:
            told = await self._place.report(
                kept.key, slot=ticket.slot, outcome=outcome, tripped=tripped, chance=self.uniform()
            )
            self._adopt(kept, told)

    def _judged(self, call: Call, error: BaseException) -> Outcome:
        if not isinstance(error, Exception):  # somebody has left: that says nothing of who was called
            return "ignored"
        if is_failure(call, error) if self.counts is None else self.counts(error):
            return "failure"
        answered = isinstance(error, ToolError) and not isinstance(error, InvalidArguments | OutcomeUnknown)
        return "success" if answered else "ignored"

    def _announce(self, kept: _Kept, before: CircuitState, now: float) -> None:
        breaker = kept.breaker
        trip = breaker.trip
        if trip.state == before:
            return
        seconds = breaker.wait(now) if trip.state == "open" else 0.0
        change = CircuitChange(
            key=kept.key,
            before=before,
            after=trip.state,
            at=now,
            reason=breaker.reason,
            trips=trip.trips,
            open_for=seconds,
        )
        level = logging.WARNING if trip.state == "open" else logging.INFO
        _log.log(level, "%s is %s (trip %d, %.1f s): %s", kept.key, trip.state, trip.trips, seconds, breaker.reason)
        if self.on_change is not None:
            try:
                self.on_change(change)
            except Exception:  # noqa: BLE001  (the call goes on, whoever looks on)
                _log.exception("on_change of a circuit breaker failed")
        if self._reports:
            self._reports.tell(f"breaker {kept.key}", before, _condition(breaker))

    async def _look(self, place: SharedTrips, kept: _Kept) -> None:
        now = anyio.current_time()
        if kept.breaker.trip.state != "closed" or now < kept.look_at:
            return
        kept.look_at = now + self.shared_every
        self._adopt(kept, await place.look(kept.key))

    async def _confirmed(self, place: SharedTrips, kept: _Kept, ticket: Ticket) -> Ticket:
        """Let a probe through only if all workers together have room for it. Raises CircuitOpen."""
        try:
            told = await place.ask(kept.key, ticket.slot)
        except BaseException as error:
            await self._left(kept, ticket, "ignored", error)
            raise
        self._adopt(kept, told)
        if told is None or told.let:  # a place that knows of no trip has lost it: this worker goes by its own
            return kept.breaker.ticket if kept.breaker.trip.state == "closed" else ticket
        now = anyio.current_time()
        self._recorded(kept, ticket, "ignored", now)
        others = wait(told.trip, self, now)
        kept.breaker.hold(now + others)
        raise CircuitOpen(kept.key, retry_after=others)

    def _adopt(self, kept: _Kept, told: Told | None) -> None:
        if told is not None:
            with self._lock:
                before = kept.breaker.trip.state
                kept.breaker.adopt(told.trip)
            self._announce(kept, before, anyio.current_time())


@dataclass(slots=True)
class _Sign:
    """Sees whether an answer has begun in time. An earlier attempt may have left its signs in `progress`."""

    progress: Progress
    begun_before: bool
    beats_before: int
    in_time: bool = False

    async def watch(self, seconds: float) -> None:
        """Look once, after some seconds."""
        await anyio.sleep(seconds)
        progress = self.progress
        begun = progress.begun or progress.started
        self.in_time = begun and (not self.begun_before or progress.beats > self.beats_before)


async def _timed(call: Call, proceed: Proceed[T], slow_after: float) -> tuple[T, Outcome]:
    started = anyio.current_time()
    progress = call.progress
    sign = _Sign(progress, progress.begun or progress.started, progress.beats)
    if call.streams:
        async with Background(partial(sign.watch, slow_after)):
            result = await proceed(call)
    else:
        result = await proceed(call)
    slow = anyio.current_time() - started > slow_after and not sign.in_time
    return result, "slow" if slow else "success"


def is_failure(call: Call, error: BaseException) -> bool:
    """Tell whether an error is the fault of who was called: what counts unless `counts` says otherwise."""
    if isinstance(error, AssistantKitError):
        return isinstance(error, _FAILURES)
    return call.kind != "model" or isinstance(error, TimeoutError)


def _condition(breaker: Breaker) -> Condition:
    figures, trip = breaker.figures, breaker.trip
    data: dict[str, Json] = {
        "calls": figures.calls,
        "failures": figures.failures,
        "slow": figures.slow,
        "failure_rate": figures.failures / figures.calls if figures.calls else 0.0,
        "trips": trip.trips,
        "reason": breaker.reason,
    }
    if trip.state == "open":
        data["opens_until"] = trip.until
    return Condition(ok=trip.state == "closed", state=trip.state, data=data)
