"""Whether a server of tools can be reached, and when one that cannot is tried again.

For every toolset that lives on a server. What is decided stands in pure functions over `Standing`; `Availability`
makes the attempts. Times are in seconds of the event loop's clock.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from assistant_kit.errors import ToolsetError
from assistant_kit.toolsets._own_task import OwnTask

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
SETTLED = 10.0  # seconds after which a connection that ends has been a good one
_JITTER = 0.2  # of a pause, so that many workers do not come back at the same moment
_DOUBLINGS = 10

_log = logging.getLogger("assistant_kit.tools")

T = TypeVar("T")


class CannotReach(Exception):
    """An attempt to reach a server has failed; the text says why and what to do. Its cause is that of the failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a server fares: failures in a row, until when it is left alone because of them, and the last `reason`."""

    failures: int = 0
    until: float = 0.0
    reason: str = ""

    def wait(self, now: float) -> float:
        """Seconds for which the server is left alone; 0 when it may be tried now."""
        return max(0.0, self.until - now)


def pause(failures: int, *, chance: float) -> float:
    """Seconds to wait after so many failures in a row, less up to a fifth by `chance` (from 0 to 1); 0 after none."""
    if failures == 0:
        return 0.0
    longest = min(FIRST_PAUSE * 2 ** min(failures - 1, _DOUBLINGS), LONGEST_PAUSE)
    return longest * (1 - _JITTER * chance)


def after_failure(standing: Standing, reason: str, *, now: float, chance: float) -> Standing:
    """Judge a server that could not be reached."""
    failures = standing.failures + 1
    return Standing(failures=failures, until=now + pause(failures, chance=chance), reason=reason)


def after_end(standing: Standing, reason: str, *, lasted: float, served: bool, now: float, chance: float) -> Standing:
    """Judge a server whose connection has ended.

    It may be tried again at once, unless connections have ended early, with nothing `served`, twice in a row: such a
    server would else be started in a loop.
    """
    if served or lasted >= SETTLED:
        return Standing()
    failures = standing.failures + 1
    return Standing(failures=failures, until=now + pause(failures - 1, chance=chance), reason=reason)


class _Attempt(Generic[T]):
    """One attempt, for all who wait for it; it goes on when one of them is cancelled."""

    def __init__(self, connect: Callable[[], Awaitable[T]]) -> None:
        self.value: T | None = None
        self.failure: CannotReach | None = None
        self._connect = connect

    async def run(self) -> None:
        try:
            self.value = await self._connect()
        except CannotReach as failure:
            self.failure = failure
        except Exception as error:  # noqa: BLE001  (a mistake of ours must not be tried in a loop)
            _log.exception("an attempt to reach a server of tools has failed in a way that was not foreseen")
            self.failure = CannotReach(type(error).__name__)
            self.failure.__cause__ = error


class Availability(Generic[T]):
    """Reaches a server for all who need it: one attempt at a time, and none while the server is known to be down.

    `connect` makes an attempt, in a task of its own, and returns what has been reached: a connection, or a list of
    tools. It bounds its own time, and raises CannotReach. What it returns is handed out until `lost` or `forget`.
    `name` is the toolset's in errors; `context` holds the context variables of the attempts.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[T]],
        *,
        context: Context | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name: str = name
        self.standing: Standing = Standing()
        self._connect = connect
        self._context = copy_context() if context is None else context
        self._chance = chance
        self._value: T | None = None
        self._since = 0.0
        self._attempt: tuple[_Attempt[T], OwnTask] | None = None

    @property
    def value(self) -> T | None:
        """What has been reached, while it is good."""
        return self._value

    @property
    def down(self) -> str | None:
        """Why the server is not there at present; None when it is, or when nobody has tried yet."""
        return self.standing.reason if self._value is None and self.standing.failures else None

    async def get(self) -> T:
        """Return what has been reached, after an attempt if need be.

        Raises ToolsetError: when the attempt fails, and at once while the server is left alone after failures.
        """
        while self._value is None:
            attempt, task = self._attempt or self._begin()
            await task.ended.wait()
            if attempt.failure is not None:
                raise ToolsetError(self.name, str(attempt.failure)) from attempt.failure.__cause__
            if self._value is None and attempt.value is None:  # it was cancelled by `aclose`
                raise ToolsetError(self.name, "closed while it was being connected")
        return self._value

    def peek(self) -> T | None:
        """Return what has been reached, and never wait: else begin an attempt, if it is time for one."""
        if self._value is None and self._attempt is None and not self.standing.wait(anyio.current_time()):
            self._begin()
        return self._value

    def lost(self, reason: str, *, served: bool = True) -> None:
        """Take note that what was reached is of no use any more; `served` tells that it has been of use."""
        now = anyio.current_time()
        lasted = now - self._since
        self.standing = after_end(self.standing, reason, lasted=lasted, served=served, now=now, chance=self._chance())
        self._value = None

    def failed(self, reason: str) -> None:
        """Take note that the server is not there, as after an attempt that has failed."""
        self.standing = after_failure(self.standing, reason, now=anyio.current_time(), chance=self._chance())
        self._value = None

    def forget(self) -> None:
        """Reach the server anew at the next need; nothing is held against it."""
        self._value = None

    async def aclose(self) -> None:
        """End an attempt that is under way."""
        if self._attempt is not None:
            await self._attempt[1].stop()
        self._value = None

    def _begin(self) -> tuple[_Attempt[T], OwnTask]:
        wait = self.standing.wait(anyio.current_time())
        if wait:
            raise ToolsetError(self.name, f"{self.standing.reason} (it is tried again in {wait:.1f} s)")
        attempt = _Attempt(self._connect)

        async def run() -> None:
            try:
                await attempt.run()
            finally:
                self._settle(attempt)

        self._attempt = attempt, OwnTask(run, context=self._context.copy())
        return self._attempt

    def _settle(self, attempt: _Attempt[T]) -> None:
        now = anyio.current_time()
        self._attempt = None
        if attempt.failure is not None:
            reason = str(attempt.failure)
            self.standing = after_failure(self.standing, reason, now=now, chance=self._chance())
        elif attempt.value is not None:
            # Failures before count until the connection has been of use: see `after_end`.
            self._value, self._since = attempt.value, now
