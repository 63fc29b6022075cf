"""The command behind scripts/window-sweep."""

import argparse
import logging
import sys
import time
from contextlib import suppress

import anyio

from tests.window_sweep.sweep import Tally, example, seeds

SHOWN = 20


def main() -> int:
    """Try examples, print what is wrong and the figures; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/window-sweep", description=__doc__)
    parser.add_argument("--examples", type=int, default=2_000, help="journals to try (default: 2,000)")
    parser.add_argument("--seed", type=int, default=1, help="where to begin (default: 1)")
    parser.add_argument("--example", type=int, help="only this one")
    given = parser.parse_args()
    logging.disable()  # what does not fit is said again and again
    begun = time.monotonic()
    tally = Tally()
    chosen = seeds(given.seed, given.examples) if given.example is None else iter([given.example])

    async def try_all() -> None:
        for seed in chosen:
            await example(seed, tally)

    with suppress(KeyboardInterrupt):  # what was tried until then is told
        anyio.run(try_all)
    for violation in tally.violations[:SHOWN]:
        sys.stdout.write(f"VIOLATION {violation}\n")
    sys.stdout.write(
        f"examples={tally.examples} turns={tally.turns} requests={tally.requests} compactions={tally.compactions} "
        f"refused={tally.refused} violations={len(tally.violations)} seconds={time.monotonic() - begun:.0f}\n"
    )
    return int(bool(tally.violations) or not tally.compactions)


if __name__ == "__main__":
    sys.exit(main())
