"""An index in a Postgres database with pgvector: for services of many processes. Needs the extra `pgvector`."""

from assistant_kit.errors import MissingDependency

try:
    import psycopg as psycopg  # all modules of this package need it
except ImportError as _missing:
    raise MissingDependency("psycopg", "pgvector") from _missing

from assistant_kit.indexes.postgres.index import PostgresIndex

__all__ = ["PostgresIndex"]
