"""What all connections of an index know of its schema: where it is, and which vectors and words it keeps."""

from dataclasses import dataclass
from typing import Final

import psycopg

from assistant_kit.errors import ConfigurationError
from assistant_kit.indexes._rules import Space, settled
from assistant_kit.indexes.postgres import migrations
from assistant_kit.indexes.postgres.migrations import Extension
from assistant_kit.indexes.postgres.server import MAINTENANCE, Server, one_row
from assistant_kit.indexes.postgres.values import VectorLoader
from assistant_kit.postgres_session import Session

MAX_APPROXIMATE: Final = 2000
"""Numbers of a vector that pgvector's HNSW takes."""

_ITERATIVE: Final = (0, 8)
"""The version of pgvector from which on a search goes on until as many are found as were asked for."""

_SPACE: Final = "SELECT embedder, dimensions FROM assistant_kit_index.settings"
_SETTLE: Final = "UPDATE assistant_kit_index.settings SET embedder = %s, dimensions = %s"
_LANGUAGE: Final = "SELECT language FROM assistant_kit_index.settings WHERE %s::regconfig IS NOT NULL"
_SET_LANGUAGE: Final = "UPDATE assistant_kit_index.settings SET language = %s WHERE language IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How an index was asked to work: its schema, whether it may be made, the language of words, how to search."""

    schema: str
    language: str
    migrate: bool
    approximate: bool


class Place:
    """A schema on a server. Threads share one; what is known of the vectors only ever grows."""

    def __init__(self, server: Server, manner: Manner) -> None:
        self.server: Server = server
        self.manner: Manner = manner
        self.name: str = f"{server.place}, schema {manner.schema}"
        self.kept: Space = Space()
        self.opened: Space = Space()
        self._extension = Extension(schema="public", version=(), type=0)
        self._written: dict[str, bytes] = {}

    @property
    def vector_type(self) -> int:
        """The number of the type `vector` in this database."""
        return self._extension.type

    def written(self, statement: str) -> bytes:
        """Return a statement with the names of the schemas in it."""
        found = self._written.get(statement)
        if found is None:
            found = migrations.written(statement, self.manner.schema, self._extension.schema).encode()
            self._written[statement] = found
        return found

    def prepare(self, session: Session) -> None:
        """See that all is there, for a new connection. Raises ConfigurationError, StoreError, psycopg.Error."""
        extension = migrations.prepare(session, self.server, self.manner.schema, migrate=self.manner.migrate)
        if extension != self._extension:
            self._written.clear()
            self._extension = extension
        if self.manner.approximate and extension.version < _ITERATIVE:
            raise ConfigurationError(
                f"{self.server.place}: approximate=True needs pgvector 0.8, and it has {extension.version}: update it"
            )
        session.adapters.register_loader(extension.type, VectorLoader)
        self._settle_language(session)
        self.look(session)

    def look(self, session: Session) -> None:
        """Learn what the schema keeps."""
        embedder, dimensions = one_row(session, self.written(_SPACE).decode())
        self.kept = Space(embedder=embedder, dimensions=dimensions)

    def open(self, session: Session, given: Space) -> None:
        """Take note of the vectors that will be put, and compare them with those that are there.

        Raises IndexMismatch, ConfigurationError, psycopg.Error.
        """
        _check_approximate(self.manner, given.dimensions)
        self.look(session)
        if self.kept.dimensions is None:
            self.opened = given
        else:
            self.settle(session, settled(self.name, kept=self.kept, given=given))
            self._make_hnsw(session)

    def settle(self, session: Session, space: Space) -> None:
        """Keep what is known of the vectors from now on. Raises IndexMismatch, ConfigurationError, psycopg.Error."""
        _check_approximate(self.manner, space.dimensions)
        if space == self.kept:
            return
        with session.transaction():
            embedder, dimensions = one_row(session, self.written(_SPACE).decode() + " FOR UPDATE")
            known = settled(self.name, kept=Space(embedder=embedder, dimensions=dimensions), given=space)
            session.execute(self.written(_SETTLE), (known.embedder, known.dimensions))
        self.kept = known
        self._make_hnsw(session)

    def _make_hnsw(self, session: Session) -> None:
        if not self.manner.approximate:
            return
        with session.transaction():
            session.execute(f"SET LOCAL statement_timeout = '{MAINTENANCE:.0f}s'".encode())
            session.execute(migrations.LOCK.encode())  # two that make one index at once disturb each other
            session.execute(
                self.written(
                    "CREATE INDEX IF NOT EXISTS vectors_hnsw ON assistant_kit_index.vectors USING hnsw "
                    f"((vector::pgvector.vector({self.kept.dimensions})) pgvector.vector_ip_ops)"
                )
            )

    def _settle_language(self, session: Session) -> None:
        wanted = self.manner.language
        try:
            (language,) = one_row(session, self.written(_LANGUAGE).decode(), wanted)
        except psycopg.errors.UndefinedObject as error:
            raise ConfigurationError(
                f"{self.server.place} has no text search configuration {wanted!r}: see \\dF in psql"
            ) from error
        if language is None:
            session.execute(self.written(_SET_LANGUAGE), (wanted,))
            (language,) = one_row(session, self.written(_LANGUAGE).decode(), wanted)
        if language != wanted:
            raise ConfigurationError(f"{self.name} keeps words of the configuration {language!r}, not {wanted!r}")


def _check_approximate(manner: Manner, dimensions: int | None) -> None:
    if manner.approximate and (dimensions or 0) > MAX_APPROXIMATE:
        raise ConfigurationError(
            f"approximate=True takes vectors of {MAX_APPROXIMATE} numbers at most, not {dimensions}: ask the embedder "
            "for shorter ones, or search exactly"
        )
