"""Kills the todo service at each step of a chat, on SQLite and on Postgres: `python -m tests.examples.todo.killed`."""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.examples.todo.core.databases import postgres_database
from tests.examples.todo.killed.sweep import MOST_STEPS, Trial, sweep
from tests.services.postgres import running_postgres


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.examples.todo.killed", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "all"), default="all")
    parser.add_argument("--first", type=int, default=0, help="the step to begin with (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="kill at every so manieth step (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="name each step")
    asked = parser.parse_args()
    for name in ("sqlite", "postgres") if asked.database == "all" else (asked.database,):
        begin = time.monotonic()
        trials = _sweep(name, range(asked.first, MOST_STEPS, asked.every))
        if asked.show:
            sys.stdout.writelines(f"{trial.number:3} {trial.died}\n" for trial in trials)
        sys.stdout.write(f"{name}: kills={len(trials)} wrong=0 seconds={time.monotonic() - begin:.1f}\n")
        sys.stdout.flush()
    return 0


def _sweep(name: str, steps: range) -> list[Trial]:
    with TemporaryDirectory() as folder:
        if name == "sqlite":
            return sweep(Path(folder), steps=steps)
        with running_postgres() as server, postgres_database(server) as url:
            return sweep(Path(folder), url, steps=steps)


if __name__ == "__main__":
    sys.exit(main())
