"""Give up an attempt that takes too long, or a stream that has gone silent."""

from dataclasses import dataclass, replace
from math import inf

import anyio

from assistant_kit.background import Background
from assistant_kit.errors import ConfigurationError, ModelTimeout
from assistant_kit.protocols.policy import Call, Proceed, T

_LOOKS = 4
"""How often a stream is looked at in the time that it may be silent: silence is noticed a quarter of it late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Bounds one attempt of a model call, in seconds; what is None is bounded by the run's deadline alone.

    `attempt` is for the whole answer. Of a stream, `first_token` is the time until the answer begins (its text, its
    reasoning, a tool call), and `idle` the longest silence of the server: any byte ends it, also where a model thinks
    and its server sends only signs of life. Raises ModelTimeout, which is retried while the reader has seen nothing.
    """

    attempt: float | None = None
    first_token: float | None = 120.0
    idle: float | None = 120.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a time in which nothing could be done."""
        if any(limit is not None and not limit > 0 for limit in (self.attempt, self.first_token, self.idle)):
            raise ConfigurationError("Timeouts: each is a positive number of seconds, or None for no limit")

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call, in time."""
        if call.kind != "model":
            return await proceed(call)
        if self.attempt is not None:
            call = replace(call, deadline=call.deadline.earlier(self.attempt, now=anyio.current_time()))
        watched = call.streams and (self.first_token is not None or self.idle is not None)
        if not watched and self.attempt is None:
            return await proceed(call)
        late = f"no whole answer within {self.attempt} s"
        call.progress.begun = False
        with anyio.CancelScope() as scope:
            if self.attempt is not None:
                scope.deadline = call.deadline.at
            if not watched:
                return await proceed(call)

            async def watch() -> None:
                nonlocal late
                late = await self._silence(call)
                scope.cancel()

            async with Background(watch):
                return await proceed(call)
        raise ModelTimeout(late, model=call.name)

    async def _silence(self, call: Call) -> str:
        """Wait until the stream has been silent for too long, and say so."""
        progress = call.progress
        first, idle = (inf if limit is None else limit for limit in (self.first_token, self.idle))
        began = heard = anyio.current_time()
        beats = progress.beats
        while True:
            now = anyio.current_time()
            if progress.beats != beats:
                beats, heard = progress.beats, now
            begins_by = inf if progress.begun or progress.started else began + first
            if now >= begins_by:
                return f"no answer began within {first} s"
            if now - heard >= idle:
                return f"nothing came for {idle} s"
            await anyio.sleep(min(idle / _LOOKS, begins_by - now))

    def explain(self, call: Call) -> str:
        """Return what applies to a call."""
        if call.kind != "model":
            return ""
        limits = (("attempt", self.attempt), ("first token", self.first_token), ("silence", self.idle))
        told = [f"{name} {limit:g} s" for name, limit in limits if limit is not None]
        return f"timeouts: {', '.join(told)}" if told else ""
