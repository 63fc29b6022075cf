"""Look for each planted bug until a rule is broken; scripts/mutants says how."""
# ruff: noqa: T201  (a command prints what it has found)

import argparse
import gc
import sys
import time

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.world import run_world


def main() -> int:
    """Print a table of planted bugs and of what found them, and last the figures."""
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="worlds to look at for each, at most (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="the first world (default: 0)")
    parser.add_argument("names", nargs="*", help="which mutants (default: all)")
    options = parser.parse_args()
    began = time.process_time()
    caught = turns = 0
    chosen = [MUTANTS[name] for name in options.names] or list(MUTANTS.values())
    print(f"{'planted bug':46} {'found by rule':16} {'worlds':>6} {'turns':>6} {'seconds':>7}")
    run_world(options.seed)
    gc.freeze()
    for planted in chosen:
        found, seen = _hunt(planted, options.seed, options.runs)
        caught += found
        turns += seen
    print(f"mutants={len(chosen)} caught={caught} turns={turns} cpu_seconds={time.process_time() - began:.1f}")
    return int(caught < len(chosen))


def _hunt(planted: Mutant, first: int, runs: int) -> tuple[bool, int]:
    began = time.process_time()
    turns = 0
    for number in range(first, first + runs):
        with planted.planted():
            outcome = run_world(number)
        turns += outcome.turns
        # A rule that is broken without the planted bug, too, has found another one.
        if outcome.violations and not run_world(number).violations:
            rules = sorted({violation.rule for violation in outcome.violations})
            seconds = time.process_time() - began
            print(f"{planted.name:46} {rules[0]:16} {number - first + 1:6} {turns:6} {seconds:7.1f}", flush=True)
            return True, turns
    print(f"{planted.name:46} {'SURVIVED':16} {runs:6} {turns:6} {time.process_time() - began:7.1f}", flush=True)
    return False, turns


if __name__ == "__main__":
    sys.exit(main())
