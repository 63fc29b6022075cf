"""Two attempts at one call: the first that has something to say is heard, the other is cancelled."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Generic

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from assistant_kit.background import Background
from assistant_kit.events import Delta, Event
from assistant_kit.protocols.model import Progress
from assistant_kit.protocols.policy import Call, Proceed, T


class Attempt(Generic[T]):
    """One attempt, with its own view of the call. `result` holds what it returned, `error` why it failed."""

    __slots__ = ("_race", "began", "error", "progress", "result", "scope")

    def __init__(self, race: "Race[T]") -> None:
        """Take the race that it runs in."""
        self._race = race
        # What the reader has been shown is one list for all: who retracts it, inside or outside, retracts it once.
        self.progress: Progress = Progress(text=race.call.progress.text)
        self.began: float = anyio.current_time()
        self.scope: anyio.CancelScope = anyio.CancelScope()
        self.result: tuple[T] | None = None
        self.error: Exception | None = None

    async def make(self) -> None:
        """Make the attempt. Raises nothing but what is no Exception."""
        race = self._race
        own = replace(race.call, progress=self.progress, emit=self._emit, notify=self._notify)
        with self.scope:
            try:
                result = await race.proceed(own)
            except Exception as error:  # noqa: BLE001  (raised by the race, if it comes to that)
                self.error = error
            else:
                self.result = (result,)
                race.is_heard(self)

    def _emit(self, delta: Delta) -> None:
        if self._race.is_heard(self):
            self.progress.started = True
            self._race.call.emit(delta)

    def _notify(self, event: Event) -> None:
        if self._race.speaker is self:
            self._race.call.notify(event)


class Race(Generic[T]):
    """A call, made by one attempt or by two.

    `may_hedge` is asked when the second attempt is due. `decided` is told how long the first one was given until an
    answer began, be it its own or the other's; it is not told when the first one failed.
    """

    __slots__ = ("_decided", "_may_hedge", "_over", "call", "first", "proceed", "second", "winner")

    def __init__(
        self, call: Call, proceed: Proceed[T], *, may_hedge: Callable[[], bool], decided: Callable[[float], None]
    ) -> None:
        """Take the call and how to make it. The first attempt begins at once."""
        self.call: Call = call
        self.proceed: Proceed[T] = proceed
        self._may_hedge = may_hedge
        self._decided = decided
        self._over: anyio.Event | None = None
        self.winner: Attempt[T] | None = None
        self.first: Attempt[T] = Attempt(self)
        self.second: Attempt[T] | None = None

    @property
    def speaker(self) -> Attempt[T] | None:
        """The attempt whose retries the reader is told of: the winner; until there is one, the first that goes on."""
        return self.winner or (self.first if self.first.error is None else self.second)

    @property
    def loser(self) -> Attempt[T] | None:
        """The attempt that was on its way when the other one was heard."""
        attempts = (self.first, self.second)
        return next((it for it in attempts if it and it is not self.winner and it.scope.cancel_called), None)

    def is_heard(self, attempt: Attempt[T]) -> bool:
        """Tell whether what an attempt has to say is for the reader. The first to ask wins."""
        if self.winner is None:
            self._decide(attempt)
        return self.winner is attempt

    async def run(self, delay: float | None) -> T:
        """Make the call, a second time if no answer begins within `delay` seconds; None: once.

        Raises the winner's error, and the first one's when both fail.
        """
        if delay is None:
            await self.first.make()
        else:
            async with Background(partial(self._hedge, delay)):
                await self.first.make()
                if self._over is not None:
                    await self._over.wait()
        heard = self.winner or self.first
        if heard.error is not None:
            raise heard.error
        if heard.result is None:
            await checkpoint_if_cancelled()  # cancelled from outside, as this task is, which has not been told yet
        assert heard.result is not None  # noqa: S101  (it has not failed)
        return heard.result[0]

    async def _hedge(self, delay: float) -> None:
        await anyio.sleep(delay)
        first = self.first
        # The sleep may end in the same turn of the event loop in which the first attempt does.
        if self.winner or first.error or first.progress.begun or not self._may_hedge():
            return
        self._over = anyio.Event()
        self.second = Attempt(self)
        try:
            await self.second.make()
        finally:
            self._over.set()

    def _decide(self, winner: Attempt[T]) -> None:
        self.winner = winner
        self.call.progress.begun = True
        other = self.second if winner is self.first else self.first
        if other is not None and other.error is None:
            other.scope.cancel()
        if self.first.error is None:
            self._decided(anyio.current_time() - self.first.began)
