"""Let only so many calls run at once; the others wait in a short queue, or are turned away at once."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from math import inf
from threading import Lock
from typing import Literal, TypeAlias

import anyio
from anyio.lowlevel import current_token

from assistant_kit.errors import ConfigurationError, ModelRateLimited, ModelTimeout, ModelUnavailable, Overloaded
from assistant_kit.event_loops import call_soon
from assistant_kit.events import Delayed
from assistant_kit.policies._adaptive import Adaptive, Course, allowed, answered, overloaded, set_out
from assistant_kit.policies._queue import PRIORITIES, Line, Ticket
from assistant_kit.policies._reports import Reports
from assistant_kit.protocols.policy import Call, CallKind, Condition, Hear, Proceed, T

__all__ = ["Adaptive", "Bulkhead"]

_OVERLOADED = (ModelTimeout, ModelRateLimited, ModelUnavailable, TimeoutError)
_MANY = 1_000
"""So many upstreams are remembered before those that nobody uses at the moment are forgotten."""

_Outcome: TypeAlias = Literal["answered", "overloaded", "other"]


class _Compartment:
    """Calls that share one limit: their queue, and the course of the limit where it moves. Used under the lock."""

    __slots__ = ("course", "expired", "line", "name", "told")

    def __init__(self, name: str, *, limit: int, queue: int, adaptive: Adaptive | None) -> None:
        self.name: str = name
        self.told: str = "free"
        self.expired: int = 0
        self.course: Course | None = None if adaptive is None else set_out(adaptive, limit)
        self.line: Line = Line(limit=limit if self.course is None else allowed(self.course), queue=queue)

    @property
    def epoch(self) -> int:
        return 0 if self.course is None else self.course.epoch

    @property
    def idle(self) -> bool:
        return not self.line.running and not self.line.waiting()

    def enter(self, call: Call, *, patience: float, time_left: float) -> tuple[Ticket, anyio.Event | None]:
        """Take in a call; an event is set when it need wait no more. Raises Overloaded."""
        ticket, shed = self.line.arrive(call.priority, call.user or "", patience=patience, time_left=time_left)
        _wake(() if shed is None else (shed,))
        if ticket.state == "refused":
            raise self.refusal(call)
        if ticket.state == "running":
            return ticket, None
        turn = anyio.Event()
        ticket.wake = _waker(turn)
        return ticket, turn

    def gave_up(self, ticket: Ticket, call: Call) -> Overloaded:
        """Note that a call has waited in vain, and say so."""
        if ticket.state == "waiting":
            self.expired += 1
            self.line.leave(ticket)
        return self.refusal(call)

    def refusal(self, call: Call) -> Overloaded:
        line = self.line
        again = line.estimate(call.priority, call.user or "")
        return Overloaded(self.name, limit=line.limit, waiting=line.waiting(), retry_after=again)

    def learn(self, seconds: float, *, began_in: int, outcome: _Outcome) -> None:
        """Learn how a call has ended that still holds its place."""
        line = self.line
        line.served(seconds)
        if self.course is None or outcome == "other":
            return
        if outcome == "overloaded":
            self.course = overloaded(self.course, began_in=began_in)
        else:
            self.course = answered(self.course, began_in=began_in, seconds=seconds, running=line.running)
        limit = allowed(self.course)
        if limit != line.limit:
            _wake(line.resize(limit))

    @property
    def state(self) -> str:
        line = self.line
        waiting = line.waiting()
        if line.running >= line.limit and waiting >= line.queue:
            return "overloaded"
        return "waiting" if waiting else "free"

    def news(self) -> tuple[str, Condition] | None:
        """Return the state that was told last and how it is now, if that is another one; it is taken as told then."""
        before, self.told = self.told, self.state
        return None if self.told == before else (before, self.condition())

    def condition(self) -> Condition:
        line, state = self.line, self.state
        return Condition(
            ok=state != "overloaded",
            state=state,
            data={
                "running": line.running,
                "limit": line.limit,
                "waiting": {each: line.waiting(each) for each in PRIORITIES},
                "queue": line.queue,
                "refused": line.refused,
                "shed": line.shed,
                "expired": self.expired,
                "seconds_per_call": line.service,
            },
        )


def _waker(turn: anyio.Event) -> Callable[[], None]:
    """Return what wakes this task from any thread and event loop."""
    token = current_token().native_token
    return lambda: call_soon(token, turn.set)


def _wake(tickets: Iterable[Ticket]) -> None:
    for ticket in tickets:
        ticket.wake()


@dataclass(eq=False, slots=True)
class Bulkhead:
    """Keeps one slow upstream from taking everything, and an overload from growing.

    At most `limit` calls run at once and up to `queue` wait, each for `max_wait` seconds at most (None: as long as its
    deadline lets it). An interactive call goes before a background one, and in each kind the users take turns. A call
    is refused at once (`Overloaded`) when the queue is full, or when by the recent service time it would wait too long
    or end after its deadline. If the queue is full, a call takes the place of a background one, if it is interactive,
    or else of the newest of a user who has more calls in it.

    `per` says which calls share the limit: those of one `call.key`, or all. Only calls of these `kinds` are limited: an
    assistant's tools are not, unless they are named. `adaptive` lets the limit move, beginning at `limit`. The limit
    holds for all threads and event loops of a process that use the object together.
    """

    limit: int
    _: KW_ONLY
    queue: int = 100
    max_wait: float | None = 30.0
    per: Literal["upstream", "all"] = "upstream"
    kinds: Collection[CallKind] = ("model", "other")
    adaptive: Adaptive | None = None
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _compartments: dict[str, _Compartment] = field(default_factory=dict[str, _Compartment], init=False, repr=False)
    _reports: Reports = field(default_factory=Reports, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raise ConfigurationError for limits by which no call could ever run."""
        if self.limit < 1 or self.queue < 0 or (self.max_wait is not None and not self.max_wait >= 0):
            raise ConfigurationError("Bulkhead: limit is at least 1; queue and max_wait are at least 0")

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call when it is its turn. Raises Overloaded when it will not be, or not in time."""
        if call.kind not in self.kinds:
            return await proceed(call)
        now = anyio.current_time()
        left = call.deadline.remaining(now)
        patience = min(left, inf if self.max_wait is None else self.max_wait)
        with self._lock:
            here = self._compartment(call)
            ticket, turn = here.enter(call, patience=patience, time_left=left)
            news = here.news() if self._reports else None
        try:
            self._tell(here, news)
            if turn is not None:
                await self._wait(here, ticket, turn, call, patience)
                now = anyio.current_time()
            return await self._run(here, call, proceed, began=now)
        finally:
            with self._lock:
                _wake(here.line.leave(ticket))
                news = here.news() if self._reports else None
            self._tell(here, news)

    def explain(self, call: Call) -> str:
        """Return what applies to a call."""
        if call.kind not in self.kinds:
            return ""
        with self._lock:
            found = self._compartments.get(self._name(call))
            now = self.limit if found is None else found.line.limit
        moves = "" if self.adaptive is None else f" (now; {self.adaptive.minimum} to {self.adaptive.maximum})"
        waits = "" if self.max_wait is None else f" for up to {self.max_wait:g} s"
        return f"bulkhead: {now}{moves} at once of {self._name(call)}, {self.queue} may wait{waits}"

    def health(self) -> Mapping[str, Condition]:
        """Return how full each compartment is."""
        with self._lock:
            return {f"bulkhead {name}": each.condition() for name, each in self._compartments.items()}

    def report_to(self, hear: Hear) -> None:
        """Tell `hear` when calls begin to wait, when the queue is full (`overloaded`), and when nobody waits."""
        with self._lock:
            for each in self._compartments.values():
                each.told = each.state
            self._reports.add(hear)

    def _tell(self, here: _Compartment, news: tuple[str, Condition] | None) -> None:
        if news is not None:
            self._reports.tell(f"bulkhead {here.name}", *news)

    async def _wait(self, here: _Compartment, ticket: Ticket, turn: anyio.Event, call: Call, patience: float) -> None:
        """Wait for the call's turn. Raises Overloaded when it is shed, or has waited for too long."""
        call.notify(Delayed(call=call.kind, name=call.name, reason="queue", expected=ticket.expected))
        with anyio.move_on_after(patience):
            await turn.wait()
        with self._lock:
            if ticket.state != "running":  # who was let in in the last moment goes in
                raise here.gave_up(ticket, call)

    async def _run(self, here: _Compartment, call: Call, proceed: Proceed[T], *, began: float) -> T:
        """Make a call that has its place, and learn from how it ends."""
        epoch = here.epoch
        outcome: _Outcome = "other"
        try:
            result = await proceed(call)
            outcome = "answered"
        except _OVERLOADED:
            outcome = "overloaded"
            raise
        finally:
            with self._lock:
                here.learn(anyio.current_time() - began, began_in=epoch, outcome=outcome)
        return result

    def _name(self, call: Call) -> str:
        return call.key if self.per == "upstream" else "all calls"

    def _compartment(self, call: Call) -> _Compartment:
        name = self._name(call)
        found = self._compartments.get(name)
        if found is None:
            if len(self._compartments) >= _MANY:
                for idle in [name for name, each in self._compartments.items() if each.idle]:
                    del self._compartments[idle]
            found = _Compartment(name, limit=self.limit, queue=self.queue, adaptive=self.adaptive)
            self._compartments[name] = found
        return found
