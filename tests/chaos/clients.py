"""Clients that order, and order again what was not answered; what they were told is kept."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos.judge import Acknowledged
from tests.chaos.orders import Order
from tests.chaos.worker import Command, How, Reply

FINAL = ("completed", "failed", "cancelled", "left")
USERS = ("ann", "bob")
CONVERSATIONS = tuple(f"c{number}" for number in range(6))
AT_ONCE = 2
PATIENCE = (1.2, 2.5)  # seconds until a client without an answer asks again, elsewhere
PAUSE = (0.02, 0.1)  # seconds until a client asks again after an error
SHY = 0.1  # the part of orders whose client does not ask again
HASTY = 0.05  # the part of orders whose client leaves the stream early
HOWS: tuple[How, ...] = ("run", "run", "stream")
KINDS = ("plain", "look", "pay", "pay", "all", "all", "all", "ask", "write", "delegate")


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """An order under way. It was last sent to `sent_to`, and is asked again at `due`."""

    order: Order
    user: str
    conversation: str
    how: How
    shy: bool
    due: float
    sent_to: str = ""
    killed_at: float = 0.0
    answered: bool = False
    next: tuple[How, tuple[str, ...]] | None = None


@dataclass(slots=True, kw_only=True)
class Clients:
    """All clients. `recovered` has the seconds from the death of a worker to the answer by another one."""

    rng: random.Random
    kinds: Sequence[str]
    acknowledged: list[Acknowledged] = field(default_factory=list[Acknowledged])
    recovered: list[float] = field(default_factory=list[float])
    errors: Counter[str] = field(default_factory=Counter[str])
    open: list[Request] = field(default_factory=list[Request])
    abandoned: int = 0
    orders: int = 0
    _sent: dict[int, Request] = field(default_factory=dict[int, Request])
    _numbers: int = 0

    def order_more(self, now: float) -> None:
        """Keep each conversation busy."""
        busy: defaultdict[tuple[str, str], int] = defaultdict(int)
        for request in self.open:
            busy[request.user, request.conversation] += 1
        for user in USERS:
            for conversation in CONVERSATIONS:
                while busy[user, conversation] < AT_ONCE:
                    busy[user, conversation] += 1
                    self.open.append(self._new(user, conversation, now))

    def _new(self, user: str, conversation: str, now: float) -> Request:
        self.orders += 1
        kind = self.rng.choice(self.kinds)
        patient = kind == "ask"  # what waits for approval would wait for ever
        leaves = not patient and self.rng.random() < HASTY
        return Request(
            order=Order(name=f"r{self.orders}", kind=kind),
            user=user,
            conversation=conversation,
            how="leave" if leaves else self.rng.choice(HOWS),
            shy=not patient and self.rng.random() < SHY,
            due=now,
        )

    def due(self, now: float, workers: Sequence[str], send: Callable[[str, Command], None]) -> None:
        """Send what is due to some worker, if possible another one than before."""
        for request in self.open:
            if request.due <= now and workers:
                others = [name for name in workers if name != request.sent_to] or list(workers)
                name = self.rng.choice(others)
                send(name, self._command(request))
                request.sent_to = name
                request.due = now + self.rng.uniform(*PATIENCE)

    def _command(self, request: Request) -> Command:
        self._numbers += 1
        self._sent[self._numbers] = request
        how, calls = request.next or (request.how, ())
        request.next = None
        return Command(
            number=self._numbers,
            how=how,
            user=request.user,
            conversation=request.conversation,
            order=request.order.text,
            calls=calls,
        )

    def take(self, reply: Reply, now: float) -> None:
        """Take an answer, also one that comes late or again."""
        request = self._sent.pop(reply.number, None)
        if request is None:
            return
        if reply.outcome in FINAL:
            self._end(request, reply, now)
            return
        if reply.outcome == "waiting":
            request.next = ("approve", reply.calls)
        elif reply.outcome == "TurnParked":
            request.next = ("retry", ())
        self.errors[reply.outcome] += reply.outcome != "waiting"
        if not request.answered:
            request.due = min(request.due, now + self.rng.uniform(*PAUSE))

    def _end(self, request: Request, reply: Reply, now: float) -> None:
        if reply.outcome != "left":
            told = Acknowledged(order=request.order.name, outcome=reply.outcome, text=reply.text)
            self.acknowledged.append(told)
        if request.answered:
            return
        request.answered = True
        if request in self.open:
            self.open.remove(request)
        if request.killed_at:
            self.recovered.append(now - request.killed_at)

    def died(self, worker: str, now: float) -> None:
        """Learn that a worker is gone: ask others at once, or not at all."""
        for request in [request for request in self.open if request.sent_to == worker]:
            if request.shy:
                self.open.remove(request)
                self.abandoned += 1
            else:
                request.killed_at = request.killed_at or now
                request.due = now
