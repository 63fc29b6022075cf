"""A search index in a Postgres database, shared by the processes of any number of machines."""

from collections.abc import Sequence
from typing import Final, Self

from assistant_kit.errors import ConfigurationError, UnknownStore
from assistant_kit.indexes._rules import Space, check_deletable, check_limit, check_owner, known, latest
from assistant_kit.indexes.postgres import migrations, table
from assistant_kit.indexes.postgres.lanes import Lanes
from assistant_kit.indexes.postgres.place import Manner, Place
from assistant_kit.indexes.postgres.server import Server
from assistant_kit.indexes.postgres.table import Fits, among, fitting
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where

_SCHEMES: Final = ("postgresql:", "postgres:")
_LEAST: Final = 2  # connections: one to write, one to read

_ITERATIVE: Final = "-c hnsw.iterative_scan=strict_order -c hnsw.ef_search=100"


class PostgresIndex:
    """Passages in a schema of their own in the database that `url` names; both are used from the first use on.

    `connections` is how many are kept open at most, half of them for writes. `timeout` is in seconds: for a search,
    and to wait for a lock. `language` is the text search configuration of Postgres; it is settled by who opens the
    schema first. With `migrate=False` the schema must be there and up to date: `sql` returns what makes it.

    A search for vectors looks at all of an owner's; with `approximate` it may use a graph (HNSW), and may then miss a
    near one, but never finds fewer than there are. Event loops and threads may share an index. Raises
    ConfigurationError for an address that cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "assistant_kit_index",
        connections: int = 4,
        timeout: float = 30.0,
        language: str = "simple",
        approximate: bool = False,
        migrate: bool = True,
    ) -> None:
        if connections < _LEAST:
            raise ConfigurationError(f"an index needs {_LEAST} connections or more, not {connections!r}")
        migrations.quoted(schema)
        server = Server.at(url, timeout, settings=_ITERATIVE if approximate else "")
        manner = Manner(schema=schema, language=language, migrate=migrate, approximate=approximate)
        self._place = Place(server, manner)
        self._lanes = Lanes(server, connections=connections, prepare=self._place.prepare)

    def __repr__(self) -> str:
        return f"PostgresIndex({self._place.server.place!r}, schema={self._place.manner.schema!r})"

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return an index for `postgresql://user:password@host:port/database`. Raises ConfigurationError."""
        if not address.startswith(_SCHEMES):
            raise UnknownStore(address, _SCHEMES)
        return cls(address)

    @staticmethod
    def sql(schema: str = "assistant_kit_index", *, after: int = 0) -> str:
        """Return the SQL that makes the schema, or brings it up to date from version `after`, for review.

        It is one transaction, and empty when there is nothing to do. Which version there is:
        `SELECT version FROM assistant_kit_index.settings`. Raises ConfigurationError for a name that no schema can
        have.
        """
        return migrations.sql(schema, after=after)

    def for_owner(self, owner: str) -> OwnedIndex:
        """Return the handle through which alone the passages of `owner` are reached. Raises InputError."""
        check_owner(owner)
        return _OwnedPostgres(self._place, self._lanes, owner)

    async def open(self, *, embedder: str = "", dimensions: int | None = None) -> None:
        """Connect, make or upgrade the schema, and compare its vectors with those of `embedder`.

        Raises IndexMismatch, ConfigurationError where pgvector is missing, StoreError, StoreVolatile.
        """
        given = Space(embedder=embedder, dimensions=dimensions)
        await self._lanes.write("", lambda session: self._place.open(session, given))

    async def owners(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return owners of passages behind `after`, in the order of their UTF-8 bytes."""
        check_limit(limit)
        return await self._lanes.read(lambda session: table.owners(session, self._place, after, limit))

    async def aclose(self) -> None:
        """Do what still waits, close the connections, end the threads. A second call does nothing."""
        await self._lanes.aclose()


class _OwnedPostgres:
    """The passages of one owner."""

    def __init__(self, place: Place, lanes: Lanes, owner: str) -> None:
        self._place = place
        self._lanes = lanes
        self._owner = owner

    async def put(self, passages: Sequence[Passage]) -> None:
        chosen = latest(passages)
        await self._lanes.write(self._owner, lambda session: table.put(session, self._place, self._owner, chosen))

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        names = known(ids)
        return await self._lanes.read(lambda session: table.get(session, self._place, self._owner, names))

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        fits = fitting(where)
        if fits is None:
            return []
        return await self._lanes.read(
            lambda session: table.keywords(session, self._place, self._owner, query, limit, fits)
        )

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        fits = fitting(where)
        return await self._lanes.read(
            lambda session: table.nearest(session, self._place, self._owner, vector, limit, fits)
        )

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        check_limit(limit)
        fits = fitting(where)
        if fits is None:
            return []
        return await self._lanes.read(lambda session: table.page(session, self._place, self._owner, limit, after, fits))

    async def delete(self, ids: Sequence[str]) -> int:
        return await self._delete(among(known(ids)))

    async def delete_where(self, where: Where) -> int:
        check_deletable(where)
        fits = fitting(where)
        return 0 if fits is None else await self._delete(fits)

    async def erase(self) -> int:
        return await self._delete(Fits())

    async def _delete(self, fits: Fits) -> int:
        return await self._lanes.write(
            self._owner, lambda session: table.delete(session, self._place, self._owner, fits)
        )
