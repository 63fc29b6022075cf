"""`./scripts/outage`: the table of what outages do, with and without policies; its help says what the columns are."""
# ruff: noqa: T201  (a command prints what it has found)

import argparse
import logging
import sys
import time

from tests.outage.provider import ILLNESSES
from tests.outage.worlds import CHOICES, Outcome, play

MOST_ADDED = 0.10
"""Load that policies may add to what users ask for, at most."""
JUDGED = ("default", "with a backup")


def line(outcome: Outcome) -> str:
    """One line of the table."""
    return (
        f"{outcome.illness:12} {outcome.policies:14} asked={outcome.asked_ill:5} sent={outcome.sent_ill:5} "
        f"added={outcome.added:+7.1%} errors={outcome.errors:6.1%} p99={outcome.p99:5.1f} s "
        f"p99_error={outcome.p99_error:5.1f} s most={outcome.most}"
    )


def main() -> int:
    """Play all worlds, print a line each, and say whether a rule was broken."""
    parser = argparse.ArgumentParser(prog="./scripts/outage")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=3, help="of each user (default: 3)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # breakers that open are what is looked at here
    begun = time.monotonic()
    broken = worlds = 0
    worst = 0.0
    for illness in ILLNESSES:
        for policies in CHOICES:
            outcome = play(illness, policies, users=options.users, requests=options.requests, seed=options.seed)
            worlds += 1
            print(line(outcome), flush=True)
            if policies in JUDGED:
                worst = max(worst, outcome.added)
                broken += outcome.added > MOST_ADDED
    seconds = time.monotonic() - begun
    print(f"worlds={worlds} most_added={worst:.3f} violations={broken} seconds={seconds:.0f}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
