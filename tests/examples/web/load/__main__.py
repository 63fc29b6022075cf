"""The command behind scripts/load."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.examples.web.load.crowd import Crowd, Figures, Plan
from tests.examples.web.system import answering, running_system
from tests.openai_server import Answer, OpenAIServer, Paced, Reply


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/load", description=__doc__)
    parser.add_argument("--people", type=int, default=200, help="streams at the same time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="messages of each (default: %(default)s)")
    parser.add_argument("--pace", type=float, default=0.25, help="seconds from word to word (default: %(default)s)")
    parser.add_argument("--orchestrators", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--postgres", action="store_true", help="on Postgres in place of SQLite")
    asked = parser.parse_args()
    spread = Plan(people=asked.people, rounds=asked.rounds, pace=asked.pace)
    at_once = Plan(people=asked.people, rounds=asked.rounds, pace=0.0, at_once=True)
    current = spread

    def answer(_: object) -> Reply:
        whole = Answer(pieces=current.pieces)
        return Paced(current.pace, whole) if current.pace else whole

    with TemporaryDirectory() as folder, OpenAIServer(script=answer) as server:
        told = {**answering(server), "MESSAGES_PER_MINUTE": "1000"}
        data = Path(folder) / "data"
        with running_system(data, orchestrators=asked.orchestrators, postgres=asked.postgres, told=told) as system:
            crowd = Crowd.of(system, asked.people)
            first = crowd.read(spread, server.base_url)
            _tell("spread", spread, first)
            current = at_once
            second = crowd.read(at_once, server.base_url)
            _tell("at_once", at_once, second)
            crowd.close()
    return int(bool(first.wrong or second.wrong))


def _tell(name: str, plan: Plan, figures: Figures) -> None:
    for problem in sorted(set(figures.wrong)):
        sys.stdout.write(f"wrong: {problem[:300]}\n")
    sys.stdout.write(f"{name}: people={plan.people} {figures}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
