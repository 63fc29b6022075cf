import gc
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import anyio
import anyio.to_thread
import pytest

from assistant_kit.errors import (
    ConfigurationError,
    ConversationConflict,
    LeaseLost,
    StoreBusy,
    StoreUnavailable,
    UnknownStore,
)
from assistant_kit.protocols.store import Append, Lease, NewRecord, Store, UserStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.conformance.store import AuditConformance, StoreConformance, TransactionConformance
from tests.stores.sqlite.files import full_disk, names, write_lock

pytestmark = pytest.mark.anyio


class TestSQLiteStore(StoreConformance, TransactionConformance, AuditConformance):
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> Store:
        self.path = folder / "chat.db"
        return SQLiteStore(self.path, clock=lambda: self.now)

    async def open_audited(self, folder: Path) -> Store:
        return SQLiteStore(folder / "audited.db", clock=lambda: self.now, audit=True)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def put(self, connection: sqlite3.Connection, name: str) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS names (name TEXT)")
        connection.execute("INSERT INTO names VALUES (?)", (name,))

    async def put_names(self, store: Store) -> Sequence[str]:  # noqa: ARG002  (it is found by its path)
        with closing(sqlite3.connect(self.path)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'names'").fetchone() is None:
                return []
            return [name for (name,) in connection.execute("SELECT name FROM names")]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "chat.db")
    yield store
    with anyio.fail_after(30):
        await store.aclose()


def write(lease: Lease, at: int, *record_ids: str, body: bytes = b"x", release: bool = False) -> Append:
    records = [NewRecord(record_id=record_id, kind="k", body=body, tokens=1) for record_id in record_ids]
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1, release=release)


async def ids(user: UserStore, conversation: str) -> list[str]:
    return [record.record_id for record in await user.read(conversation)]


OTHERS: set[threading.Thread] = set()
"""Threads of stores that other tests have left to the garbage collector."""


@pytest.fixture(autouse=True)
def others() -> None:
    OTHERS.clear()
    OTHERS.update(threading.enumerate())


def threads() -> list[str]:
    mine = [thread for thread in threading.enumerate() if thread not in OTHERS]
    return [thread.name for thread in mine if thread.name.startswith("assistant_kit-sqlite")]


