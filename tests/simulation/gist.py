"""A compactor without a model: it sums up the oldest turns in a line, and takes its time over it."""

import anyio
from anyio.lowlevel import checkpoint

from assistant_kit.compaction_rules import fits
from assistant_kit.entries import Summary
from assistant_kit.errors import ModelUnavailable
from assistant_kit.messages import text_of
from assistant_kit.protocols.compactor import Compaction, Crowded
from assistant_kit.testing.simulation import Faults
from tests.simulation.script import heard

_FAILS = 0.1
_SECONDS = 12.0  # until it has an answer in the background, at most


class Gist:
    """Keeps the newest turns that take half of the room, and a line about each lot of older ones."""

    def __init__(self, faults: Faults, *, in_background: bool) -> None:
        """Take the faults that it has, too."""
        self._faults = faults
        self._in_background = in_background

    @property
    def in_background(self) -> bool:
        """Whether it is asked after a turn."""
        return self._in_background

    async def compact(self, window: Crowded) -> Compaction | None:
        """Sum up. Raises ModelUnavailable now and then."""
        if self._in_background:
            await anyio.sleep(self._faults.chance.random() ** 2 * _SECONDS)
        else:
            await checkpoint()
        if self._faults.strikes("compactor_fails", _FAILS):
            raise ModelUnavailable("no summary (simulated)", model="gist", status=503)
        for keep in range(len(window.turns) - 1, -1, -1):
            compaction = _summed_up(window, keep)
            if fits(compaction, _smaller(window)):
                return compaction
        return None


def _summed_up(window: Crowded, keep: int) -> Compaction:
    older = window.turns[: len(window.turns) - keep]
    said = [heard(text_of(turn.started.input.content)) for turn in older if turn.started is not None]
    text = f"{said[0].canary} {said[0].ref} to {said[-1].ref}"
    summary = Summary(text=text, first=older[0].seq, last=older[-1].seq)
    return Compaction(keep=keep, summaries=(*window.summaries, summary), strategy="gist")


def _smaller(window: Crowded) -> Crowded:
    return Crowded(
        summaries=window.summaries,
        turns=window.turns,
        target=window.target,
        limit=min(window.target, window.limit),
        counter=window.counter,
        model=window.model,
        earlier=window.earlier,
    )
