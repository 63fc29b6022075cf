"""The command behind scripts/load."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.examples.web.load.crowd import ANSWER, PIECES, Plan, come
from tests.examples.web.system import answering, running_system
from tests.openai_server import Answer, OpenAIServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/load", description=__doc__)
    parser.add_argument("--people", type=int, default=200, help="who read at the same time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="messages of each (default: %(default)s)")
    parser.add_argument("--orchestrators", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--postgres", action="store_true", help="on Postgres in place of SQLite")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder, OpenAIServer(script=lambda _: Answer(ANSWER, pieces=PIECES)) as server:
        told = {**answering(server), "MESSAGES_PER_MINUTE": "1000"}
        data = Path(folder) / "data"
        with running_system(data, orchestrators=asked.orchestrators, postgres=asked.postgres, told=told) as system:
            figures = come(system, Plan(people=asked.people, rounds=asked.rounds))
    for problem in sorted(set(figures.wrong)):
        sys.stdout.write(f"wrong: {problem[:300]}\n")
    sys.stdout.write(f"people={asked.people} orchestrators={asked.orchestrators} {figures}\n")
    return int(bool(figures.wrong))


if __name__ == "__main__":
    sys.exit(main())
