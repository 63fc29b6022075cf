"""Makes room by clearing long tool results in older turns; the model can read them again."""

from assistant_kit.compaction_rules import summaries_tokens
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.view import cleared

CLEARED = "clear tool results"


class ClearResults:
    """Puts a line in the place of long tool results in as many of the oldest turns as it takes."""

    in_background = False

    def __init__(self, keep_turns: int = 3) -> None:
        """Leave the newest `keep_turns` turns as they are."""
        self._keep_turns = keep_turns

    async def compact(self, window: Crowded) -> Compaction | None:
        """Return from which turn on results stay; None when everything fits, or when clearing makes too little room."""
        turns = window.turns
        tokens = sum(turn.tokens for turn in turns) + summaries_tokens(window.summaries, window.counter)
        if tokens <= window.target:
            return None
        for clear, turn in enumerate(turns[: max(0, len(turns) - self._keep_turns)], start=1):
            tokens -= turn.tokens - cleared(turn, window.counter).tokens
            if tokens <= window.target:
                return Compaction(keep=len(turns), clear=clear, summaries=tuple(window.summaries), strategy=CLEARED)
        return None
