"""What the tables of this system have in common, and where they are: at DATABASE_URL."""

from typing import ClassVar

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import registry
from sqlalchemy.pool import NullPool
from sqlmodel import Session, SQLModel, select

from examples.flask_demo.environment import SettingsError


class Table(SQLModel, registry=registry()):
    """A table of ours: apart from those that other applications have in the same process."""


class Kept:
    """Rows of one table, `table`. Methods may run in any thread. Raise SQLAlchemyError."""

    table: ClassVar[type[Table]]

    def __init__(self, engine: Engine) -> None:
        """Take the database."""
        self._engine = engine

    def open(self) -> None:
        """Make the table, unless it is there; processes that start together may all do so."""
        try:
            Table.metadata.create_all(self._engine, [self.table.__table__])  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]  (SQLModel makes it)
        except DBAPIError:
            self.ping()  # another one was faster, or it cannot be used

    def ping(self) -> None:
        """See that the table can be read."""
        with Session(self._engine) as session:
            session.exec(select(self.table).limit(1)).first()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def database_at(address: str) -> URL:
    """Return what DATABASE_URL says; nothing is opened yet. Raises SettingsError."""
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise SettingsError("DATABASE_URL is no address: set it to sqlite:///file or postgresql://…") from error
    if url.get_backend_name() not in ("sqlite", "postgresql") or not url.database:
        raise SettingsError(f"DATABASE_URL begins with {url.drivername}: set it to sqlite:///file or postgresql://…")
    return url


def is_sqlite(url: URL) -> bool:
    """Whether a database is files."""
    return url.get_backend_name() == "sqlite"


def plain(url: URL) -> str:
    """Return the address of a Postgres as the library takes it, password and all."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def engine_at(url: URL, part: str) -> Engine:
    """Return the engine for tables; with SQLite each `part` has a file of its own beside the others."""
    if is_sqlite(url):
        # A connection ends with its transaction: a thread that was given up at the end leaves none behind.
        file = url.set(database=f"{url.database}.{part}")
        return create_engine(file, connect_args={"timeout": 10.0}, poolclass=NullPool)
    return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
