"""A worker's life with numbered points, at one of which it ends.

It stops dead: nothing of it goes on, nothing is cleaned up. Or its work is cancelled, and cleans up after itself.
"""

from contextvars import ContextVar
from typing import Literal, NoReturn, TypeAlias

import anyio

from assistant_kit.errors import StoreUnavailable

Ending: TypeAlias = Literal["death", "cancellation"]


class DiedInside(Exception):
    """Undoes the transaction in which a worker has died, as the end of its process would."""


class Life:
    """Counts points and ends at number `ends_at`, if that comes; `ended` is the name of that point then.

    What has stopped waits until it is buried: another worker recovers while the dead one stands still as it was. What
    is left of it after the burial finds no store, no model and no outside world.
    """

    def __init__(self, ends_at: int | None = None, ending: Ending = "death") -> None:
        self.points: list[str] = []
        self.over = anyio.Event()
        self.work = anyio.CancelScope()
        self.dead = False
        self.ended: str | None = None
        self._ending: Ending = ending
        self._ends_at = ends_at
        self._buried = anyio.Event()

    async def point(self, name: str) -> None:
        """Pass a point, or stop there. Raises StoreUnavailable once it is buried."""
        self._pass(name)
        await self.live()

    def point_inside(self, name: str) -> None:
        """Pass a point in a transaction. Raises DiedInside."""
        self._pass(name)
        if self.dead:
            raise DiedInside

    async def live(self) -> None:
        """Go on when alive, and stand still when not."""
        if self.dead:
            await self.rest()

    async def rest(self) -> NoReturn:
        """Stand still until the burial."""
        await self._buried.wait()
        raise StoreUnavailable("this process is dead")

    def bury(self) -> None:
        """Let go what is left of it; a life that has not ended is over, too."""
        self.dead = True
        self._buried.set()

    def _pass(self, name: str) -> None:
        if self.dead:
            return
        self.points.append(name)
        if self._ends_at != len(self.points) - 1:
            return
        self.ended = name
        if self._ending == "cancellation":
            self.work.cancel()
        else:
            self.dead = True
            self.over.set()


LIFE: ContextVar[Life] = ContextVar("LIFE")
"""The life to which the running task belongs."""
