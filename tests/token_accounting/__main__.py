"""Count a corpus of requests by OpenAI's own renderer and by us, and print the figures.

`python -m tests.token_accounting --requests 1000`
"""

import argparse
import sys
import tempfile
from pathlib import Path

from assistant_kit.token_counters.tiktoken import TiktokenCounter
from tests.token_accounting.comparison import above, compared
from tests.token_accounting.corpus import corpus
from tests.token_accounting.harmony import Renderer


def main() -> int:
    """Compare, print; 1 if any request is counted too low, or all of them more than 2 % too high."""
    parser = argparse.ArgumentParser(prog="python -m tests.token_accounting", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        renderer = Renderer(Path(folder))
    all_of_them = list(compared(corpus(given.requests, seed=given.seed), renderer, TiktokenCounter()))
    plain = [one for one in all_of_them if not one.unfolded]
    low = sum(one.ours < one.true for one in all_of_them)
    worst = max(all_of_them, key=lambda one: one.above)
    sys.stdout.write(
        f"requests={len(all_of_them)} tokens={sum(one.true for one in all_of_them)} too_low={low} "
        f"above={above(all_of_them):.2%} worst={worst.above:.1%} ({worst.ours} for {worst.true})\n"
        f"without definitions: requests={len(plain)} above={above(plain):.2%} "
        f"worst={max(one.above for one in plain):.1%}\n"
    )
    return int(low > 0 or above(all_of_them) > 0.02)


if __name__ == "__main__":
    sys.exit(main())