def commits(path: Path) -> int:
    """Count the commits in a write-ahead log that was never checkpointed (https://sqlite.org/fileformat.html#walformat)."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    page_size, salts = int.from_bytes(log[8:12]), log[16:24]
    frames = [log[start : start + 24] for start in range(32, len(log), 24 + page_size)]
    return sum(frame[8:16] == salts and frame[4:8] != bytes(4) for frame in frames)


async def test_writes_that_wait_share_a_commit(store: SQLiteStore, tmp_path: Path) -> None:
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=60) for n in range(50)]
    before = commits(tmp_path / "chat.db")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with write_lock(tmp_path / "chat.db"):
                for lease in leases:
                    tasks.start_soon(user.append, write(lease, 0, "a"))
                await anyio.wait_all_tasks_blocked()

    assert commits(tmp_path / "chat.db") - before <= 2
    for n in range(50):
        assert await ids(user, f"c{n}") == ["a"]


async def test_a_refused_write_undoes_none_of_its_group(store: SQLiteStore, tmp_path: Path) -> None:
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=60) for n in range(12)]
    for lease in leases:
        await user.append(write(lease, 0, "a"))
    errors: list[str] = []

    async def append(n: int, lease: Lease) -> None:
        try:
            await user.append(write(lease, 1, "b", "a" if n % 3 == 0 else "c"))
        except ConversationConflict as error:
            errors.append(error.conversation)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with write_lock(tmp_path / "chat.db"):
                for n, lease in enumerate(leases):
                    tasks.start_soon(append, n, lease)
                await anyio.wait_all_tasks_blocked()

    assert sorted(errors) == ["c0", "c3", "c6", "c9"]
    for n in range(12):
        assert await ids(user, f"c{n}") == (["a"] if n % 3 == 0 else ["a", "b", "c"])


async def test_a_cancelled_claim_in_the_queue_leaves_no_lease(store: SQLiteStore, tmp_path: Path) -> None:
    user = store.for_user("u")
    await user.release(await user.claim("c", owner="w0", ttl=60))

    with anyio.fail_after(30):
        with write_lock(tmp_path / "chat.db"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: user.claim("c", owner="w1", ttl=60))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()

        assert (await user.claim("c", owner="w2", ttl=60)).owner == "w2"


async def test_a_cancelled_claim_that_was_refused_takes_nothing_away(store: SQLiteStore, tmp_path: Path) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w0", ttl=60)

    with anyio.fail_after(30):
        with write_lock(tmp_path / "chat.db"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: user.claim("c", owner="w1", ttl=60))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()

        await user.append(write(lease, 0, "a"))


async def test_a_store_locked_for_too_long_is_busy_and_usable_afterwards(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db", busy_timeout=0.05)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)

    with anyio.fail_after(30):
        with write_lock(tmp_path / "chat.db"), pytest.raises(StoreBusy):
            await user.append(write(lease, 0, "a"))
        assert await ids(user, "c") == []
        await user.append(write(lease, 0, "a"))
        await store.aclose()


async def test_a_full_disk_loses_nothing_and_the_write_may_be_repeated(store: SQLiteStore) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0, "a"))

    with anyio.fail_after(30):
        with full_disk(200_000), pytest.raises(StoreUnavailable):
            await user.append(write(lease, 1, "b", body=b"x" * 400_000))
        assert await ids(user, "c") == ["a"]
        await user.append(write(lease, 1, "b", body=b"x" * 400_000))

    assert await ids(user, "c") == ["a", "b"]


async def test_a_disk_that_gets_full_fails_a_group_as_a_whole(store: SQLiteStore, tmp_path: Path) -> None:
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=60) for n in range(6)]
    large = leases[2]
    failed: set[str] = set()

    def first(lease: Lease) -> Append:
        # One is more than SQLite keeps in memory: it writes before the commit, and gives the transaction up there.
        return write(lease, 0, "a", body=b"x" * (20_000_000 if lease is large else 1))

    async def append(lease: Lease) -> None:
        try:
            await user.append(first(lease))
        except StoreUnavailable:
            failed.add(lease.conversation)

    with anyio.fail_after(30), full_disk(1_000_000):
        async with anyio.create_task_group() as tasks:
            with write_lock(tmp_path / "chat.db"):
                # The thread may take the first alone and all others together, or any number of the first ones together:
                # the large one is second, and never alone.
                for lease in (leases[0], large, *leases[1:2], *leases[3:]):
                    tasks.start_soon(append, lease)
                    await anyio.wait_all_tasks_blocked()

    assert failed > {"c2"}
    for lease in leases:
        assert await ids(user, lease.conversation) == ([] if lease.conversation in failed else ["a"])
        await user.append(first(lease))
        assert await ids(user, lease.conversation) == ["a"]


async def test_two_event_loops_share_a_store(store: SQLiteStore) -> None:
    user = store.for_user("u")
    here, there = [await user.claim(name, owner="w", ttl=60) for name in ("here", "there")]

    async def append(lease: Lease) -> None:
        for n in range(50):
            await user.append(write(lease, n, f"r{n}"))
            await user.read(lease.conversation, limit=1)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(append, here)
            for backend in ("asyncio", "trio"):
                lease = there if backend == "asyncio" else await user.claim(backend, owner="w", ttl=60)
                tasks.start_soon(anyio.to_thread.run_sync, lambda b=backend, x=lease: anyio.run(append, x, backend=b))

    for name in ("here", "there", "trio"):
        assert await ids(user, name) == [f"r{n}" for n in range(50)]


async def test_a_loop_that_ended_while_its_write_waited_disturbs_nobody(store: SQLiteStore, tmp_path: Path) -> None:
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)

    async def leave() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(user.append, write(lease, 0, "a"))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    with anyio.fail_after(30):
        for backend in ("asyncio", "trio"):
            with write_lock(tmp_path / "chat.db"):
                await anyio.to_thread.run_sync(lambda b=backend: anyio.run(leave, backend=b))

        await user.append(write(lease, 0, "a"))
    assert await ids(user, "c") == ["a"]


async def test_closing_writes_what_waits_and_leaves_one_file_and_no_thread(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    user = store.for_user("u")
    leases = [await user.claim(f"c{n}", owner="w", ttl=60) for n in range(20)]

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            with write_lock(tmp_path / "chat.db"):
                for lease in leases:
                    tasks.start_soon(user.append, write(lease, 0, "a"))
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(store.aclose)
                await anyio.wait_all_tasks_blocked()

    assert threads() == []
    assert names(tmp_path) == ["chat.db"]
    with closing(sqlite3.connect(tmp_path / "chat.db")) as file:
        assert file.execute("SELECT count(*) FROM records").fetchone() == (20,)


async def test_closing_is_not_stopped_by_cancellation(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    await store.for_user("u").claim("c", owner="w", ttl=60)

    with anyio.fail_after(30), anyio.CancelScope() as scope:
        scope.cancel()
        await store.aclose()

    assert threads() == []


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await store.aclose()

    with pytest.raises(StoreUnavailable):
        await user.append(write(lease, 0, "a"))
    with pytest.raises(StoreUnavailable):
        await user.read("c")
    assert threads() == []


async def test_a_claim_cancelled_while_the_store_closes_is_let_go(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db", busy_timeout=0.5)
    user = store.for_user("u")
    await user.claim("c", owner="w0", ttl=60)

    with anyio.fail_after(30), write_lock(tmp_path / "chat.db"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: user.claim("d", owner="w1", ttl=60))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(store.aclose)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    assert threads() == []


async def test_a_store_that_was_dropped_ends_its_threads(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    user = store.for_user("u")
    await user.claim("c", owner="w", ttl=60)
    await user.read("c")
    running = [thread for thread in threading.enumerate() if thread not in OTHERS and thread.name in threads()]
    gone = weakref.ref(store)

    del store, user
    gc.collect()
    for thread in running:
        thread.join(10)

    assert gone() is None
    assert threads() == []


async def test_journals_outlive_the_store(tmp_path: Path) -> None:
    first = SQLiteStore(str(tmp_path / "chat.db"), synchronous="NORMAL")
    lease = await first.for_user("u").claim("c", owner="w", ttl=60)
    await first.for_user("u").append(write(lease, 0, "a", "b"))
    await first.aclose()

    second = SQLiteStore(tmp_path / "chat.db")
    user = second.for_user("u")
    await user.append(write(lease, 2, "c", release=True))
    again = await user.claim("c", owner="w", ttl=60)

    assert await ids(user, "c") == ["a", "b", "c"]
    assert (again.seq, again.fence > lease.fence) == (3, True)
    with pytest.raises(LeaseLost):
        await user.renew(lease, ttl=60)
    await second.aclose()


async def test_opening_makes_the_file_and_shows_whether_it_can_be_written(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "new" / "chat.db", busy_timeout=0.05)
    with anyio.fail_after(30):
        with pytest.raises(StoreUnavailable):
            await store.open()
        (tmp_path / "new").mkdir()
        await store.open()
        assert "chat.db" in names(tmp_path / "new")

        with write_lock(tmp_path / "new" / "chat.db"), pytest.raises(StoreBusy):
            await store.open()
        await store.aclose()


async def test_an_audit_log_that_was_begun_goes_on_whoever_opens_the_file(tmp_path: Path) -> None:
    before = SQLiteStore(tmp_path / "chat.db")
    user = before.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60)
    await user.append(write(lease, 0, "a"))
    audited = SQLiteStore(tmp_path / "chat.db", audit=True)
    await audited.open()

    await user.append(write(lease, 1, "b"))
    await audited.aclose()
    await before.aclose()
    after = SQLiteStore(tmp_path / "chat.db", audit=False)
    await after.for_user("u").append(write(lease, 2, "c"))

    assert [link.n for link in await after.for_user("u").audit_log()] == [1, 2]
    await after.aclose()


async def test_an_erasure_of_what_was_never_noted_is_noted(tmp_path: Path) -> None:
    before = SQLiteStore(tmp_path / "chat.db")
    await before.for_user("u").claim("c", owner="w", ttl=60)
    await before.aclose()
    store = SQLiteStore(tmp_path / "chat.db", audit=True)

    assert await store.for_user("u").erase() == 1

    (erased,) = await store.users()
    (link,) = await store.for_user(erased).audit_log()
    assert json.loads(link.payload or b"") == {"do": "erase"}
    await store.aclose()


async def test_a_cancelled_claim_that_began_a_turn_is_noted_as_rewound(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db", audit=True)
    user = store.for_user("u")
    await user.release(await user.claim("c", owner="w0", ttl=60))
    begin = NewRecord(record_id="t", kind="k", body=b"")

    with anyio.fail_after(30):
        with write_lock(tmp_path / "chat.db"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: user.claim("c", owner="w1", ttl=60, begin=begin))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        assert (await user.claim("c", owner="w2", ttl=60)).seq == 0

    links = [json.loads(link.payload or b"{}") for link in await user.audit_log()]
    assert [(link["do"], link.get("to")) for link in links] == [("append", None), ("rewind", 0)]
    await store.aclose()


async def test_an_address_names_a_relative_or_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for address in ("sqlite:///a%20b.db", f"sqlite:///{quote(os.fspath(tmp_path))}/c%3F.db"):
        store = SQLiteStore.from_address(address)
        await store.for_user("u").claim("c", owner="w", ttl=60)
        await store.aclose()

    assert names(tmp_path) == ["a b.db", "c?.db"]


@pytest.mark.parametrize(
    "address", ["sqlite:///", "sqlite:///:memory:", "sqlite:///chat.db?mode=ro", "sqlite:///a%00b"]
)
async def test_an_address_without_a_file_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        SQLiteStore.from_address(address)


@pytest.mark.parametrize("address", ["sqlite://chat.db", "postgresql://host/db", "chat.db", ""])
async def test_a_foreign_address_is_refused(address: str) -> None:
    with pytest.raises(UnknownStore) as caught:
        SQLiteStore.from_address(address)

    assert caught.value.address == address
