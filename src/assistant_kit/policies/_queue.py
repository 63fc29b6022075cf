"""Who runs, who waits and who is turned away: the queue of a bulkhead, without a clock and without tasks.

What always holds: at most `limit` tickets run (more only right after the limit was lowered), at most `queue` wait,
nobody waits while a place is free, a higher priority goes first, and within one the order is that of arrival.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias, get_args

from assistant_kit.protocols.policy import Priority

PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""The first one goes first."""

_MEMORY = 10
"""How many service times the estimate follows: the newest counts a tenth."""

TicketState: TypeAlias = Literal["running", "waiting", "refused", "shed", "gone"]


def _nobody() -> None:
    """Wake nobody."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A call in the queue. `wake` is called by whoever runs the queue, when a waiting ticket is let in or shed."""

    priority: Priority
    state: TicketState
    wake: Callable[[], None] = _nobody


class Line:
    """Calls that share `limit` places, and a queue before them. Each method is one step: nothing waits in here."""

    __slots__ = ("_count", "_waiting", "limit", "queue", "refused", "running", "service", "shed")

    def __init__(self, *, limit: int, queue: int) -> None:
        """Begin with all places free. `service` is the recent mean of seconds that a call holds its place."""
        self.limit: int = limit
        self.queue: int = queue
        self.running: int = 0
        self.service: float | None = None
        self.refused: int = 0
        self.shed: int = 0
        self._count: int = 0
        self._waiting: dict[Priority, OrderedDict[Ticket, None]] = {each: OrderedDict() for each in PRIORITIES}

    def waiting(self, *priorities: Priority) -> int:
        """Return how many wait, with these priorities or with any."""
        return sum(len(self._waiting[each]) for each in priorities or PRIORITIES)

    def arrive(
        self, priority: Priority, *, patience: float = inf, time_left: float = inf
    ) -> tuple[Ticket, Ticket | None]:
        """Take in a call; return its ticket, and the ticket of the waiting call that is shed for it.

        Refused is who would start later than in `patience` seconds, or end later than in `time_left`, by the recent
        service time, and who finds the queue full of calls of its own priority or a higher one.
        """
        if self.running < self.limit:
            self.running += 1
            return Ticket(priority, "running"), None
        wait = self.estimate(priority)
        hopeless = wait is not None and (wait > patience or wait + (self.service or 0.0) > time_left)
        out = None if hopeless or self.waiting() < self.queue else self._newest_below(priority)
        if hopeless or (out is None and self.waiting() >= self.queue):
            self.refused += 1
            return Ticket(priority, "refused"), None
        if out is not None:
            self._drop(out, "shed")
            self.shed += 1
        ticket = Ticket(priority, "waiting")
        self._waiting[priority][ticket] = None
        return ticket, out

    def leave(self, ticket: Ticket) -> tuple[Ticket, ...]:
        """Let a call go, whatever its state, and return who is let in now. A second time changes nothing."""
        if ticket.state == "running":
            ticket.state = "gone"
            self.running -= 1
            return self._let_in()
        if ticket.state == "waiting":
            self._drop(ticket, "gone")
        return ()

    def resize(self, limit: int) -> tuple[Ticket, ...]:
        """Set how many may run, and return who is let in now. Those that run already go on."""
        self.limit = limit
        return self._let_in()

    def served(self, seconds: float) -> None:
        """Learn how long a call has held its place."""
        self._count = min(self._count + 1, _MEMORY)
        before = self.service or 0.0
        self.service = before + (seconds - before) / self._count

    def estimate(self, priority: Priority) -> float | None:
        """Return the seconds after which a call that arrives now would start; None while nothing is known."""
        if self.service is None:
            return None
        ahead = self.waiting(*PRIORITIES[: PRIORITIES.index(priority) + 1])
        return self.service * max(0, self.running - self.limit + ahead + 1) / self.limit

    def _newest_below(self, priority: Priority) -> Ticket | None:
        """Return the waiting ticket to shed first, if it stands below a priority."""
        for each in reversed(PRIORITIES[PRIORITIES.index(priority) + 1 :]):
            if self._waiting[each]:
                return next(reversed(self._waiting[each]))
        return None

    def _drop(self, ticket: Ticket, state: TicketState) -> None:
        del self._waiting[ticket.priority][ticket]
        ticket.state = state

    def _let_in(self) -> tuple[Ticket, ...]:
        let_in: list[Ticket] = []
        for line in self._waiting.values():
            while line and self.running < self.limit:
                ticket, _ = line.popitem(last=False)
                ticket.state = "running"
                self.running += 1
                let_in.append(ticket)
        return tuple(let_in)
