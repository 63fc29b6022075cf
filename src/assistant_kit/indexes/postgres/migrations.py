"""How the schema comes to be and is brought up to date: numbered files of SQL, one a version, only ever added to."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import psycopg

from assistant_kit.errors import ConfigurationError, StoreCorrupt, StoreTooNew, StoreUnavailable
from assistant_kit.indexes.postgres.server import Server, one_row
from assistant_kit.postgres_session import Session

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OURS: Final = re.compile(r"\bassistant_kit_index\.")
_PGVECTOR: Final = re.compile(r"\bpgvector\.")
"""The schemas as statements name them: ours, and that of the extension."""

_STANDING: Final = """
    SELECT to_regclass('assistant_kit_index.settings') IS NOT NULL, EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE concat('"', n.nspname, '".') = 'assistant_kit_index.'
    )
"""
_VERSION: Final = "SELECT version FROM assistant_kit_index.settings"
_NOTE_VERSION: Final = "UPDATE assistant_kit_index.settings SET version"
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('assistant_kit_index', 0))"
"""Lets one transaction at a time make things, also in two schemas: they make one extension."""

_MAKE_EXTENSION: Final = "CREATE EXTENSION IF NOT EXISTS vector"
_EXTENSION: Final = """
    SELECT max(quote_ident(n.nspname)), max(e.extversion), max(t.oid::bigint)
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector'
    WHERE e.extname = 'vector'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """The extension pgvector of a database: the quoted name of its schema, its version, the number of its type."""

    schema: str
    version: tuple[int, ...]
    type: int


@cache
def steps() -> tuple[str, ...]:
    """Return the SQL of each version, the first one first."""
    folder = files("assistant_kit.indexes.postgres") / "migrations"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(file.read_text(encoding="utf-8") for file in found)


def quoted(schema: str) -> str:
    """Return the name of a schema as SQL has it. Raises ConfigurationError."""
    if not _NAME.fullmatch(schema) or schema.startswith("pg_"):
        raise ConfigurationError(f"{schema!r} is no name for a schema: use a-z, 0-9 and _, and not pg_ in front")
    return f'"{schema}"'


def written(statement: str, schema: str, extension: str = "public") -> str:
    """Return SQL that names our schema, and the quoted one of the extension. Raises ConfigurationError."""
    return _PGVECTOR.sub(f"{extension}.", _OURS.sub(f"{quoted(schema)}.", statement))


def sql(schema: str, *, after: int = 0) -> str:
    """Return the SQL that brings a schema from version `after` to the newest, in one transaction; "" if it is there."""
    name = quoted(schema)
    pending = steps()[after:]
    if not pending:
        return ""
    begin = [f"-- assistant_kit: schema {name} from version {after} to {len(steps())}", "BEGIN;", f"{LOCK};"]
    begin += [f"{_MAKE_EXTENSION} WITH SCHEMA public;", f"CREATE SCHEMA IF NOT EXISTS {name};"] if after == 0 else []
    end = [f"{_NOTE_VERSION} = {len(steps())};", "COMMIT;", ""]
    return written("\n".join([*begin, *pending, *end]), schema)


def prepare(session: Session, server: Server, schema: str, *, migrate: bool) -> Extension:
    """See that the schema is there and of our version, and return what pgvector is.

    Raises ConfigurationError, StoreUnavailable, StoreTooNew, StoreCorrupt, psycopg.Error.
    """
    place = f"{server.place}, schema {schema}"
    version = _version(session, place, schema)
    if version < len(steps()):
        if not migrate:
            raise StoreUnavailable(f"{place} has version {version} of {len(steps())}: run {_command(schema, version)}")
        try:
            _migrate(session, place, schema)
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreUnavailable(
                f"{place}: {error.diag.message_primary}: let a role that may do so run {_command(schema, version)}, "
                f"and grant {session.info.user} what docs/search-servers.md lists"
            ) from error
    return _extension(session, server.place)


def _command(schema: str, version: int) -> str:
    return f"the SQL of PostgresIndex.sql({schema!r}, after={version})"


def _version(session: Session, place: str, schema: str) -> int:
    """Return the version of the schema, 0 when there is nothing. Raises StoreCorrupt, StoreTooNew."""
    ours, anything = one_row(session, written(_STANDING, schema))
    if not ours:
        if anything:
            raise StoreCorrupt(f"{place} is another program's: give another one. It was left as it is")
        return 0
    (version,) = one_row(session, written(_VERSION, schema))
    if version > len(steps()):
        raise StoreTooNew(place, found=version, supported=len(steps()))
    return version


def _migrate(session: Session, place: str, schema: str) -> None:
    """Bring the schema to the newest version, in one transaction. Another process may have done so meanwhile."""
    name = quoted(schema)
    with session.transaction():
        session.execute(b"SET LOCAL statement_timeout = 0")
        session.execute(LOCK.encode())
        version = _version(session, place, schema)
        extension = _extension(session, place, make=True)
        (is_there,) = one_row(session, f"SELECT to_regnamespace('{name}') IS NOT NULL")
        if not is_there:
            session.execute(f"CREATE SCHEMA {name}".encode())
        for step in (*steps()[version:], f"{_NOTE_VERSION} = {len(steps())}"):
            session.execute(written(step, schema, extension.schema).encode())


def _extension(session: Session, place: str, *, make: bool = False) -> Extension:
    """Return what pgvector is in this database, made where this role may. Raises ConfigurationError."""
    schema, version, number = one_row(session, _EXTENSION)
    if schema is None and make:
        try:
            session.execute(_MAKE_EXTENSION.encode())
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported) as error:
            raise _missing(place, str(error.diag.message_primary)) from error
        schema, version, number = one_row(session, _EXTENSION)
    if schema is None:
        raise _missing(place, "it was dropped")
    return Extension(schema=schema, version=tuple(map(int, re.findall(r"\d+", version))), type=number)


def _missing(place: str, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{place} has no extension pgvector: {problem}: install pgvector on the server, and let a superuser run "
        "CREATE EXTENSION vector in this database"
    )
