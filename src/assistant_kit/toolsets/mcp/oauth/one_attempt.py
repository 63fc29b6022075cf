"""What many tasks need at once is tried by one of them; the others share its outcome."""

from collections.abc import Awaitable, Callable

import anyio


class _Attempt:
    def __init__(self) -> None:
        self.over = anyio.Event()
        self.failure: Exception | None = None


class OneAttempt:
    """Makes one attempt at a time."""

    def __init__(self) -> None:
        self._running: _Attempt | None = None

    async def make(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, or wait for the task that is doing it; look afterwards whether more has to be done.

        Raises what the work raises, in every task that has waited for it: whoever refuses is not asked once more for
        each of them. A task that is cancelled ends its attempt as one that came to nothing.
        """
        if self._running is not None:
            running = self._running
            await running.over.wait()
            if running.failure is not None:
                raise running.failure
            return
        attempt = self._running = _Attempt()
        try:
            await work()
        except Exception as error:
            attempt.failure = error
            raise
        finally:
            self._running = None
            attempt.over.set()
