"""What the tool servers keep in the database at DATABASE_URL."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from assistant_kit import PostgresIndex, SQLiteIndex
from assistant_kit.protocols.search_index import SearchIndex
from examples.flask_demo.tool_servers.settings import SettingsError


def make_engine(address: str, part: str = "calendar") -> Engine:
    """Return the engine for the table of one server; with SQLite each has a file of its own. Raises SettingsError."""
    url = _url(address)
    if _is_sqlite(url):
        return create_engine(
            url.set(database=f"{url.database}.{part}"), connect_args={"timeout": 10.0}, poolclass=NullPool
        )
    return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)


def make_index(address: str) -> SearchIndex:
    """Return the index of the handbook. Raises SettingsError."""
    url = _url(address)
    if _is_sqlite(url):
        return SQLiteIndex(f"{url.database}.handbook")
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return PostgresIndex(plain, schema="web_handbook")


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise SettingsError("DATABASE_URL is no address: set it to sqlite:///file or postgresql://…") from error
    if url.get_backend_name() not in ("sqlite", "postgresql") or not url.database:
        raise SettingsError(f"DATABASE_URL begins with {url.drivername}: set it to sqlite:///file or postgresql://…")
    return url


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"
