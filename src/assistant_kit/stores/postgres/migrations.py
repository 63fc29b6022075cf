"""How the schema comes to be and is brought up to date: numbered files of SQL, one a version, only ever added to."""

import re
from functools import cache
from importlib.resources import files
from typing import Final

import psycopg

from assistant_kit.errors import ConfigurationError, StoreCorrupt, StoreTooNew, StoreUnavailable
from assistant_kit.postgres_session import Session
from assistant_kit.stores.postgres.server import Server, limit, one_row

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_WRITTEN: Final = re.compile(r"\bassistant_kit\.")
"""The schema as the files name it."""

_STANDING: Final = """
    SELECT to_regclass('assistant_kit.store') IS NOT NULL, EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE concat('"', n.nspname, '".') = 'assistant_kit.'
    )
"""
_NOTE_VERSION: Final = "UPDATE assistant_kit.store SET version"


@cache
def steps() -> tuple[str, ...]:
    """Return the SQL of each version, the first one first."""
    folder = files("assistant_kit.stores.postgres") / "migrations"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(file.read_text(encoding="utf-8") for file in found)


def quoted(schema: str) -> str:
    """Return the name of a schema as SQL has it. Raises ConfigurationError."""
    if not _NAME.fullmatch(schema) or schema.startswith("pg_"):
        raise ConfigurationError(f"{schema!r} is no name for a schema: use a-z, 0-9 and _, and not pg_ in front")
    return f'"{schema}"'


def written(statement: str, schema: str) -> str:
    """Return SQL that names the schema `assistant_kit` with the name of another. Raises ConfigurationError."""
    return _WRITTEN.sub(f"{quoted(schema)}.", statement)


def sql(schema: str, *, after: int = 0) -> str:
    """Return the SQL that brings a schema from version `after` to the newest, in one transaction; "" if it is there."""
    name = quoted(schema)
    pending = steps()[after:]
    if not pending:
        return ""
    begin = [f"-- assistant_kit: schema {name} from version {after} to {len(steps())}", "BEGIN;", f"{_lock(schema)};"]
    if after == 0:
        begin.append(f"CREATE SCHEMA IF NOT EXISTS {name};")
    end = [f"{_NOTE_VERSION} = {len(steps())};", "COMMIT;", ""]
    return written("\n".join([*begin, *pending, *end]), schema)


def prepare(connection: Session, server: Server, schema: str, *, migrate: bool, audit: bool) -> bool:
    """See that the schema is there and of our version, and return whether an audit log is kept; `audit` begins one.

    Raises StoreUnavailable, StoreTooNew, StoreCorrupt, psycopg.Error.
    """
    place = f"{server.place}, schema {schema}"
    version = _version(connection, place, schema)
    if version < len(steps()):
        if not migrate:
            raise StoreUnavailable(f"{place} has version {version} of {len(steps())}: run {_command(schema, version)}")
        try:
            _migrate(connection, server, schema)
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreUnavailable(
                f"{place}: {error.diag.message_primary}: let a role that may do so run {_command(schema, version)}, "
                f"and grant {connection.info.user} what docs/postgres.md lists"
            ) from error
    if audit:
        connection.execute(written("UPDATE assistant_kit.store SET audit = true WHERE NOT audit", schema).encode())
    return bool(one_row(connection, written("SELECT audit FROM assistant_kit.store", schema))[0])


def _command(schema: str, version: int) -> str:
    return f"the SQL of PostgresStore.sql({schema!r}, after={version})"


def _version(connection: Session, place: str, schema: str) -> int:
    """Return the version of the schema, 0 when there is nothing. Raises StoreCorrupt, StoreTooNew."""
    ours, anything = one_row(connection, written(_STANDING, schema))
    if not ours:
        if anything:
            raise StoreCorrupt(f"{place} is another program's: give another one. It was left as it is")
        return 0
    (version,) = one_row(connection, written("SELECT version FROM assistant_kit.store", schema))
    if version > len(steps()):
        raise StoreTooNew(place, found=version, supported=len(steps()))
    return version


def _migrate(connection: Session, server: Server, schema: str) -> None:
    """Bring the schema to the newest version, in one transaction. Another process may have done so meanwhile."""
    name, place, patience = quoted(schema), f"{server.place}, schema {schema}", server.timeouts.maintenance
    connection.patience = server.timeouts.patience(patience)
    with connection.transaction():
        bounded = ("statement_timeout", "lock_timeout", "transaction_timeout")
        connection.execute(limit(*bounded, seconds=patience))
        connection.execute(_lock(schema).encode())
        version = _version(connection, place, schema)
        (is_there,) = one_row(connection, f"SELECT to_regnamespace('{name}') IS NOT NULL")
        if not is_there:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        for step in (*steps()[version:], f"{_NOTE_VERSION} = {len(steps())}"):
            connection.execute(written(step, schema).encode())


def _lock(schema: str) -> str:
    """Return the statement that lets one migration run at a time."""
    return f"SELECT pg_advisory_xact_lock(hashtextextended('assistant_kit {schema}', 0))"
