"""The command behind scripts/quota-race."""

import argparse
import sys
import time
from typing import cast, get_args

from tests.quota_race.race import Figures, Plan, StoreName, race


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the race on one kind of place or on all, and print what came out; 1 if a quota did not hold."""
    parser = argparse.ArgumentParser(prog="scripts/quota-race", description=__doc__)
    parser.add_argument("--store", choices=(*get_args(StoreName), "all"), default="all")
    parser.add_argument("--runs", type=int, default=500, help="calls at once, by 4 workers (default: 500)")
    parser.add_argument("--quota", type=int, default=100, help="calls that the quota allows (default: 100)")
    parser.add_argument("--lease", type=float, default=5.0, help="seconds a reservation lives (default: 5)")
    given = parser.parse_args()
    plan = Plan(runs=given.runs, quota=given.quota, lease=given.lease)
    stores = get_args(StoreName) if given.store == "all" else (given.store,)
    done: list[Figures] = []
    for store in stores:
        begin = time.monotonic()
        figures = race(cast("StoreName", store), plan)
        done.append(figures)
        say(
            f"{store}: runs={figures.runs} admitted={figures.admitted} over={figures.over} short={figures.short} "
            f"killed_held={figures.held_by_killed} returned={figures.returned} seconds={time.monotonic() - begin:.1f}"
        )
    sums = {name: sum(getattr(one, name) for one in done) for name in ("runs", "admitted", "over", "returned")}
    say(" ".join(f"{name}={value}" for name, value in sums.items()))
    return int(any(figures.wrong for figures in done))


if __name__ == "__main__":
    sys.exit(main())
