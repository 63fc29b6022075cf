"""The command behind scripts/soak."""

import argparse
import logging
import sys
import time
from collections.abc import Callable

from tests.soak.soak import Soak, run

SHOWN = 20


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Soak, print what is wrong and the figures; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--conversations", type=int, default=200, help="how many at once")
    parser.add_argument("--faults", type=float, default=0.05, help="the share of requests and tool calls that fail")
    parser.add_argument("--store", choices=("sqlite", "memory", "postgres"), default="sqlite")
    parser.add_argument("--pause", type=float, default=4.0, help="the mean of seconds between turns of a conversation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")
    given = parser.parse_args()
    logging.disable()  # tools that raise are logged
    begun, cpu = time.monotonic(), time.process_time()
    report = run(Soak(**vars(given)), _say_some())
    for kind, count in sorted(report.tally.failed.items()):
        say(f"failed by {kind}: {count}")
    say(f"memory: {max(report.memory, default=0) >> 20} MiB at most; CPU: {time.process_time() - cpu:.0f} s")
    say(f"seconds={time.monotonic() - begun:.0f} {report.line}")
    return int(report.tally.violations > 0 or not report.tally.completed)


def _say_some() -> Callable[[str], None]:
    left = iter(range(SHOWN))
    return lambda text: None if next(left, None) is None else say(f"VIOLATION {text}")


if __name__ == "__main__":
    sys.exit(main())
