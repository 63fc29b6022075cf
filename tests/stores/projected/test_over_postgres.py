from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import anyio
import psycopg
import pytest

from assistant_kit.errors import ProjectionFailed
from assistant_kit.protocols.projection import Projected, Projection
from assistant_kit.stores.postgres import PostgresStore
from assistant_kit.stores.projected import ProjectedStore
from tests.cancellation.steps import cancelled_at
from tests.stores.projected.rows import journal_of, new, writing

pytestmark = pytest.mark.anyio

Open = Callable[[Projection], ProjectedStore]

TABLES = """
    CREATE TABLE app_user (id uuid PRIMARY KEY);
    CREATE TABLE conversation (
        id integer PRIMARY KEY, user_id uuid NOT NULL REFERENCES app_user, updated_at timestamptz
    );
    CREATE TABLE message (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, conversation_id integer NOT NULL REFERENCES conversation,
        user_id uuid NOT NULL REFERENCES app_user, content text NOT NULL
    );
"""
DROPPED = "DROP TABLE message, conversation, app_user"
ANN = "7d0e7c5e-5f0e-4d0a-8a77-2b6f2f6d1a11"


@pytest.fixture
def application(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Return a connection to a database with tables of an application in the schema `public`."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute("INSERT INTO app_user VALUES (%s)", [ANN])
        connection.execute("INSERT INTO conversation (id, user_id) VALUES (7, %s)", [ANN])
        yield connection
        connection.execute(DROPPED)


@pytest.fixture
async def opened(postgres_url: str, application: psycopg.Connection) -> AsyncIterator[Open]:
    """Return what makes a store of a projection, in a schema of its own beside the application's tables."""
    made: list[ProjectedStore] = []

    def make(projection: Projection) -> ProjectedStore:
        made.append(ProjectedStore(PostgresStore(postgres_url, schema="beside", connections=2), projection))
        return made[-1]

    yield make
    with anyio.fail_after(30):
        for store in made:
            await store.aclose()
    application.execute("DROP SCHEMA beside CASCADE")


def into_messages(connection: psycopg.Connection, written: Projected) -> None:
    for record in written.records:
        connection.execute(
            "INSERT INTO message (conversation_id, user_id, content) "
            "SELECT id, user_id, %s FROM conversation WHERE id = %s AND user_id = %s",
            [record.record_id, int(written.conversation), written.user],
        )
    connection.execute("UPDATE conversation SET updated_at = now() WHERE id = %s", [int(written.conversation)])


def messages(application: psycopg.Connection) -> list[tuple[int, str]]:
    return application.execute("SELECT conversation_id, content FROM message ORDER BY id").fetchall()


async def test_rows_are_made_of_the_applications_own_tables_in_the_same_database(
    application: psycopg.Connection, opened: Open
) -> None:
    user = opened(into_messages).for_user(ANN)

    lease = await user.claim("7", owner="w", ttl=60, begin=new("hello"))
    await user.append(writing(lease, 1, "answer", state="idle", open_turn=None, release=True))
    await user.claim("8", owner="w", ttl=60, begin=new("no such conversation"))

    assert messages(application) == [(7, "hello"), (7, "answer")]
    (updated,) = application.execute("SELECT updated_at IS NOT NULL FROM conversation").fetchall()
    assert updated == (True,)


async def test_a_row_that_the_database_refuses_writes_nothing(application: psycopg.Connection, opened: Open) -> None:
    def orphan(connection: psycopg.Connection, written: Projected) -> None:
        into_messages(connection, written)
        if written.seq > 1:
            connection.execute("INSERT INTO message (conversation_id, user_id, content) VALUES (9, %s, 'x')", [ANN])

    user = opened(orphan).for_user(ANN)
    lease = await user.claim("7", owner="w", ttl=60, begin=new("hello"))

    with pytest.raises(ProjectionFailed) as caught:
        await user.append(writing(lease, 1, "answer"))

    assert isinstance(caught.value.__cause__, psycopg.errors.ForeignKeyViolation)
    assert messages(application) == [(7, "hello")]
    assert [record.record_id for record in await user.read("7")] == ["hello"]


async def test_rows_and_records_agree_wherever_a_write_is_cancelled(
    application: psycopg.Connection, opened: Open
) -> None:
    store = opened(into_messages)
    await store.open()
    user = store.for_user(ANN)
    made, step = True, 0
    while made:
        step += 1
        lease = await user.claim("7", owner="w", ttl=60)
        write = writing(lease, lease.seq, f"r{step}")
        with anyio.fail_after(30):
            made = (await cancelled_at(step, partial(user.append, write))).made
        journal = await journal_of(user, ANN, "7")
        assert messages(application) == [(7, record_id) for _, _, _, record_id in journal]

    assert step > 3
