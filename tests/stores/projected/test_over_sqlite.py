import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from assistant_kit.errors import ProjectionFailed
from assistant_kit.protocols.projection import Projected, Projection
from assistant_kit.stores.projected import ProjectedStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.cancellation.steps import How, cancelled_at
from tests.stores.projected.rows import into_sqlite, journal_of, new, rows_in_sqlite, writing

pytestmark = pytest.mark.anyio

Open = Callable[[Projection], ProjectedStore]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Return what makes a store of a projection."""
    made: list[ProjectedStore] = []

    def make(projection: Projection) -> ProjectedStore:
        made.append(ProjectedStore(SQLiteStore(tmp_path / "chat.db"), projection))
        return made[-1]

    yield make
    with anyio.fail_after(30):
        for store in made:
            await store.aclose()


def into_messages(connection: sqlite3.Connection, written: Projected) -> None:
    for record in written.records:
        connection.execute(
            "INSERT INTO message (conversation_id, user_id, content) SELECT id, user_id, ? FROM conversation "
            "WHERE id = ? AND user_id = ?",
            (record.record_id, int(written.conversation), written.user),
        )
    connection.execute(
        "UPDATE conversation SET updated_at = CURRENT_TIMESTAMP WHERE id = ?", (int(written.conversation),)
    )


async def test_rows_are_made_of_the_applications_own_tables_in_the_same_file(tmp_path: Path, opened: Open) -> None:
    store = opened(into_messages)
    await store.open()  # the store makes the file: it refuses one that others have made
    with closing(sqlite3.connect(tmp_path / "chat.db")) as application:
        application.execute("CREATE TABLE user (id TEXT PRIMARY KEY)")
        application.execute(
            "CREATE TABLE conversation (id INTEGER PRIMARY KEY, user_id TEXT REFERENCES user, updated_at TEXT)"
        )
        application.execute(
            "CREATE TABLE message (id INTEGER PRIMARY KEY, conversation_id INTEGER REFERENCES conversation, "
            "user_id TEXT, content TEXT)"
        )
        application.execute("CREATE INDEX message_conversation ON message (conversation_id)")
        application.execute("INSERT INTO user VALUES ('ann')")
        application.execute("INSERT INTO conversation (id, user_id) VALUES (7, 'ann')")
        application.commit()
    user = store.for_user("ann")

    lease = await user.claim("7", owner="w", ttl=60, begin=new("hello"))
    await user.append(writing(lease, 1, "answer", state="idle", open_turn=None, release=True))
    await user.claim("8", owner="w", ttl=60, begin=new("no such conversation"))

    assert rows_in_sqlite(tmp_path / "chat.db", "message") == [(1, 7, "ann", "hello"), (2, 7, "ann", "answer")]
    ((_, _, updated_at),) = rows_in_sqlite(tmp_path / "chat.db", "conversation")
    assert updated_at is not None


MISDEEDS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "commits": lambda connection: connection.commit(),
    "writes to the store's tables": lambda connection: connection.execute("DELETE FROM records"),
    "reads the store's tables": lambda connection: connection.execute("SELECT * FROM conversations"),
    "makes a mistake": lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_projection_that_does_what_it_may_not_writes_nothing(
    misdeed: str, tmp_path: Path, opened: Open
) -> None:
    def misbehave(connection: sqlite3.Connection, written: Projected) -> None:
        into_sqlite(connection, written)
        if written.seq > 1:
            MISDEEDS[misdeed](connection)

    user = opened(misbehave).for_user("u")
    lease = await user.claim("c", owner="w", ttl=60, begin=new("t1"))

    with pytest.raises(ProjectionFailed) as caught:
        await user.append(writing(lease, 1, "r2"))

    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert rows_in_sqlite(tmp_path / "chat.db") == await journal_of(user, "u", "c") == [("u", "c", 1, "t1")]


async def test_the_event_loop_goes_on_while_a_projection_runs_and_all_other_threads_are_taken(opened: Open) -> None:
    told = threading.Event()

    def wait(connection: sqlite3.Connection, written: Projected) -> None:  # noqa: ARG001
        if not told.wait(20):
            raise TimeoutError

    threads = anyio.to_thread.current_default_thread_limiter()
    before, threads.total_tokens = threads.total_tokens, 1
    user = opened(wait).for_user("u")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            await threads.acquire()
            tasks.start_soon(partial(user.claim, "c", owner="w", ttl=60, begin=new("t1")))
            await anyio.wait_all_tasks_blocked()
            told.set()
    threads.release()
    threads.total_tokens = before

    assert [record.record_id for record in await user.read("c")] == ["t1"]


@pytest.fixture(params=["scope", "native"])
def how(request: pytest.FixtureRequest, anyio_backend: str) -> How:
    return request.param if anyio_backend == "asyncio" else "scope"  # which is all that trio has


async def test_rows_and_records_agree_wherever_an_append_is_cancelled(how: How, tmp_path: Path, opened: Open) -> None:
    user = opened(into_sqlite).for_user("u")
    conversations: list[str] = []
    made = True
    while made:
        conversations.append(f"c{len(conversations)}")
        lease = await user.claim(conversations[-1], owner="w", ttl=60)
        write = writing(lease, 0, "t1", "r2")
        with anyio.fail_after(30):
            made = (await cancelled_at(len(conversations), partial(user.append, write), how=how)).made
        rows = [row for row in rows_in_sqlite(tmp_path / "chat.db") if row[1] == conversations[-1]]
        assert rows == await journal_of(user, "u", conversations[-1])

    assert len(conversations) > 3


async def test_a_claim_that_is_cancelled_anywhere_leaves_no_lease_and_rows_as_the_journal_has_them(
    how: How, tmp_path: Path, opened: Open
) -> None:
    store = opened(into_sqlite)
    await store.open()
    user = store.for_user("u")
    made, step = True, 0
    while made:
        step += 1
        conversation = f"c{step}"
        begin = partial(user.claim, conversation, owner="w1", ttl=60, begin=new("t1"))
        with anyio.fail_after(30):
            outcome = await cancelled_at(step, begin, how=how)
        made = outcome.made
        if not outcome.finished:
            taken = await user.claim(conversation, owner="w2", ttl=60)
            assert how == "native" or taken.state == "idle"
        rows = [row for row in rows_in_sqlite(tmp_path / "chat.db") if row[1] == conversation]
        assert rows == await journal_of(user, "u", conversation)

    assert step > 3


async def test_one_connection_serves_one_write_after_another(opened: Open) -> None:
    changes: list[int] = []

    def count(connection: sqlite3.Connection, written: Projected) -> None:
        changes.append(connection.total_changes)
        into_sqlite(connection, written)

    user = opened(count).for_user("u")
    lease = await user.claim("c", owner="w", ttl=60, begin=new("t1"))
    for at in range(1, 4):
        await user.append(writing(lease, at, f"r{at}"))

    assert changes[0] == 0
    assert changes[1:] == sorted({*changes[1:]} - {0})
