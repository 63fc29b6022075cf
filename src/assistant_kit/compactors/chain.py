"""Several ways to make room, one after the other."""

from collections.abc import Sequence

from assistant_kit.protocols.compactor import Compaction, Compactor, Crowded


class Chain:
    """Asks compactors in order; the first that has an answer decides."""

    def __init__(self, compactors: Sequence[Compactor]) -> None:
        self._compactors = tuple(compactors)

    @property
    def in_background(self) -> bool:
        """Whether one of them takes long."""
        return any(compactor.in_background for compactor in self._compactors)

    async def compact(self, window: Crowded) -> Compaction | None:
        """Return the first answer; None when nobody has one. Raises what the compactors raise."""
        for compactor in self._compactors:
            answer = await compactor.compact(window)
            if answer is not None:
                return answer
        return None
