"""A schema in use: its connections, its statements, and whether it keeps an audit log."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from psycopg.rows import TupleRow

from assistant_kit.postgres_session import Session
from assistant_kit.stores.postgres.lanes import Call, Lanes
from assistant_kit.stores.postgres.migrations import prepare
from assistant_kit.stores.postgres.server import Server
from assistant_kit.stores.postgres.statements import Statements
from assistant_kit.stores.postgres.transaction import Lending, Loan

EVERYTHING: Final = 2**31 - 1
"""The largest integer of Postgres: beyond all records."""


def integer(number: int) -> int:
    """Return a number that fits an integer of Postgres; one that does not is beyond all records."""
    return max(-1, min(number, EVERYTHING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Which schema. `migrate`: it may be made and upgraded; `audit`: an audit log is kept from now on."""

    name: str
    migrate: bool
    audit: bool


class Audit:
    """Whether writes must bring what is chained; learned from the schema, in whichever thread."""

    __slots__ = ("is_kept",)

    def __init__(self, *, is_kept: bool) -> None:
        self.is_kept: bool = is_kept


class Database:
    """A schema on a server, connected to when it is first used."""

    def __init__(self, server: Server, schema: Schema, *, connections: int) -> None:
        self.statements: Statements = Statements(schema.name)
        self.audit: Audit = Audit(is_kept=schema.audit)
        # Nothing that a thread keeps may lead back here: a store that was dropped ends its threads.
        self.lanes: Lanes = Lanes(
            server,
            connections=connections,
            lock_chains=self.statements["lock_chains"],
            prepare=partial(_prepare, server, schema, self.audit),
        )
        self._lending = Lending(server, most=connections // 2)
        self._opened_in: int | None = None

    async def open(self) -> None:
        """Connect, and see that all is there. Raises StoreError, StoreVolatile."""
        await self.lanes.write(Call(lambda link: link.execute(b"SELECT 1")))

    @asynccontextmanager
    async def loan(self) -> AsyncGenerator[Loan]:
        """Lend a connection for one transaction. Raises StoreError, StoreVolatile."""
        if self._opened_in != os.getpid():  # what was closed or forked says so
            await self.open()
            self._opened_in = os.getpid()
        async with self._lending.loan() as loan:
            yield loan

    async def aclose(self) -> None:
        """Do what still waits, and close all connections. A second call does nothing."""
        self._opened_in = None
        self._lending.close()
        await self.lanes.aclose()

    async def read(self, function: str, *values: Any) -> list[TupleRow]:
        """Call a function that only reads, and return its rows. Raises StoreError, StoreVolatile."""
        return await self.lanes.read(self.statements.call(function, *values))


def _prepare(server: Server, schema: Schema, audit: Audit, connection: Session) -> None:
    audit.is_kept = prepare(connection, server, schema.name, migrate=schema.migrate, audit=schema.audit)
