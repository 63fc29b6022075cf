"""Files that were damaged."""

import os
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import AssistantKitError, StoreCorrupt, StoreError, StoreUnavailable
from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

PAGE = 4096
USERS = ["u1", "u2"]
CONVERSATIONS = ["c1", "c2", "fork"]


def writing(lease: Lease, at: int, *records: NewRecord) -> Append:
    return Append(lease=lease, expected_seq=at, records=records, state="open", open_turn=1)


async def fill(store: SQLiteStore, chance: random.Random) -> None:
    for user in map(store.for_user, USERS):
        for name in ("c1", "c2"):
            lease = await user.claim(name, owner="w", ttl=60)
            for n in range(12):
                body = b"x" * chance.choice([10, 300, 6000])
                await user.append(writing(lease, n, NewRecord(record_id=f"r{n}", kind="k", body=body, tokens=1)))
        await user.fork("c1", "fork", at=5)
        await user.rename("c1", "title")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Run each test once: damage does not depend on the event loop."""
    return "asyncio"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a store that was closed."""
    path = tmp_path_factory.mktemp("whole") / "chat.db"

    async def make() -> None:
        store = SQLiteStore(path, audit=True)
        with anyio.fail_after(30):
            await fill(store, random.Random(1))
            await store.aclose()

    anyio.run(make)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    """A store that was closed."""
    (tmp_path / "chat.db").write_bytes(content)
    return tmp_path / "chat.db"


def content_of(path: Path | str) -> bytes:
    return Path(path).read_bytes()


def replace_content(path: Path | str, content: bytearray) -> None:
    Path(path).write_bytes(content)


def reads(store: SQLiteStore) -> list[Callable[[], Awaitable[object]]]:
    deeds: list[Callable[[], Awaitable[object]]] = [store.users, store.unfinished]
    for user in map(store.for_user, USERS):
        deeds += [user.conversations, user.audit_log]
        deeds += [lambda user=user, name=name: user.read(name) for name in CONVERSATIONS]
        deeds += [lambda user=user, name=name: user.locate(name, "r3") for name in CONVERSATIONS]
    return deeds


def writes(store: SQLiteStore) -> list[Callable[[], Awaitable[object]]]:
    async def converse(user: UserStore, name: str) -> None:
        lease = await user.claim(name, owner="w", ttl=60)
        await user.append(writing(lease, lease.seq, NewRecord(record_id="new", kind="k", body=b"")))
        await user.rewind(lease, to=2)

    deeds: list[Callable[[], Awaitable[object]]] = []
    for user in map(store.for_user, USERS):
        deeds += [lambda user=user, name=name: converse(user, name) for name in CONVERSATIONS]
        deeds += [lambda user=user: user.fork("c2", "fork2", at=3), user.erase]
    return deeds


async def tried(deeds: list[Callable[[], Awaitable[object]]]) -> list[AssistantKitError]:
    """Do what can be done, and return the errors; any other error fails the test."""
    errors: list[AssistantKitError] = []
    with anyio.fail_after(60):
        for deed in deeds:
            try:
                await deed()
            except AssistantKitError as error:
                errors.append(error)
    return errors


def in_the_header(content: bytearray) -> None:
    content[16:100] = b"\xa5" * 84


def in_the_first_page(content: bytearray) -> None:
    content[100:PAGE] = os.urandom(PAGE - 100)


def in_all_other_pages(content: bytearray) -> None:
    content[PAGE:] = random.Random(7).randbytes(len(content) - PAGE)


