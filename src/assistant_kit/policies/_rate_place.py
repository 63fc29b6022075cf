"""Where the lines of a rate limit are: in this process, or at a place that workers share while it can be reached."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Generic, TypeAlias, TypeVar, cast

import anyio
from anyio.lowlevel import RunVar

from assistant_kit.errors import StoreError
from assistant_kit.policies._token_bucket import (
    LEARNED_FOR,
    SECOND,
    Bucket,
    Learned,
    Line,
    Rates,
    Waiting,
    apart,
    charged_with,
    fitted,
    time_to_full,
)
from assistant_kit.protocols.shared_state import Changed, SharedState

T = TypeVar("T")

Step: TypeAlias = Callable[[Line, int, int], tuple[Line, T]]
"""Makes of a line, the time there in microseconds, and the weight of a call, another line and a result."""

AGAIN_AFTER = 5 * SECOND
"""Microseconds for which a shared place that has failed is left alone."""

_FORMAT = 1
_SWEEP = 1024

_log = logging.getLogger("assistant_kit.policies")
_offset = RunVar[float]("assistant_kit_rate_clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A line as it was seen last; `ahead` is by how many microseconds the clock of its place is ahead of ours."""

    line: Line
    ahead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done(Generic[T]):
    line: Line
    result: T
    now: int


