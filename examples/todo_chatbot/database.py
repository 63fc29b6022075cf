"""The database of the app: SQLite in a file, or Postgres. Its tables are made by the migrations."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlmodel import Session

from examples.todo_chatbot.services.errors import DatabaseUnavailable, NotFound

_JOURNAL = 0x616B6974  # how the assistant's store marks the file that it shares with the app
_PAUSE = 0.01  # seconds between two attempts
_FOREIGN_KEY_VIOLATION = "23503"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
_MIGRATION_LOCK = 724513  # any number that nothing else locks
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Opens sessions. A session is one transaction: committed when it is left, undone when something is raised."""

    def __init__(self, url: str, *, patience: float = 10.0) -> None:
        """Take `sqlite:///path/todo.db` or `postgresql://…`; nothing is opened yet. Raises DatabaseUnavailable.

        `patience` is how many seconds a writer waits for another one, where there may be one at a time.
        """
        self.url: URL = _url(url)
        self.engine: Engine = _engine(self.url, patience)
        self._patience = patience
        self._queue = Lock()
        self._writing = self.engine.execution_options(todo_begin="BEGIN IMMEDIATE")

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def place(self) -> str:
        """Where it is, for people: the file, or the address without a password."""
        return self.url.database or "" if self.is_sqlite else self.url.render_as_string()

    @property
    def journal(self) -> str:
        """The address of the assistant's store: the same database."""
        if self.is_sqlite:
            return file_url(Path(self.url.database or ""))
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    @contextmanager
    def reading(self) -> Generator[Session]:
        """Open a session that reads. Raises DatabaseUnavailable."""
        with self._mapped(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Generator[Session]:
        """Open a session that writes: on SQLite it is the only one that does. Raises DatabaseUnavailable."""
        with self._turn(), self._mapped(), Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def lock(self, session: Session, name: str) -> None:
        """Let one transaction at a time go on that has this name; SQLite has one writer at a time anyway."""
        if not self.is_sqlite:
            session.connection().exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))

    def migrate(self) -> None:
        """Bring the tables to the newest form; workers that start together do it once. Raises DatabaseUnavailable."""
        with self._migrating() as config:
            command.upgrade(config, "head")

    def downgrade(self, revision: str = "base") -> None:
        """Bring the tables back to an older revision, or drop them. Raises DatabaseUnavailable."""
        with self._migrating() as config:
            command.downgrade(config, revision)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextmanager
    def _migrating(self) -> Generator[Config]:
        """Begin a transaction in which no other worker migrates."""
        with self._mapped(), self._writing.begin() as connection:
            if self.is_sqlite:
                _check_owner(connection)
            else:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            yield config

    @contextmanager
    def _turn(self) -> Generator[None]:
        """Let the writers of this process stand in a queue: SQLite lets them look again and again, and some starve."""
        if not self.is_sqlite:
            yield
            return
        if not self._queue.acquire(timeout=self._patience):
            raise DatabaseUnavailable(f"the database {self.place} cannot be used: others have been writing too long")
        try:
            yield
        finally:
            self._queue.release()

    @contextmanager
    def _mapped(self) -> Generator[None]:
        try:
            yield
        except IntegrityError as error:
            if _is_of_a_foreign_key(error):
                raise NotFound("what this belongs to is not there any more") from error
            raise  # there is one already: the service knows what that means
        except DBAPIError as error:
            raise DatabaseUnavailable(f"the database {self.place} cannot be used: {error.orig}") from error


def file_url(path: Path) -> str:
    """Return the address of a file."""
    return f"sqlite:///{quote(str(path))}"


def _is_of_a_foreign_key(error: IntegrityError) -> bool:
    """Tell whether a row was to point to one that has been deleted meanwhile."""
    sqlite, postgres = (getattr(error.orig, name, None) for name in ("sqlite_errorcode", "sqlstate"))
    return sqlite == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY or postgres == _FOREIGN_KEY_VIOLATION


def _check_owner(connection: Connection) -> None:
    """Leave the file of another program as it is: those of SQLite may be marked with a number."""
    owner = connection.exec_driver_sql("PRAGMA application_id").scalar()
    if owner not in (0, _JOURNAL):
        raise DatabaseUnavailable(f"{connection.engine.url.database} is the database of another program: give another")


def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise DatabaseUnavailable("DATABASE_URL is no address: give sqlite:///file or postgresql://…") from error
    if url.get_backend_name() not in ("sqlite", "postgresql") or not url.database:
        raise DatabaseUnavailable(f"DATABASE_URL begins with {url.drivername}: give sqlite:///file or postgresql://…")
    return url.set(drivername="sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg")


def _engine(url: URL, patience: float) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=10)
    engine = create_engine(url, connect_args={"timeout": patience})
    event.listen(engine, "connect", partial(_prepare, patience))
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(patience: float, connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # what begins a transaction is said below
    _let_readers_in(connection, give_up=monotonic() + patience)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten


def _let_readers_in(connection: sqlite3.Connection, *, give_up: float) -> None:
    """Let readers and a writer work side by side. Where another process does the same, SQLite does not wait."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > give_up:
                raise
            sleep(_PAUSE)
        else:
            return


def _begin(connection: Connection) -> None:
    """Begin as a writer where one means to write: a reader that turns into one may be refused."""
    connection.exec_driver_sql(connection.get_execution_options().get("todo_begin", "BEGIN"))
