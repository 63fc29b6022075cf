"""The command behind scripts/mid-stream."""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from tests.mid_stream.sweep import Tally, all_cases, sweep

SHOWN = 20


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Sweep, print what is wrong and the figures; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/mid-stream", description=__doc__)
    parser.add_argument("--only", default="", help="only cases that have this text in their name")
    parser.add_argument("--every", type=int, default=1, help="only one case in so many")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")
    given = parser.parse_args()
    logging.disable()
    begun = time.monotonic()
    tally = Tally(say=_say_some())
    chosen = [case for case in all_cases() if given.only in str(case)][:: given.every]
    with TemporaryDirectory() as folder:
        anyio.run(partial(sweep, chosen, tally, Path(folder)), backend=given.backend)
    for outcome, count in sorted(tally.outcomes.items()):
        say(f"{outcome}: {count}")
    say(f"cases={tally.cases} violations={tally.violations} seconds={time.monotonic() - begun:.0f}")
    return int(tally.violations > 0 or not tally.cases)


def _say_some() -> Callable[[str], None]:
    left = iter(range(SHOWN))
    return lambda text: None if next(left, None) is None else say(f"VIOLATION {text}")


if __name__ == "__main__":
    sys.exit(main())