class Place:
    """Keeps one line a key. Loops and threads may share it.

    While a shared place cannot be reached, each worker goes on from what it has seen last, and charges every call
    `share` times, so that all together stay within the limit. What is missing then is charged to the shared line when
    that is back.
    """

    def __init__(self, rates: Rates, *, state: SharedState | None, share: int, patience: float) -> None:
        """Make a place without lines."""
        self._rates = rates
        self._state = state
        self._share = share
        self._patience = patience
        self._lock = Lock()
        self._seen: dict[str, Seen] = {}
        self._alone: dict[str, Seen] = {}
        self._down = False
        self._again_at = 0
        self._changes = 0

    async def change(self, key: str, step: Step[T]) -> T:
        """Make a step with the line of a key. It is not interrupted: a place in line is never lost on the way."""
        if self._state is None:
            return self._here(self._seen, key, step, weight=1)
        if self._may_ask():
            try:
                with anyio.fail_after(self._patience, shield=True):
                    return await self._there(self._state, key, step)
            except (StoreError, TimeoutError) as error:
                self._gone(error)
        return self._here(self._alone, key, step, weight=self._share)

    def look(self, key: str) -> tuple[Line, int] | None:
        """Return the line of a key as it was seen last, and the time at its place; None when it never was."""
        first, second = (self._alone, self._seen) if self._down else (self._seen, self._alone)
        seen = first.get(key) or second.get(key)
        if seen is None:
            return None
        now = clock() + seen.ahead
        return fitted(seen.line, self._rates, now=now), now

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that were seen."""
        with self._lock:
            return tuple({**self._seen, **self._alone})

    @property
    def alone(self) -> bool:
        """Whether there is a shared place that cannot be reached."""
        return self._down

    @property
    def weight(self) -> int:
        """How many times over a call is charged now."""
        return self._share if self._down else 1

    def _may_ask(self) -> bool:
        """Tell whether to try the shared place. While it is down, one call tries it now and then."""
        now = clock()
        if self._down and now < self._again_at:
            return False
        self._again_at = now + AGAIN_AFTER
        return True

    def _here(self, lines: dict[str, Seen], key: str, step: Step[T], *, weight: int) -> T:
        with self._lock:
            seen = lines.get(key) or self._begun(key)
            now = clock() + seen.ahead
            line, result = step(fitted(seen.line, self._rates, now=now), now, weight)
            lines[key] = Seen(line=line, ahead=seen.ahead)
            self._sweep()
            return result

    def _begun(self, key: str) -> Seen:
        seen = self._seen.get(key)
        now = clock()
        if seen is None:
            return Seen(line=Line(born=now, front=now))
        return replace(seen, line=apart(seen.line, now=now + seen.ahead))

    async def _there(self, state: SharedState, key: str, step: Step[T]) -> T:
        alone = self._alone.pop(key, None)
        missing = None if alone is None else fitted(alone.line, self._rates, now=clock() + alone.ahead)

        def change(value: bytes | None, seconds: float) -> Changed[_Done[T]]:
            now = int(seconds * SECOND)
            line = fitted(decoded(value), self._rates, now=now)
            if missing is not None:
                line = charged_with(line, missing, share=self._share)
            line, result = step(line, now, 1)
            return Changed(value=encoded(line), result=_Done(line=line, result=result, now=now), keep=_keep(line, now))

        try:
            done = await state.update("", f"rate/{key}", change)
        except BaseException:
            if alone is not None:
                self._alone.setdefault(key, alone)
            raise
        with self._lock:
            self._seen[key] = Seen(line=done.line, ahead=done.now - clock())
            self._sweep()
        self._back()
        return done.result

    def _gone(self, error: Exception) -> None:
        if not self._down:
            self._down = True
            text = "rate limit: the shared place cannot be reached (%s): this worker keeps to 1/%d of the limit"
            _log.warning(text, type(error).__name__, self._share)

    def _back(self) -> None:
        if self._down:
            self._down = False
            _log.info("rate limit: the shared place is back")

    def _sweep(self) -> None:
        self._changes += 1
        if self._changes % _SWEEP == 0:
            now = clock()
            for lines in (self._seen, self._alone):
                for key, seen in list(lines.items()):
                    if seen.line.front + _keep(seen.line, now + seen.ahead) * SECOND < now + seen.ahead:
                        del lines[key]


def clock() -> int:
    """Return microseconds on a clock that all event loops of a process share, and that follows virtual time."""
    try:
        now = anyio.current_time()
    except RuntimeError:  # no event loop runs: somebody wants to know, and nobody waits
        return int(time.monotonic() * SECOND)
    offset = _offset.get(None)
    if offset is None:
        offset = time.monotonic() - now
        _offset.set(offset)
    return int((now + offset) * SECOND)


def encoded(line: Line) -> bytes:
    """Return a line as bytes."""
    learned = line.learned
    return json.dumps(
        [
            _FORMAT,
            [line.born, line.front, line.count, line.last, line.blocked, line.strikes],
            [learned.requests, learned.tokens, learned.at],
            _bucket_list(line.requests),
            _bucket_list(line.tokens),
            [[one.who, one.tokens, one.weight, one.until] for one in line.waiting],
        ],
        separators=(",", ":"),
    ).encode()


def decoded(value: bytes | None) -> Line | None:
    """Return the line; None where there is none, or one of another format: then the line begins anew."""
    if value is None:
        return None
    stored = cast("list[Any]", json.loads(value))
    if stored[0] != _FORMAT:
        return None
    born, front, count, last, blocked, strikes = stored[1]
    learned = Learned(requests=stored[2][0], tokens=stored[2][1], at=stored[2][2])
    return Line(
        born=born,
        front=front,
        count=count,
        last=last,
        blocked=blocked,
        strikes=strikes,
        learned=learned,
        requests=_bucket(stored[3]),
        tokens=_bucket(stored[4]),
        waiting=tuple(
            Waiting(who=who, tokens=tokens, weight=weight, until=until) for who, tokens, weight, until in stored[5]
        ),
    )


def _bucket_list(bucket: Bucket | None) -> list[Any] | None:
    return None if bucket is None else [bucket.limit, bucket.room, bucket.level, bucket.peaks]


def _bucket(stored: list[Any] | None) -> Bucket | None:
    if stored is None:
        return None
    limit, room, level, peaks = stored
    return Bucket(limit=limit, room=room, level=level, peaks=tuple((number, peak) for number, peak in peaks))


def _keep(line: Line, now: int) -> float:
    """Return the seconds after which nothing of a line matters any more: all is whole, and what it learned is old."""
    return (max(0, max(line.front, line.blocked) - now) + time_to_full(line) + LEARNED_FOR) / SECOND
