"""Journals in Postgres: for services of many processes and machines. Needs the extra `postgres`."""

from assistant_kit.errors import MissingDependency

try:
    import psycopg as psycopg  # all modules of this package need it
except ImportError as _missing:
    raise MissingDependency("psycopg", "postgres") from _missing

from assistant_kit.stores.postgres.server import Timeouts
from assistant_kit.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore", "Timeouts"]
