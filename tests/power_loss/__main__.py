"""The command behind scripts/power-loss."""

import argparse
import sys
import time
from dataclasses import dataclass, field

import anyio

from assistant_kit.stores.sqlite.schema import Synchronous
from tests.power_loss.trial import try_once


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the trials of one mode came to."""

    trials: int = 0
    lost: int = 0
    writes: int = 0
    problems: list[str] = field(default_factory=list[str])


async def tally(synchronous: Synchronous, trials: int, seed: int) -> Tally:
    """Run trials of a mode. A trial has a seed of its own, which is shown when it finds something."""
    result = Tally()
    for number in range(seed, seed + trials):
        outcome = await try_once(synchronous, number)
        result.trials += 1
        result.writes += outcome.lost
        result.lost += outcome.lost > 0
        result.problems += [f"{synchronous} seed {number}: {problem}" for problem in outcome.problems]
        if outcome.lost and synchronous == "FULL":
            result.problems.append(f"FULL seed {number}: {outcome.lost} acknowledged writes are lost")
    return result


async def main(trials: int, seed: int) -> int:
    """Run both modes and print the figures; return the exit status."""
    begun = time.monotonic()
    full, normal = await tally("FULL", trials, seed), await tally("NORMAL", trials, seed)
    problems = full.problems + normal.problems
    for problem in problems[:20]:
        print(problem)  # noqa: T201  (a command says what it found)
    corrupt = len(problems) - full.lost
    print(  # noqa: T201
        f"full_trials={full.trials} full_lost={full.lost} normal_trials={normal.trials} normal_lost={normal.lost} "
        f"normal_lost_writes={normal.writes} corrupt={corrupt} seconds={time.monotonic() - begun:.0f}"
    )
    return int(bool(problems) or not normal.lost)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/power-loss")
    parser.add_argument("--trials", type=int, default=400, help="trials of each mode (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first trial's seed (default: %(default)s)")
    options = parser.parse_args()
    sys.exit(anyio.run(main, options.trials, options.seed))
