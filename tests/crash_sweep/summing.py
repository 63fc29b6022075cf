"""A compactor that works after turns, without a model: it keeps the newest turn and sums up the others in a line."""

from anyio.lowlevel import checkpoint

from assistant_kit.entries import Summary
from assistant_kit.protocols.compactor import Compaction, Crowded


class Summing:
    """Sums up what stands before the newest turn."""

    @property
    def in_background(self) -> bool:
        """Yes."""
        return True

    async def compact(self, window: Crowded) -> Compaction | None:
        """Return the summary; None when there is one turn only."""
        await checkpoint()
        older = window.turns[:-1]
        if not older:
            return None
        summary = Summary(text=f"{len(older)} orders", first=older[0].seq, last=older[-1].seq)
        return Compaction(keep=1, summaries=(summary,), strategy="sum up")
