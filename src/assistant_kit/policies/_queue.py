"""Who runs, who waits and who is turned away: the queue of a bulkhead, without a clock and without tasks.

What always holds: at most `limit` tickets run (more only right after the limit was lowered), at most `queue` wait,
nobody waits while a place is free, a higher priority goes first, and within one the users take turns, each with their
calls in the order of arrival. So between two calls of a user who waits nobody else has more than one.
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
    """A call in the queue, of a user; all calls of nobody are one user's.

    `expected` is in how many seconds it was expected to start, where that could be told. `wake` is called by whoever
    runs the queue, when a waiting ticket is let in or shed.
    """

    priority: Priority
    state: TicketState
    user: str = ""
    expected: float | None = None
    wake: Callable[[], None] = _nobody


class _Turns:
    """Those of one priority who wait: the users in turn, and of each the oldest call first."""

    __slots__ = ("_users", "size")

    def __init__(self) -> None:
        self._users: OrderedDict[str, OrderedDict[Ticket, None]] = OrderedDict()
        self.size: int = 0

    def add(self, ticket: Ticket) -> None:
        self._users.setdefault(ticket.user, OrderedDict())[ticket] = None
        self.size += 1

    def drop(self, ticket: Ticket) -> None:
        calls = self._users[ticket.user]
        del calls[ticket]
        self.size -= 1
        if not calls:
            del self._users[ticket.user]

    def take(self) -> Ticket:
        """Take out whose turn it is; the next turn of this user comes after those of all others."""
        user, calls = next(iter(self._users.items()))
        ticket = next(iter(calls))
        self._users.move_to_end(user)
        self.drop(ticket)
        return ticket

    def of(self, user: str) -> int:
        """Return how many of a user wait."""
        return len(self._users.get(user, ()))

    def ahead(self, user: str) -> int:
        """Return how many go before one of `user` that comes now."""
        rounds = self.of(user)
        if not rounds:
            return len(self._users)
        ahead, more = 0, 1
        for other, calls in self._users.items():
            if other == user:
                more = 0  # those who stand behind have one turn less before it
            ahead += min(len(calls), rounds + more)
        return ahead

    def newest_of_the_longest(self) -> tuple[Ticket, int]:
        """Return the newest call of the user of whom most wait, and whose turn comes last, and how many these are."""
        calls = max(reversed(self._users.values()), key=len)
        return next(reversed(calls)), len(calls)


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
        self._waiting: dict[Priority, _Turns] = {each: _Turns() for each in PRIORITIES}

    def waiting(self, *priorities: Priority) -> int:
        """Return how many wait, with these priorities or with any."""
        return sum(self._waiting[each].size for each in priorities or PRIORITIES)

    def arrive(
        self, priority: Priority, user: str = "", *, patience: float = inf, time_left: float = inf
    ) -> tuple[Ticket, Ticket | None]:
        """Take in a call; return its ticket, and the ticket of the waiting call that is shed for it.

        Refused is who would start later than in `patience` seconds, or end later than in `time_left`, by the recent
        service time, and who finds the queue full and nobody in it who has to make room: a call of a lower priority, or
        of a user with more calls in it.
        """
        if self.running < self.limit:
            self.running += 1
            return Ticket(priority, "running", user), None
        wait = self.estimate(priority, user)
        hopeless = wait is not None and (wait > patience or wait + (self.service or 0.0) > time_left)
        out = None if hopeless or self.waiting() < self.queue else self._makes_room(priority, user)
        if hopeless or (out is None and self.waiting() >= self.queue):
            self.refused += 1
            return Ticket(priority, "refused", user), None
        if out is not None:
            self._drop(out, "shed")
            self.shed += 1
        ticket = Ticket(priority, "waiting", user, wait)
        self._waiting[priority].add(ticket)
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

    def estimate(self, priority: Priority, user: str = "") -> float | None:
        """Return the seconds after which a call of a user that arrives now would start; None while nothing is known."""
        if self.service is None:
            return None
        above = PRIORITIES[: PRIORITIES.index(priority)]
        ahead = sum(self._waiting[each].size for each in above) + self._waiting[priority].ahead(user)
        return self.service * max(0, self.running - self.limit + ahead + 1) / self.limit

    def _makes_room(self, priority: Priority, user: str) -> Ticket | None:
        """Return whom a full queue sheds for a call: of the lowest priority the newest of whom most wait."""
        for each in reversed(PRIORITIES[PRIORITIES.index(priority) :]):
            turns = self._waiting[each]
            if turns.size:
                newest, most = turns.newest_of_the_longest()
                if each != priority or most > turns.of(user) + 1:  # else they would only change places
                    return newest
        return None

    def _drop(self, ticket: Ticket, state: TicketState) -> None:
        self._waiting[ticket.priority].drop(ticket)
        ticket.state = state

    def _let_in(self) -> tuple[Ticket, ...]:
        let_in: list[Ticket] = []
        for turns in self._waiting.values():
            while turns.size and self.running < self.limit:
                ticket = turns.take()
                ticket.state = "running"
                self.running += 1
                let_in.append(ticket)
        return tuple(let_in)
