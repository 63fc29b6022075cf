"""Makes room by leaving out the oldest turns."""

from assistant_kit.compaction_rules import keep_newest, summaries_tokens
from assistant_kit.protocols.compactor import Compaction, Crowded


class DropOldest:
    """Keeps the newest whole turns that fit.

    Summaries that are there already stay as long as they take a quarter of the room at most; the oldest go first.
    """

    in_background = False

    async def compact(self, window: Crowded) -> Compaction | None:
        """Return what is kept; None when everything fits, or nothing is left to drop."""
        if (
            sum(turn.tokens for turn in window.turns) + summaries_tokens(window.summaries, window.counter)
            <= window.target
        ):
            return None
        kept = keep_newest(window)
        dropped = kept.keep < len(window.turns) or len(kept.summaries) < len(window.summaries)
        return kept if dropped else None
