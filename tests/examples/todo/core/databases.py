"""Databases of their own for tests of the todo app."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from argon2 import PasswordHasher
from psycopg import sql

from examples.todo_chatbot.database import Database, file_url

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes at once: its strength is not what these tests are about."""


@contextmanager
def postgres_database(server: str) -> Generator[str]:
    """Make an empty database on a server, and drop it after the block."""
    name = f"todo_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def sqlite_url(folder: Path) -> str:
    return file_url(folder / "todo.db")


@contextmanager
def opened(url: str) -> Generator[Database]:
    """A database with the tables of the app."""
    database = Database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()
