"""The command behind scripts/crash-sweep."""

import argparse
import logging
import random
import sys
import time
from collections.abc import Callable
from functools import partial

import anyio
import trio._core._run as trio_run

from tests.crash_sweep.sweep import Tally, pair_plans, plans, sweep, sweep_pairs

SHOWN = 20


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Sweep, print what is wrong and the figures; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/crash-sweep", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every scenario in every setting on both event loops")
    parser.add_argument("--pairs", action="store_true", help="two crashes: all pairs of the two shortest scenarios")
    parser.add_argument("--only", default="", help="only plans that have this text in their name")
    given = parser.parse_args()
    logging.disable()  # workers that die say so
    _make_trio_repeat_itself()
    begun = time.monotonic()
    chosen = [plan for plan in (pair_plans() if given.pairs else plans(full=given.all)) if given.only in str(plan)]
    tally = Tally(say=_say_some())
    for plan in chosen:
        before = tally.points
        anyio.run(partial(sweep_pairs if given.pairs else sweep, plan, tally), backend=plan.backend)
        say(f"{plan}: {tally.points - before}")
    seconds = time.monotonic() - begun
    say(f"scenarios={len(tally.scenarios)} points={tally.points} violations={tally.violations} seconds={seconds:.0f}")
    return int(tally.violations > 0 or not tally.points)


def _say_some() -> Callable[[str], None]:
    left = iter(range(SHOWN))
    return lambda text: None if next(left, None) is None else say(f"VIOLATION {text}")


def _make_trio_repeat_itself() -> None:
    """Let trio, which shuffles its tasks, shuffle them in the same way each time: as hypothesis does it."""
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    trio_run._r = random.Random(0)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


if __name__ == "__main__":
    sys.exit(main())
