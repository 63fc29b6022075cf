"""Pace calls, so that they stay within so many requests and tokens a minute, and nobody is refused who can wait."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from uuid import uuid4

import anyio
from anyio.lowlevel import RunVar, checkpoint_if_cancelled

from assistant_kit.deadline import Deadline
from assistant_kit.errors import (
    CallRefused,
    ConfigurationError,
    ModelError,
    ModelRateLimited,
    ModelTimeout,
    ModelUnreachable,
    RateLimitReached,
)
from assistant_kit.events import Delayed
from assistant_kit.messages import Json
from assistant_kit.policies._rate_news import heard, refused, succeeded
from assistant_kit.policies._rate_place import Place, Step
from assistant_kit.policies._reports import Reports
from assistant_kit.policies._state import GivenState
from assistant_kit.policies._token_bucket import (
    SECOND,
    UNIT,
    Bucket,
    Line,
    Rates,
    Ticket,
    ask,
    cancel,
    leave,
    settle,
    wait_behind,
)
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.protocols.policy import Call, CallKind, Condition, Hear, Proceed, T
from assistant_kit.protocols.shared_state import SharedState

_DAY = 86_400.0

_QUEUES = 64
"""Queues that are kept although nobody waits, as to make one takes longer than to stand in it."""

_LOOK = 1.0
"""Seconds after which the first of a queue looks again: another worker may have given something back."""


@dataclass(slots=True)
class _Queue:
    """Those of one event loop who wait for one thing. Only the first of them stands in the line.

    `news` is set when something may have been given back.
    """

    who: str
    first: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))
    news: anyio.Event = field(default_factory=anyio.Event)
    calls: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Wait:
    """A call that is not let through yet, and until when it may wait. `told`: its reader knows that it waits."""

    call: Call
    deadline: Deadline
    told: bool = False

    def refuse_late(self, seconds: float) -> None:
        """Raise RateLimitReached when so long a wait is longer than may be waited."""
        if seconds and not self.deadline.allows(seconds, now=anyio.current_time()):
            raise RateLimitReached(self.call.key, retry_after=seconds)

    def refuse_past(self) -> None:
        """Raise RateLimitReached when more time has passed than may be waited."""
        if anyio.current_time() > self.deadline.at:
            raise RateLimitReached(self.call.key, retry_after=_LOOK)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    """What a call has used, and how it ended."""

    requests: int
    tokens: int
    error: BaseException | None = None
    response: object = None


class RateLimit:
    """Lets calls through in the order in which they come, at the rate that is allowed.

    A call takes one request and its `prompt_tokens` and `output_tokens`; when it has ended, what it has really used
    counts. `burst` is for how many seconds what is not used is saved up (0: calls are evenly spaced). A call that is
    larger than that goes when all of it is there. A wait that does not fit a call's deadline, or is longer than
    `max_wait` seconds, raises RateLimitReached, as far as it can be foreseen at once: then a fallback can help in time.

    What a server says of its limits is believed when it is less, and where none are configured, so `RateLimit()` only
    learns. With a `state`, all workers that share it share the limits; an address, such as `"redis://host/0"`, stands
    for one that is closed with the assistant. While it does not answer within `patience` seconds, each of them keeps to
    one part in `share`.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        burst: float = 60.0,
        state: SharedState | str | None = None,
        share: int = 1,
        patience: float = 1.0,
        max_wait: float | None = None,
        kinds: Collection[CallKind] = ("model",),
    ) -> None:
        """Limit calls of some kinds. Raises ConfigurationError when no call could ever go."""
        if any(limit is not None and limit < 1 for limit in (requests_per_minute, tokens_per_minute)):
            raise ConfigurationError("RateLimit: a limit is at least 1 a minute, or None for no limit")
        if max_wait is not None and not max_wait >= 0:
            raise ConfigurationError("RateLimit: max_wait is a number of seconds, or None for the deadline alone")
        if not 0 <= burst <= _DAY or share < 1:
            raise ConfigurationError("RateLimit: burst is from 0 to 86,400 seconds, and share at least 1")
        self.kinds: frozenset[CallKind] = frozenset(kinds)
        self._rates = Rates(requests=requests_per_minute, tokens=tokens_per_minute, burst=int(burst * SECOND))
        self._given = None if state is None else GivenState(state)
        shared = None if self._given is None else self._given.state
        self._place = Place(self._rates, state=shared, share=share, patience=patience)
        self._max_wait = max_wait
        self._queues = RunVar[dict[str, _Queue]]("assistant_kit_rate_queues")
        self._waiting: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self._reports = Reports()
        self._lock = Lock()
        self._name = uuid4().hex
        self._numbers = count()

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call when its turn has come, and charge what it has used."""
        if call.kind not in self.kinds:
            return await proceed(call)
        ticket = await self._admitted(call)
        try:
            result = await proceed(call)
        except BaseException as error:
            await self._ended(call, ticket, _Used(requests=_sent(error), tokens=_lost(call, error), error=error))
            raise
        await self._ended(call, ticket, _Used(requests=1, tokens=_tokens_of(call, result), response=result))
        return result

    def explain(self, call: Call) -> str:
        """Return what applies to a call."""
        if call.kind not in self.kinds:
            return ""
        limits = ((self._rates.requests, "requests"), (self._rates.tokens, "tokens"))
        named = [f"{limit:,} {unit}" for limit, unit in limits if limit is not None]
        if not named:
            return "rate limit: what the server says of its own"
        return f"rate limit: {' and '.join(named)} a minute; calls wait for their turn"

    def health(self) -> Mapping[str, Condition]:
        """Return for each thing what is left, how many wait, and for how many seconds nobody goes."""
        seen = {key: self._place.look(key) for key in self._place.keys}
        return {f"rate limit {key}": self._condition(key, *of) for key, of in seen.items() if of is not None}

    async def aclose(self) -> None:
        """Close the state, if it was given by its address."""
        if self._given is not None:
            await self._given.aclose()

    def report_to(self, hear: Hear) -> None:
        """Tell `hear` when calls begin to wait for something, when nobody goes (`blocked`), and when it is well again.

        What only time brings, such as the end of a pause, is told with the next call.
        """
        self._reports.add(hear)

    async def _admitted(self, call: Call) -> Ticket:
        """Wait for the turn of a call, as long as it may wait. Raises RateLimitReached."""
        deadline = call.deadline
        if self._max_wait is not None:
            deadline = deadline.earlier(self._max_wait, now=anyio.current_time())
        queue, wait = self._queue(call.key), _Wait(call, deadline)
        behind = self._behind(call, queue) if queue.calls else 0.0
        wait.refuse_late(behind)
        first, tokens = not queue.calls, call.prompt_tokens + call.output_tokens
        queue.calls += 1
        queue.tokens += tokens
        try:
            self._waits(wait, behind)
            if first:
                async with queue.first:
                    return await self._turn(wait, queue)
            with anyio.CancelScope(deadline=deadline.at):
                async with queue.first:
                    return await self._turn(wait, queue)
            raise RateLimitReached(call.key, retry_after=max(self._behind(call, queue), _LOOK))
        finally:
            queue.calls -= 1
            queue.tokens -= tokens
            self._waits_no_more(wait)

    def _waits(self, wait: _Wait, seconds: float) -> None:
        """See that a call has to wait, and tell so once."""
        if seconds and not wait.told:
            wait.told = True
            call = wait.call
            self._count(call.key, 1)
            call.notify(Delayed(call=call.kind, name=call.name, reason="rate_limit", expected=seconds))
            self._report(call.key)

    def _waits_no_more(self, wait: _Wait) -> None:
        if wait.told:
            self._count(wait.call.key, -1)
            self._report(wait.call.key)

    def _queue(self, key: str) -> _Queue:
        queues = self._queues_here()
        queue = queues.get(key)
        if queue is None:
            if len(queues) >= _QUEUES:
                for empty in [key for key, each in queues.items() if not each.calls]:
                    del queues[empty]
            queue = queues[key] = _Queue(who=f"{self._name}/{os.getpid()}/{next(self._numbers)}")
        return queue

    def _count(self, key: str, change: int) -> None:
        with self._lock:  # threads may have event loops of their own
            waiting = self._waiting.pop(key, 0) + change
            if waiting:
                self._waiting[key] = waiting

    def _behind(self, call: Call, queue: _Queue) -> float:
        """Return the seconds that a call would wait in a queue, if those before it take what they may take."""
        seen = self._place.look(call.key)
        if seen is None:
            return 0.0
        line, now = seen
        tokens = call.prompt_tokens + call.output_tokens
        weight = self._place.weight
        return wait_behind(line, calls=queue.calls, taken=queue.tokens, tokens=tokens, now=now, weight=weight) / SECOND

    async def _turn(self, wait: _Wait, queue: _Queue) -> Ticket:
        """Stand in the line until the turn has come, as long as may be waited. Raises RateLimitReached."""
        key, tokens = wait.call.key, wait.call.prompt_tokens + wait.call.output_tokens

        def asking(line: Line, now: int, weight: int) -> tuple[Line, Ticket | int]:
            return ask(line, queue.who, tokens=tokens, now=now, weight=weight)

        answer: Ticket | int = 0
        try:
            while isinstance(answer := await self._place.change(key, asking), int):
                seconds = answer / SECOND
                wait.refuse_late(seconds)
                self._waits(wait, seconds)
                with anyio.move_on_after(min(seconds, _LOOK)):  # so it ends before the deadline
                    await queue.news.wait()
                queue.news = anyio.Event()
            if self._given is not None:  # to ask the place may have taken long
                wait.refuse_past()
            await checkpoint_if_cancelled()
        except BaseException:
            await self._place.change(key, _leaving(queue.who, answer))
            raise
        return answer

    async def _ended(self, call: Call, ticket: Ticket, used: _Used) -> None:
        def step(line: Line, now: int, _: int) -> tuple[Line, None]:
            line = settle(line, ticket, requests=used.requests, tokens=used.tokens, now=now)
            return _informed(line, ticket, used, self._rates, now=now), None

        key = call.key
        await self._place.change(key, step)
        if key in self._waiting and key in (queues := self._queues_here()):
            queues[key].news.set()
        if used.error is not None or self._place.alone or key in self._told:
            self._report(key)

    def _report(self, key: str) -> None:
        """Tell of a state that is another one than the one that was told last."""
        seen = self._place.look(key) if self._reports else None
        if seen is None:
            return
        condition = self._condition(key, *seen)
        with self._lock:
            before = self._told.pop(key, "ok")
            if condition.state != "ok":
                self._told[key] = condition.state
        self._reports.tell(f"rate limit {key}", before, condition)

    def _queues_here(self) -> dict[str, _Queue]:
        queues = self._queues.get(None)
        if queues is None:
            queues = dict[str, _Queue]()
            self._queues.set(queues)
        return queues

    def _condition(self, key: str, line: Line, now: int) -> Condition:
        blocked, waiting = max(0, line.blocked - now) / SECOND, self._waiting.get(key, 0)
        data: dict[str, Json] = {"waiting": waiting, "blocked_for": blocked, "alone": self._place.alone}
        for name, bucket in (("requests", line.requests), ("tokens", line.tokens)):
            data |= {} if bucket is None else _figures(name, bucket)
        alone = self._place.alone
        state = "blocked" if blocked else "alone" if alone else "waiting" if waiting else "ok"
        return Condition(ok=not blocked and not alone, state=state, data=data)


def _leaving(who: str, answer: Ticket | int) -> Step[None]:
    def step(line: Line, now: int, _: int) -> tuple[Line, None]:
        return leave(line, who) if isinstance(answer, int) else cancel(line, answer, now=now), None

    return step


def _informed(line: Line, ticket: Ticket, used: _Used, rates: Rates, *, now: int) -> Line:
    """Return a line that knows what the end of a call says about the limit."""
    error, refusal = used.error, isinstance(used.error, ModelRateLimited)
    if error is None:
        line = succeeded(line, ticket)
    source = used.response if error is None else error
    limits = source.limits if isinstance(source, ModelResponse | ModelError) else None
    if limits is not None:
        # A refusal comes at once. An answer may have taken minutes since its headers were sent.
        line = heard(line, limits, rates, said=now if refusal else ticket.at, now=now)
    if isinstance(error, ModelRateLimited):
        asked = limits.wait if error.retry_after is None and limits is not None else error.retry_after
        line = refused(line, ticket, retry_after=asked, now=now)
    return line


def _tokens_of(call: Call, result: object) -> int:
    """Return what a call has used; what it had reserved, where nobody can tell."""
    usage = None if call.usage is None else call.usage(result)
    return usage.total_tokens if usage is not None and usage.reported else call.prompt_tokens + call.output_tokens


def _sent(error: BaseException) -> int:
    """Return how many requests have been sent in a call that failed."""
    return 0 if isinstance(error, CallRefused | ModelUnreachable) else 1


def _lost(call: Call, error: BaseException) -> int:
    """Return the tokens that a failed call has used: its prompt, if the server may have read it."""
    if not _sent(error):
        return 0
    read = call.progress.started or call.progress.begun
    interrupted = isinstance(error, ModelTimeout) or not isinstance(error, Exception)
    return call.prompt_tokens if read or interrupted else 0


def _figures(name: str, bucket: Bucket) -> dict[str, Json]:
    return {f"{name}_per_minute": bucket.limit, f"{name}_left": bucket.level // UNIT}
