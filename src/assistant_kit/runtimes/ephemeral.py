"""A turn that leaves no record: what a one-off run uses."""

from collections.abc import Awaitable, Callable, Sequence

from assistant_kit.entries import ApprovalDecided, Measured, ToolStarted, TurnFinished
from assistant_kit.protocols.runtime import Claim


class Ephemeral:
    """Runs every step and remembers nothing."""

    async def step(self, key: str, run: Callable[[], Awaitable[Measured]]) -> Measured:
        """Run the step; there is nothing recorded under `key`."""
        del key
        return await run()

    async def claim(self, calls: Sequence[ToolStarted]) -> Sequence[Claim]:
        """Let every call run."""
        return [Claim(standing="run", started=call) for call in calls]

    def decision(self, call_id: str, arguments_hash: str) -> ApprovalDecided | None:
        """Know of no decision."""
        del call_id, arguments_hash

    async def finish(self, entry: TurnFinished) -> None:
        """Forget the turn."""
        del entry
