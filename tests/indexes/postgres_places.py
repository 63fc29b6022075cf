"""Schemas, databases and roles of a test's own, gone after it."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import anyio
import psycopg

from assistant_kit.indexes.postgres import PostgresIndex


def at(url: str, *, user: str = "postgres", database: str = "postgres", options: str = "") -> str:
    """The URL with another role or database, or with settings of the session."""
    parts = urlsplit(url)
    query = f"options={quote(options)}" if options else ""
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}", path=f"/{database}", query=query))


@contextmanager
def asking(url: str) -> Generator[psycopg.Connection]:
    """A connection without transactions."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def run(url: str, *statements: str) -> None:
    """Run statements as whom the URL says."""
    with asking(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def schema(url: str) -> Generator[str]:
    """A name for a schema; what is made under it is dropped."""
    name = f"index_{uuid4().hex[:12]}"
    try:
        yield name
    finally:
        run(url, f"DROP SCHEMA IF EXISTS {name} CASCADE")


@contextmanager
def database(url: str, settings: str = "") -> Generator[str]:
    """The URL of a new database."""
    name = f"index_{uuid4().hex[:12]}"
    run(url, f"CREATE DATABASE {name} {settings}")
    try:
        yield at(url, database=name)
    finally:
        run(url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def role(url: str) -> Generator[str]:
    """A role that may log in, and nothing else."""
    name = f"role_{uuid4().hex[:12]}"
    run(url, f"CREATE ROLE {name} LOGIN")
    try:
        yield name
    finally:
        run(url, f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


@asynccontextmanager
async def index_at(url: str, **settings: Any) -> AsyncGenerator[PostgresIndex]:
    """An index, closed after the block."""
    index = PostgresIndex(url, connections=2, **settings)
    try:
        yield index
    finally:
        with anyio.fail_after(30, shield=True):
            await index.aclose()