def cut_in_the_middle(content: bytearray) -> None:
    del content[len(content) // 2 // PAGE * PAGE :]


def cut_within_a_page(content: bytearray) -> None:
    del content[PAGE + 1000 :]


def all_zeros(content: bytearray) -> None:
    content[:] = bytes(len(content))


@pytest.mark.parametrize(
    "damage",
    [in_the_header, in_the_first_page, in_all_other_pages, cut_in_the_middle, cut_within_a_page, all_zeros],
)
async def test_a_damaged_file_is_corrupt_and_left_as_it_is(path: Path, damage: Callable[[bytearray], None]) -> None:
    content = bytearray(content_of(path))
    damage(content)
    replace_content(path, content)
    store = SQLiteStore(path)

    errors = await tried(reads(store))
    await store.aclose()

    assert {type(error) for error in errors} == {StoreCorrupt}
    assert all(os.fspath(path) in str(error) for error in errors)
    assert content_of(path) == content


@pytest.mark.parametrize("seed", range(25))
async def test_damage_anywhere_is_an_error_of_ours_or_none_and_reading_leaves_the_file(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(content_of(path))
    for _ in range(chance.choice([1, 3, 20])):
        # Half of it where SQLite keeps what pages mean.
        page, offset = chance.randrange(len(content) // PAGE), chance.randrange(chance.choice([80, PAGE]))
        content[page * PAGE + offset] = chance.randrange(256)
    replace_content(path, content)
    store = SQLiteStore(path, busy_timeout=0.1)

    errors = await tried(reads(store))
    await store.aclose()
    assert content_of(path) == content

    store = SQLiteStore(path, busy_timeout=0.1)
    errors += await tried(writes(store))
    await store.aclose()
    for error in errors:
        assert not isinstance(error, StoreUnavailable), error


Deed = Callable[[UserStore], Awaitable[object]]

WRONG_TYPES: dict[str, tuple[str, Deed]] = {
    "text as body": ("UPDATE records SET body = 'text'", lambda user: user.read("c1")),
    "fraction of tokens": ("UPDATE records SET tokens = 1.5", lambda user: user.read("c1")),
    "blob as base, read": ("UPDATE segments SET base = x'05'", lambda user: user.read("fork")),
    "blob as base, rewound": ("UPDATE segments SET base = x'05'", lambda user: user.rewind(LEASE, to=1)),
    "text as head": ("UPDATE chains SET link = 'text'", lambda user: user.rename("c1", "new")),
    "text as digest": ("UPDATE audit SET digest = 'text'", lambda user: user.audit_log()),
    "text as salt": ("UPDATE audit SET salt = 'text'", lambda user: user.audit_log()),
}
LEASE = Lease(conversation="c1", owner="w", fence=1, seq=12, at=0)


@pytest.mark.parametrize("case", WRONG_TYPES)
async def test_values_that_no_table_allows_are_damage(path: Path, case: str) -> None:
    statement, deed = WRONG_TYPES[case]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')")
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    store = SQLiteStore(path)

    with anyio.fail_after(30), pytest.raises(StoreCorrupt):
        await deed(store.for_user("u1"))

    await store.aclose()


async def test_segments_that_go_round_in_a_circle_are_read_once(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE segments SET parent = segment")
        connection.commit()
    store = SQLiteStore(path)

    await tried(reads(store))
    await tried(writes(store))

    await store.aclose()


async def left_open(path: Path, copy: Path) -> list[int]:
    """Copy the files of a store that is in use; return the size of its log after each acknowledged write."""
    store = SQLiteStore(path)
    user = store.for_user("u1")
    sizes: list[int] = []
    with anyio.fail_after(30):
        lease = await user.claim("c1", owner="w", ttl=60)
        for n in range(12, 20):
            await user.append(writing(lease, n, NewRecord(record_id=f"r{n}", kind="k", body=b"x" * 3000, tokens=1)))
            sizes.append(len(content_of(f"{path}-wal")))
        for end in ("", "-wal"):
            shutil.copyfile(f"{path}{end}", f"{copy}{end}")
        await store.aclose()
    return sizes


def cut(log: bytearray, at: int) -> None:
    del log[at:]


def overwritten(log: bytearray, at: int) -> None:
    log[at:] = b"\xa5" * (len(log) - at)


def with_garbage_behind(log: bytearray, at: int) -> None:
    del log[at:]
    log += b"\xa5" * 10_000


@pytest.mark.parametrize("damage", [cut, overwritten, with_garbage_behind])
@pytest.mark.parametrize("where", [0, 20, 1 / 3, 2 / 3, 1])
async def test_a_damaged_log_loses_nothing_that_was_written_before_the_damage(
    path: Path, damage: Callable[[bytearray, int], None], where: float
) -> None:
    copy = path.with_name("copy.db")
    sizes = await left_open(path, copy)
    log = bytearray(content_of(f"{copy}-wal"))
    at = int(where * len(log)) if where <= 1 else int(where)
    damage(log, at)
    replace_content(f"{copy}-wal", log)
    whole = sum(size <= at for size in sizes)

    store = SQLiteStore(copy)
    user = store.for_user("u1")
    with anyio.fail_after(30):
        records = await user.read("c1")
        lease = await user.claim("c1", owner="w", ttl=60)
        await user.append(writing(lease, len(records), NewRecord(record_id="new", kind="k", body=b"", tokens=1)))
        assert [record.seq for record in await user.read("c1")] == list(range(1, len(records) + 2))
        await store.aclose()

    # The size of a log is not that of one write: what follows it may have been there before.
    assert 12 + whole <= len(records) <= 20
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_message_that_is_no_text_is_still_an_error_of_the_store(path: Path) -> None:
    content = bytearray(content_of(path))
    at = content.index(b"CREATE TABLE segments")
    content[at : at + 6] = b"CRE\xfeTE"
    replace_content(path, content)
    store = SQLiteStore(path)

    with anyio.fail_after(30), pytest.raises(StoreError) as caught:
        await store.open()

    assert os.fspath(path) in str(caught.value)
    assert content_of(path) == content
    await store.aclose()
