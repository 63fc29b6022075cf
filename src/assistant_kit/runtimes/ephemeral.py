"""A turn that leaves no record: what a one-off run uses."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from assistant_kit.entries import ApprovalDecided, Measured, ToolNoted, ToolStarted, TurnFinished
from assistant_kit.errors import NotTransactional
from assistant_kit.protocols.runtime import Claim


class Ephemeral:
    """Runs every step and remembers nothing."""

    async def step(self, key: str, run: Callable[[], Awaitable[Measured]]) -> Measured:
        """Run the step; there is nothing recorded under `key`."""
        del key
        return await run()

    def recorded(self, key: str) -> bool:
        """Know of no earlier worker."""
        del key
        return False

    async def claim(self, calls: Sequence[ToolStarted]) -> Sequence[Claim]:
        """Let every call run."""
        return [Claim(standing="run", started=call) for call in calls]

    async def transact(self, key: str, run: Callable[[Any], Awaitable[Measured]]) -> Measured:
        """Refuse: there is no transaction."""
        del run
        raise NotTransactional(key, "a one-off run has no journal")

    async def note(self, entry: ToolNoted) -> None:
        """Forget the note."""
        del entry

    def begun(self, key: str) -> bool:
        """Know of no earlier worker."""
        del key
        return False

    def in_doubt(self) -> Sequence[ToolStarted]:
        """Know of no earlier worker."""
        return ()

    def decision(self, key: str, arguments_hash: str) -> ApprovalDecided | None:
        """Know of no decision."""
        del key, arguments_hash

    async def finish(self, entry: TurnFinished) -> None:
        """Forget the turn."""
        del entry
