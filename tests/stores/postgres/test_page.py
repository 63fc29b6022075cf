"""The code that docs/postgres.md shows."""

import anyio
import anyio.to_thread
import psycopg
import pytest

from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.postgres import PostgresStore, Timeouts

pytestmark = pytest.mark.anyio


async def test_a_store_is_opened_and_closed(postgres_url: str, schema: str) -> None:
    url = postgres_url

    # --8<-- [start:open]
    store = PostgresStore(
        url,  # postgresql://user:password@host:5432/database
        schema=schema,
        connections=8,
        timeouts=Timeouts(lock=2.0, statement=10.0),
    )
    await store.open()  # every first use does so, too
    # --8<-- [end:open]

    assert not await store.for_user("u1").conversations()
    await store.aclose()


async def test_the_sql_can_be_had_for_review(postgres_url: str, schema: str, admin: psycopg.Connection) -> None:
    # --8<-- [start:sql]
    everything = PostgresStore.sql()  # for a new schema
    upgrade = PostgresStore.sql(after=2)  # for one of version 2
    # --8<-- [end:sql]

    assert len(everything) > len(upgrade) > 0
    admin.execute(PostgresStore.sql(schema).encode())
    store = PostgresStore(postgres_url, schema=schema, migrate=False)
    await store.open()
    await store.aclose()


async def test_a_write_of_the_application_and_of_the_journal_are_one(
    store: PostgresStore, schema: str, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE TABLE IF NOT EXISTS bookings (room text, of text)")
    user = store.for_user("u1")
    lease = await user.claim("c1", owner="worker-1", ttl=30.0)

    customer = schema

    # --8<-- [start:transact]
    async def book(connection: psycopg.Connection) -> Append:
        def insert() -> None:  # the connection is synchronous: use it in a thread
            connection.execute("INSERT INTO bookings VALUES (%s, %s)", ["12", customer])

        await anyio.to_thread.run_sync(insert)
        done = NewRecord(record_id="booked-1", kind="note", body=b"{}")
        return Append(lease=lease, expected_seq=lease.seq, records=[done], state="open", open_turn=1)

    await user.transact(lease, book)
    # --8<-- [end:transact]

    assert admin.execute("SELECT room FROM bookings WHERE of = %s", [schema]).fetchall() == [("12",)]
    assert len(await user.read("c1")) == 1
