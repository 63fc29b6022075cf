"""A store in a Postgres database, shared by the processes of any number of machines."""

from collections.abc import Sequence
from typing import Final, Self

from assistant_kit.errors import ConfigurationError, UnknownStore
from assistant_kit.protocols.store import TurnState, Unfinished, UserStore
from assistant_kit.stores._rules import check_name
from assistant_kit.stores.postgres import migrations
from assistant_kit.stores.postgres.database import Database, Schema, integer
from assistant_kit.stores.postgres.journals import PostgresJournals
from assistant_kit.stores.postgres.server import Server, Timeouts

_SCHEMES: Final = ("postgresql:", "postgres:")
_LEAST: Final = 2  # connections: one to write, one to read


class PostgresStore:
    """Journals in a schema of their own in the database that `url` names; both are used from the first use on.

    `connections` is how many are kept open at most, half of them for writes. Each `transact` takes one more while it
    lasts; half as many as `connections` are kept for those to come. `audit` begins an audit log, which stays on. With
    `migrate=False` the schema must be there and up to date: `sql` returns what makes it. `timeouts` is how long things
    may take.

    Event loops and threads may share a store. Raises ConfigurationError for an address that cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "assistant_kit",
        connections: int = 4,
        audit: bool = False,
        migrate: bool = True,
        timeouts: Timeouts | None = None,
    ) -> None:
        if connections < _LEAST:
            raise ConfigurationError(f"a store needs {_LEAST} connections or more, not {connections!r}")
        self._schema = Schema(name=schema, migrate=migrate, audit=audit)
        self._server = Server.at(url, timeouts or Timeouts())
        self._database = Database(self._server, self._schema, connections=connections)

    def __repr__(self) -> str:
        return f"PostgresStore({self._server.place!r}, schema={self._schema.name!r})"

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return a store for `postgresql://user:password@host:port/database`. Raises ConfigurationError.

        What may stand in it: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
        """
        if not address.startswith(_SCHEMES):
            raise UnknownStore(address, _SCHEMES)
        return cls(address)

    @staticmethod
    def sql(schema: str = "assistant_kit", *, after: int = 0) -> str:
        """Return the SQL that makes the schema, or brings it up to date from version `after`, for review.

        It is one transaction, and empty when there is nothing to do. Which version there is:
        `SELECT version FROM assistant_kit.store`. Raises ConfigurationError for a name that no schema can have.
        """
        return migrations.sql(schema, after=after)

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        check_name("user", user)
        return PostgresJournals(self._database, user)

    async def open(self) -> None:
        """Connect, make or upgrade the schema, and see that writes will last. Raises StoreError, StoreVolatile."""
        await self._database.open()

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return conversations of all users in this state that nobody holds now, the longest unchanged first."""
        found = await self._database.read("unfinished", state, max(0, integer(limit)))
        return tuple(
            Unfinished(user=user, conversation=conversation, state=state, updated_at=updated_at)
            for user, conversation, state, updated_at in found
        )

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users who have a conversation or an audit chain, in the order of their UTF-8 bytes."""
        return tuple(user for (user,) in await self._database.read("users", after, max(0, integer(limit))))

    async def aclose(self) -> None:
        """Do what still waits, close the connections, end the threads. A second call does nothing."""
        await self._database.aclose()
