"""Run simulated worlds until so many turns have been seen; scripts/simulate says how."""
# ruff: noqa: T201  (a command prints what it has found)

import argparse
import gc
import hashlib
import sys
import time
from collections import Counter
from contextlib import nullcontext

from tests.simulation.mutants import MUTANTS
from tests.simulation.world import Outcome, run_world

_SHOWN = 3  # broken worlds of which the trace is printed
_ENOUGH = 20  # broken worlds after which it is pointless to go on
_WORLDS = 10**9  # more than one seed ever needs: worlds of different seeds are different ones


def main() -> int:
    """Print what was found, and last the figures."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--turns", type=int, default=5_000, help="how many turns to see, at least (default: 5000)")
    parser.add_argument("--seed", type=int, default=1, help="which worlds to run (default: 1)")
    parser.add_argument("--world", type=int, help="run the one world of this number, and print its trace")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="plant this bug into the engine first")
    options = parser.parse_args()
    with nullcontext() if options.mutant is None else MUTANTS[options.mutant].planted():
        if options.world is not None:
            outcome = run_world(options.world)
            print("\n".join(outcome.trace))
            return _tell([outcome], broken=_complain(outcome), seconds=0.0)
        return _many(options.turns, options.seed)


def _many(turns: int, seed: int) -> int:
    began = time.process_time()
    outcomes: list[Outcome] = []
    seen = broken = 0
    while seen < turns and broken < _ENOUGH:
        outcome = run_world(seed * _WORLDS + len(outcomes))
        if not outcomes:
            gc.freeze()  # what is loaded by now stays: looking through it again and again takes a third of the time
        seen += outcome.turns
        if outcome.violations:
            broken += 1
            _complain(outcome)
            if broken <= _SHOWN:
                print("\n".join(outcome.trace))
        outcomes.append(outcome.without_trace())
    return _tell(outcomes, broken=broken, seconds=time.process_time() - began)


def _complain(outcome: Outcome) -> int:
    for violation in outcome.violations:
        print(f"world {outcome.seed}: {violation.rule}: {violation.what}")
    if outcome.violations:
        print(f"again, with its trace: ./scripts/simulate --world {outcome.seed}")
    return int(bool(outcome.violations))


def _tell(outcomes: list[Outcome], *, broken: int, seconds: float) -> int:
    faults: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for outcome in outcomes:
        faults += outcome.faults
        ends += outcome.ends
    print("faults by kind:", *(f"{kind}={number}" for kind, number in sorted(faults.items())))
    print("turns and calls by outcome:", *(f"{end}={number}" for end, number in sorted(ends.items())))
    digest = hashlib.blake2b("".join(outcome.digest for outcome in outcomes).encode(), digest_size=8).hexdigest()
    figures = {
        "turns": sum(outcome.turns for outcome in outcomes),
        "faults": sum(faults.values()),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
        "worlds": len(outcomes),
        "broken_worlds": broken,
        "repeated_requests": sum(outcome.repeated_requests for outcome in outcomes),
        "virtual_hours": round(sum(outcome.seconds for outcome in outcomes) / 3600, 1),
        "trace": digest,
        "cpu_seconds": round(seconds, 1),
    }
    print(*(f"{name}={value}" for name, value in figures.items()))
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
