"""The migrations make the tables that the models mean, undo them, and leave the assistant's tables alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, inspect, select, table, text
from sqlmodel import SQLModel

from assistant_kit import Assistant
from assistant_kit.testing.scripted_model import ScriptedModel
from examples.todo_chatbot.assistant import make_journal
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService
from tests.examples.todo.core.databases import postgres_database, sqlite_url

REVISIONS = ("base", "a1", "a2", "a3")
ALEMBICS = {"alembic_version"}


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables, of the test's own."""
    if request.param == "sqlite":
        database = Database(sqlite_url(tmp_path))
        yield database
        database.close()
        return
    with postgres_database(request.getfixturevalue("postgres_url")) as url:
        database = Database(url)
        yield database
        database.close()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def ours() -> set[str]:
    return set(SQLModel.metadata.tables)


def differences(database: Database) -> list[Any]:
    """What a new migration would have to do to our tables."""

    def is_ours(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in ours()

    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": is_ours, "compare_type": True, "target_metadata": SQLModel.metadata}
        )
        return compare_metadata(context, SQLModel.metadata)


def test_the_tables_are_those_of_the_models(empty: Database) -> None:
    empty.migrate()
    assert tables(empty) == ours() | ALEMBICS
    assert differences(empty) == []


def test_a_difference_would_be_seen(empty: Database) -> None:
    empty.migrate()
    with empty.engine.begin() as connection:
        connection.execute(text("ALTER TABLE task DROP COLUMN description"))
        connection.execute(text("DROP INDEX ix_task_user_id"))
    assert len(differences(empty)) == 2


def test_each_step_can_be_undone_and_made_again(empty: Database) -> None:
    empty.migrate()
    for revision in reversed(REVISIONS[:-1]):
        empty.downgrade(revision)
        assert (tables(empty) == ALEMBICS) == (revision == "base")
        empty.migrate()
        assert differences(empty) == []
        empty.downgrade(revision)
    empty.migrate()
    assert differences(empty) == []


def test_rows_are_kept_by_a_migration_that_is_made_again(empty: Database) -> None:
    empty.migrate()
    user = UserService(empty).named("ada")
    task = TaskService(empty).add(user, "milk")
    empty.migrate()
    empty.downgrade("a2")
    empty.migrate()
    assert TaskService(empty).list(user) == (task,)


def test_workers_that_start_together_migrate_once(empty: Database) -> None:
    def start(_: int) -> None:
        worker = Database(empty.url.render_as_string(hide_password=False))
        worker.migrate()
        worker.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(start, range(6)))
    assert differences(empty) == []


def test_a_migration_that_fails_leaves_everything_as_it_was(empty: Database) -> None:
    empty.migrate()
    empty.downgrade("a1")
    with empty.engine.begin() as connection:
        connection.execute(text("CREATE TABLE task_request (in_the_way INTEGER)"))  # the last table of its step
    before = tables(empty)
    with pytest.raises(Exception, match="task_request"):
        empty.migrate()
    assert tables(empty) == before


@pytest.mark.parametrize("first", ["journal", "app"])
def test_the_assistants_tables_and_what_they_hold_are_left_alone(empty: Database, first: str) -> None:
    makers: list[Callable[[], object]] = [empty.migrate, lambda: anyio.run(said, empty)]
    for make in makers if first == "app" else reversed(makers):
        make()
    kept = journal_rows(empty)
    assert sum(kept.values()) > 0
    empty.downgrade()
    assert tables(empty) & ours() == set()
    assert journal_rows(empty) == kept
    empty.migrate()
    assert journal_rows(empty) == kept
    assert anyio.run(said, empty) == 2


async def said(database: Database) -> int:
    """Say something, and return how many turns the conversation has."""
    with anyio.fail_after(20):
        async with (
            aclosing(make_journal(database)) as journal,
            Assistant(ScriptedModel(["Hello."]), store=journal) as assistant,
        ):
            await assistant.run("hi", user="u", conversation="1")
            return len(await assistant.conversation("1", user="u").history())


def journal_rows(database: Database) -> dict[str, int]:
    """How many rows the tables of the assistant have."""
    schema = None if database.is_sqlite else "assistant_kit"
    names = set(inspect(database.engine).get_table_names(schema)) - ours() - ALEMBICS
    with database.engine.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table(name, schema=schema))).scalar_one()
            for name in names
        }
