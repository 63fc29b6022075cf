"""Measures peers side by side: CPU time of this process, interleaved repeats, ratios of the same repeat."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.peer import Peer
from benchmarks.workload import EXPECTED, Outcome, Work

OPERATIONS: Mapping[Work, int] = {"turn": 40, "token": 3}
"""How many operations make one repeat."""
WARM_UP: Mapping[Work, int] = {"turn": 10, "token": 1}


class WrongAnswer(Exception):
    """A peer's outcome is not what the server said."""

    def __init__(self, peer: str, work: Work, outcome: Outcome) -> None:
        right = EXPECTED[work]
        super().__init__(
            f"{peer}, {work}: {len(outcome.text)} characters, {outcome.tool_calls} calls, {outcome.tokens} tokens; "
            f"right are {len(right.text)}, {right.tool_calls}, {right.tokens}; the text begins {outcome.text[:60]!r}"
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """One peer over another: the median over the repeats, and the spread."""

    median: float
    low: float
    high: float


def ratio(times: list[float], of: list[float]) -> Ratio:
    """Compare the times of the same repeats."""
    ratios = [mine / theirs for mine, theirs in zip(times, of, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


async def measure(peers: Mapping[str, Peer], work: Work, repeats: int) -> dict[str, list[float]]:
    """CPU seconds of one operation, by peer and repeat; the order of the peers rotates."""
    for name, peer in peers.items():
        await _operate(name, peer, work, WARM_UP[work])
    times: dict[str, list[float]] = {name: [] for name in peers}
    names = list(peers)
    for repeat in range(repeats):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            begin = time.process_time()
            await _operate(name, peers[name], work, OPERATIONS[work])
            times[name].append((time.process_time() - begin) / OPERATIONS[work])
    return times


async def _operate(name: str, peer: Peer, work: Work, count: int) -> None:
    for _ in range(count):
        outcome = await (peer.turn() if work == "turn" else peer.token())
        if outcome != EXPECTED[work]:
            raise WrongAnswer(name, work, outcome)
