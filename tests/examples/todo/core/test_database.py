"""A database is a file or a server; what cannot be used is one typed error, and is left as it is."""

import sqlite3
from pathlib import Path

import pytest
from sqlmodel import select

from examples.todo_chatbot.database import Database, file_url
from examples.todo_chatbot.models import User
from examples.todo_chatbot.services.errors import DatabaseUnavailable
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.user_service import UserService
from tests.examples.todo.core.databases import opened, sqlite_url
from tests.services.processes import free_port


@pytest.mark.parametrize(
    "url", ["", "todo.db", "mysql://host/todo", "sqlite://", "sqlite:///", "postgresql://host", "http://host/x", "://"]
)
def test_an_address_of_no_database_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        Database(url)


def test_a_place_is_shown_without_its_password() -> None:
    database = Database("postgresql://ada:hush@db.example:5433/todo")
    assert database.place == "postgresql+psycopg://ada:***@db.example:5433/todo"
    assert "hush" not in repr(database)
    assert database.journal == "postgresql://ada:hush@db.example:5433/todo"


def test_a_file_may_have_any_name_and_the_journal_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20ü"
    folder.mkdir()
    database = Database(file_url(folder / "todo.db"))
    quoted = f"{tmp_path}/a%20b%2520%C3%BC"
    assert database.place == str(folder / "todo.db")
    assert database.journal == f"sqlite:///{quoted}/todo.db"


def test_a_session_that_fails_changes_nothing(database: Database) -> None:
    def fail() -> None:
        with database.writing() as session:
            session.add(User(email="nobody-in-the-end"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.reading() as session:
        assert session.exec(select(User).where(User.email == "nobody-in-the-end")).all() == []


def test_tasks_are_there_for_the_next_process(database_url: str) -> None:
    with opened(database_url) as first:
        user = UserService(first).named("next-process")
        task = TaskService(first).add(user, "a")
    with opened(database_url) as second:
        assert TaskService(second).list(UserService(second).named("next-process")) == (task,)


def test_a_file_that_cannot_be_used_is_an_error_that_leaves_it_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "not.db").write_text("this is no database, " * 50)
    for path in (tmp_path / "not.db", tmp_path, tmp_path / "missing" / "todo.db"):
        with pytest.raises(DatabaseUnavailable) as caught:
            Database(f"sqlite:///{path}").migrate()
        assert isinstance(caught.value.__cause__, Exception)
        assert str(path) in str(caught.value)
    assert (tmp_path / "not.db").read_text() == "this is no database, " * 50


def test_a_server_that_is_not_there_is_an_error_without_its_password() -> None:
    database = Database(f"postgresql://ada:hush@127.0.0.1:{free_port()}/todo")
    with pytest.raises(DatabaseUnavailable) as caught:
        database.migrate()
    assert "hush" not in str(caught.value)


def test_a_writer_that_waits_too_long_is_told(tmp_path: Path) -> None:
    with opened(sqlite_url(tmp_path)) as database, database.writing() as writer:
        writer.connection()
        other = Database(sqlite_url(tmp_path), patience=0.01)
        with pytest.raises(DatabaseUnavailable), other.writing() as late:
            late.connection()
        with other.reading() as reader:
            assert reader.exec(select(User)).all() == []
        other.close()


def test_the_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "todo.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id = 7")
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    database = Database(sqlite_url(tmp_path))
    with pytest.raises(DatabaseUnavailable):
        database.migrate()
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    connection.close()
    database.close()


def test_writers_of_one_process_stand_in_a_queue_and_not_for_ever(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path), patience=0.05)
    database.migrate()
    with database.writing() as first:
        with pytest.raises(DatabaseUnavailable), database.writing():
            pass
        first.add(User(email="first"))
    with database.writing() as second:
        assert second.exec(select(User.email)).all() == ["first"]
    database.close()
