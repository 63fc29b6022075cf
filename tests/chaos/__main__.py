"""The command behind scripts/chaos."""

import argparse
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

from tests.chaos.chaos import run

SHOWN = 20


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run chaos, print what is wrong and the figures; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres", "redis"), required=True)
    parser.add_argument("--kills", type=int, default=60, help="workers to kill with SIGKILL (default: 60)")
    parser.add_argument("--stops", type=int, default=15, help="workers to freeze and wake as zombies (default: 15)")
    parser.add_argument("--seed", type=int, default=1, help="of the driver's choices; the times are the machine's")
    given = parser.parse_args()
    folder = Path(mkdtemp(prefix="assistant-kit-chaos-"))
    done = run(given.store, kills=given.kills, stops=given.stops, seed=given.seed, folder=folder)
    violations = done.verdict.violations
    for violation in violations[:SHOWN]:
        say(f"VIOLATION {violation.blame}: {violation.text}")
    errors = " ".join(f"{name}={times}" for name, times in sorted(done.driver.clients.errors.items()) if times)
    say(f"errors that clients met and asked again: {errors or 'none'}")
    if violations:
        traces = ("\n  ".join([f"{turn.conversation} {turn.order.text}", *turn.trace]) for turn in done.verdict.turns)
        (folder / "turns").write_text("\n".join(traces), encoding="utf-8")
        say(f"logs, effects and turns are in {folder} (seed {given.seed})")
    else:
        shutil.rmtree(folder)
    say(" ".join(f"{name}={value}" for name, value in done.figures.items()))
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
