"""The command behind scripts/todo-load."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.examples.todo.core.databases import postgres_database
from tests.examples.todo.load.crowd import Plan, come, processes
from tests.services.postgres import running_postgres


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/todo-load", description=__doc__)
    parser.add_argument("--users", type=int, default=50, help="users at once (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=6, help="messages of each (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="processes of the service (default: %(default)s)")
    asked = parser.parse_args()
    with (
        TemporaryDirectory() as folder,
        running_postgres() as server,
        postgres_database(server) as url,
        processes(Path(folder), url, asked.processes) as addresses,
    ):
        figures = come(url, addresses, Plan(users=asked.users, messages=asked.messages))
    sys.stdout.write(f"processes={asked.processes} users={asked.users} messages={asked.messages} {figures}\n")
    return int(figures.wrong)


if __name__ == "__main__":
    sys.exit(main())
