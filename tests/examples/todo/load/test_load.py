"""Users who talk at once to two processes on one database lose nothing and get nothing twice."""

from pathlib import Path

from tests.examples.todo.core.databases import postgres_database
from tests.examples.todo.load.crowd import Plan, come, processes


def test_a_crowd_on_two_processes_and_one_postgres_loses_nothing(postgres_url: str, tmp_path: Path) -> None:
    # 50 users: scripts/todo-load
    with postgres_database(postgres_url) as url, processes(tmp_path, url, 2) as addresses:
        figures = come(url, addresses, Plan(users=6, messages=3, doubled=2))
    assert not figures.wrong, figures
    assert figures.requests == 6 * (3 + 2)
