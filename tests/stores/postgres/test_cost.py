"""What an operation touches does not grow with the conversation: pages read by the server, not time."""

import psycopg
import pytest

from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.postgres.migrations import written
from assistant_kit.stores.postgres.statements import Statements

pytestmark = pytest.mark.anyio

CALLS = {
    "tail": "SELECT count(*) FROM assistant_kit.read('u', '{name}', 0, 2147483647, 200, NULL)",
    "last": "SELECT count(*) FROM assistant_kit.read('u', '{name}', 0, 2147483647, NULL, 10)",
    "page": "SELECT count(*) FROM assistant_kit.read('u', '{name}', 20, 31, NULL, NULL)",
    "locate": "SELECT assistant_kit.locate('u', '{name}', 'r7')",
    "append": """
        SELECT assistant_kit.append('u', '{name}', {fence}, {seq}, ARRAY['x'], ARRAY['k'], ARRAY['b'::bytea], ARRAY[1],
            'open', 1, false, NULL, NULL, NULL)
    """,
    "claim": """
        SELECT assistant_kit.claim('u', '{name}', 'w', 600, 'r7', 'k', 'b'::bytea, 1, NULL, NULL, NULL)
    """,
}


def pages(url: str, schema: str, lease: Lease, seq: int) -> dict[str, int]:
    """The pages that each operation touches on a connection that has made its plans, and leave all as it was."""
    found: dict[str, int] = {}
    with psycopg.connect(url, options="-c plan_cache_mode=force_generic_plan") as connection:
        for name, call in CALLS.items():
            text = written(call.format(name=lease.conversation, fence=lease.fence, seq=seq), schema)
            for _ in range(3):
                row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}".encode()).fetchone()
                assert row
                plan = row[0][0]["Plan"]
                found[name] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
                connection.rollback()
    return found


async def test_one_conversation_is_looked_up_by_its_key(store: PostgresStore, postgres_url: str, schema: str) -> None:
    for n in range(100):
        await store.for_user("u").claim(f"c{n}", owner="w", ttl=600)
    question = Statements(schema)["info"].decode().replace("%s", "'{}'").format("u", "c7")

    # A table of few pages would be read whole, whatever index there is.
    with psycopg.connect(postgres_url, options="-c enable_seqscan=off") as connection:
        connection.execute(written("ANALYZE assistant_kit.conversations", schema).encode())
        row = connection.execute(f"EXPLAIN (FORMAT JSON) {question}".encode()).fetchone()

    assert row
    plan = row[0][0]["Plan"]
    assert (plan["Node Type"], plan["Index Name"]) == ("Index Scan", "conversations_pkey")
    assert "Filter" not in plan


async def grow(user: UserStore, lease: Lease, seq: int, to: int) -> None:
    while seq < to:
        records = [
            NewRecord(record_id=f"r{n}", kind="k", body=b"x" * 300, tokens=10) for n in range(seq, min(seq + 400, to))
        ]
        await user.append(Append(lease=lease, expected_seq=seq, records=records, state="idle", open_turn=None))
        seq += len(records)


async def test_no_operation_reads_more_of_a_long_conversation_than_of_a_short_one(
    store: PostgresStore, postgres_url: str, schema: str
) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=600)
    await grow(user, lease, 0, 100)
    short = pages(postgres_url, schema, lease, 100)

    await grow(user, lease, 100, 8000)
    long = pages(postgres_url, schema, lease, 8000)
    await user.fork("c", "d", at=7000)
    fork = pages(postgres_url, schema, await user.claim("d", owner="w", ttl=600), 7000)
    await user.rewind(lease, to=6000)
    rewound = pages(postgres_url, schema, lease, 6000)

    for found in (long, fork, rewound):
        assert {name: count for name, count in found.items() if count > short[name] + 20} == {}, (short, found)
