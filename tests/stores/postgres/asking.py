"""Short ways to ask a server, and to be in its way."""

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg

from assistant_kit.stores.postgres.migrations import written


def at(url: str, *, user: str = "postgres", password: str = "", database: str = "postgres") -> str:
    """The URL with another role or database."""
    parts = urlsplit(url)
    login = f"{user}:{password}" if password else user
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}", path=f"/{database}"))


@contextmanager
def locked(admin: psycopg.Connection, schema: str, conversation: str) -> Generator[None]:
    """A conversation whose row another process holds."""
    statement = "SELECT FROM assistant_kit.conversations WHERE conversation = %s FOR UPDATE"
    with admin.transaction():
        admin.execute(written(statement, schema).encode(), [conversation])
        yield


def everything_said(error: BaseException) -> str:
    """What a log shows of an error and of those behind it."""
    said = f"{error} {error!r} {vars(error)}"
    return said + (everything_said(error.__cause__) if error.__cause__ else "")


def until_some(admin: psycopg.Connection, question: str) -> None:
    """Ask until there is an answer."""
    while not admin.execute(question.encode()).fetchall():
        pass
