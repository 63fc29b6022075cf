"""The contract of what makes a turn durable: the one seam through which the run loop does everything that counts.

The journal is the first implementation; a durable-execution engine is a small adapter.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, Protocol, TypeAlias

from assistant_kit.entries import ApprovalDecided, Measured, ToolFinished, ToolNoted, ToolStarted, TurnFinished

Standing: TypeAlias = Literal["run", "finished", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What to do with a call, and the record under which it runs.

    `run` it; or its outcome is recorded (`finished`); or an earlier worker has started it and it must not be run again
    (`lost`). `notes` are what earlier attempts have noted. A `keyed` call is repeated, by a policy or by another
    worker, only before `repeatable_until` on the event loop's clock: then its key still lives.
    """

    standing: Standing
    started: ToolStarted
    finished: ToolFinished | None = None
    notes: tuple[str, ...] = ()
    repeatable_until: float = inf


class Runtime(Protocol):
    """Records what a turn does, and answers from the record what was done before."""

    async def step(self, key: str, run: Callable[[], Awaitable[Measured]]) -> Measured:
        """Return the entry recorded under `key` in this turn, or run and record what it returns.

        What is recorded is durable before the next `claim` or `finish` returns.
        """
        ...

    def recorded(self, key: str) -> bool:
        """Tell whether an earlier worker has recorded this step."""
        ...

    async def claim(self, calls: Sequence[ToolStarted]) -> Sequence[Claim]:
        """Record that these tools are about to be called; durable on return, with everything before it.

        A call that may simply be repeated (`read`, `idempotent`) need not be recorded.
        """
        ...

    async def transact(self, key: str, run: Callable[[Any], Awaitable[Measured]]) -> Measured:
        """Like `step`, but `run` gets the database connection of the transaction in which its result is recorded.

        Raises NotTransactional where there is none.
        """
        ...

    async def note(self, entry: ToolNoted) -> None:
        """Record what a running call wants to be known after a crash; durable on return."""
        ...

    def begun(self, key: str) -> bool:
        """Tell whether an earlier worker has started this call and left no record of its end: it may have run."""
        ...

    def in_doubt(self) -> Sequence[ToolStarted]:
        """Return the calls that an earlier worker has started and whose end is not recorded up to now."""
        ...

    def decision(self, key: str, arguments_hash: str) -> ApprovalDecided | None:
        """Return what was decided on a call that needs approval; None while nobody has decided."""
        ...

    async def finish(self, entry: TurnFinished) -> None:
        """Record the end or the pause of the turn and give up the right to write."""
        ...
