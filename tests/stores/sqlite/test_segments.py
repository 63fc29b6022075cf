"""What stands in the file for conversations that share records: all that is seen, and nothing else."""

import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import ConversationExists, ConversationNotFound, InputError
from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.sqlite import SQLiteStore, history, journal, reading
from assistant_kit.stores.sqlite.schema import Setup, open_connection

pytestmark = pytest.mark.anyio


@pytest.fixture
async def user(tmp_path: Path) -> AsyncIterator[UserStore]:
    store = SQLiteStore(tmp_path / "chat.db")
    yield store.for_user("u")
    with anyio.fail_after(30):
        await store.aclose()


def stored(folder: Path) -> tuple[list[str], int]:
    """Return the ids of all records in the file, and the number of segments that go on from another."""
    with closing(sqlite3.connect(folder / "chat.db")) as connection:
        ids = [name for (name,) in connection.execute("SELECT record_id FROM records ORDER BY record_id")]
        return ids, connection.execute("SELECT count(*) FROM segments").fetchone()[0]


async def seen(user: UserStore) -> list[str]:
    """Return the ids of all records that some conversation has."""
    found = {record.record_id for info in await user.conversations() for record in await user.read(info.conversation)}
    return sorted(found)


def writing(lease: Lease, at: int, *record_ids: str, release: bool = True) -> Append:
    records = [NewRecord(record_id=record_id, kind="k", body=b"x", tokens=1) for record_id in record_ids]
    return Append(lease=lease, expected_seq=at, records=records, state="idle", open_turn=None, release=release)


async def write(user: UserStore, conversation: str, *record_ids: str) -> None:
    lease = await user.claim(conversation, owner="w", ttl=60)
    await user.append(writing(lease, lease.seq, *record_ids))


async def rewind(user: UserStore, conversation: str, to: int) -> None:
    lease = await user.claim(conversation, owner="w", ttl=60)
    await user.rewind(lease, to=to)
    await user.release(lease)


async def test_a_fork_copies_no_record(user: UserStore, tmp_path: Path) -> None:
    await write(user, "c", "r1", "r2", "r3")

    await user.fork("c", "d", at=2)
    await write(user, "d", "d3")

    assert stored(tmp_path) == (["d3", "r1", "r2", "r3"], 1)


async def test_what_a_deleted_conversation_shares_stays_as_far_as_it_is_shared(user: UserStore, tmp_path: Path) -> None:
    await write(user, "c", "r1", "r2", "r3", "r4")
    await user.fork("c", "d", at=1)
    await user.fork("c", "e", at=3)

    await user.delete("c")
    assert stored(tmp_path) == (["r1", "r2", "r3"], 2)
    await user.delete("e")
    assert stored(tmp_path) == (["r1"], 1)
    await user.delete("d")
    assert stored(tmp_path) == ([], 0)


async def test_a_line_of_forks_is_dropped_when_its_end_is_deleted(user: UserStore, tmp_path: Path) -> None:
    await write(user, "c0", "r0")
    for n in range(5):
        await user.fork(f"c{n}", f"c{n + 1}", at=n + 1)
        await write(user, f"c{n + 1}", f"r{n + 1}")
        await user.delete(f"c{n}")
    assert stored(tmp_path) == ([f"r{n}" for n in range(6)], 5)

    await user.delete("c5")

    assert stored(tmp_path) == ([], 0)


async def test_a_conversation_that_nobody_forked_is_cut_where_it_is_rewound(user: UserStore, tmp_path: Path) -> None:
    await write(user, "c", "r1", "r2", "r3")

    for n in range(3):
        await rewind(user, "c", 1)
        await write(user, "c", f"n{n}")

    assert stored(tmp_path) == (["n2", "r1"], 0)


async def test_a_rewound_conversation_leaves_what_a_fork_shares(user: UserStore, tmp_path: Path) -> None:
    await write(user, "c", "r1", "r2", "r3", "r4")
    await user.fork("c", "d", at=3)

    await rewind(user, "c", 3)
    assert stored(tmp_path) == (["r1", "r2", "r3"], 1)
    await rewind(user, "c", 2)
    assert stored(tmp_path) == (["r1", "r2", "r3"], 2)
    await write(user, "c", "n3")
    await user.delete("d")
    assert stored(tmp_path) == (["n3", "r1", "r2"], 1)
    await rewind(user, "c", 0)

    assert stored(tmp_path) == ([], 0)


async def test_a_fork_that_is_rewound_before_its_beginning_lets_go_of_what_it_shared(
    user: UserStore, tmp_path: Path
) -> None:
    await write(user, "c", "r1", "r2", "r3")
    await user.fork("c", "d", at=3)
    await user.delete("c")

    await rewind(user, "d", 1)
    await write(user, "d", "d2")

    assert stored(tmp_path) == (["d2", "r1"], 1)


async def test_no_new_segment_gets_the_number_of_one_that_is_still_shared(user: UserStore) -> None:
    await write(user, "c", "r1", "r2")
    await user.fork("c", "d", at=1)
    await rewind(user, "d", 0)
    await user.fork("c", "e", at=2)
    await user.delete("c")  # the segment of "c" lives on

    for n in range(3):
        await write(user, f"new{n}", "x")

    assert [record.record_id for record in await user.read("e")] == ["r1", "r2"]
    for n in range(3):
        assert [record.record_id for record in await user.read(f"new{n}")] == ["x"]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_the_file_has_all_that_is_seen_and_nothing_else(
    user: UserStore, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    histories: dict[str, list[str]] = {}

    async def step(n: int) -> None:
        name, other = (f"c{chance.randrange(5)}" for _ in range(2))
        known, deed = histories.get(name, []), chance.random()
        if deed < 0.4:
            await write(user, name, *(made := [f"{n}.{k}" for k in range(chance.randrange(1, 4))]))
            histories[name] = [*known, *made]
        elif deed < 0.65:
            at = chance.randrange(len(known) + 1)
            await user.fork(name, other, at=at)
            histories[other] = known[:at]
        elif deed < 0.85:
            to = chance.randrange(len(known) + 1)
            await rewind(user, name, to)
            histories[name] = known[:to]
        else:
            await user.delete(name)
            del histories[name]

    with anyio.fail_after(60):
        for n in range(120):
            with suppress(ConversationNotFound, ConversationExists, InputError):
                await step(n)

        assert {info.conversation for info in await user.conversations()} == set(histories)
        for name, expected in histories.items():
            assert [record.record_id for record in await user.read(name)] == expected
        assert stored(tmp_path)[0] == await seen(user)
        for name in list(histories):
            await user.delete(name)
        assert stored(tmp_path) == ([], 0)


def statements(folder: Path, action: Callable[[sqlite3.Connection], object]) -> int:
    """Count the statements of an action."""
    executed: list[str] = []
    with closing(open_connection(str(folder / "chat.db"), Setup())) as connection:
        connection.set_trace_callback(executed.append)
        action(connection)
        connection.set_trace_callback(None)
    return len(executed)


async def test_a_conversation_that_was_never_forked_costs_nothing_more(user: UserStore, tmp_path: Path) -> None:
    await write(user, "c", *(f"r{n}" for n in range(10)))
    await user.fork("c", "d", at=5)
    asked = journal.Claim(("u", "c"), "w", 60, None)
    lease = await user.claim("c", owner="w", ttl=60)
    tail = reading.Window.of(after=0, before=None, limit=None)

    assert statements(tmp_path, lambda connection: journal.claim(connection, asked, now=2e9, at=2e9)) == 1
    assert statements(tmp_path, lambda connection: reading.read(connection, ("u", "c"), tail, 3)) == 1
    assert statements(tmp_path, lambda connection: reading.read(connection, ("u", "c"), tail, None)) == 1
    lease = await user.claim("c", owner="w", ttl=60)
    for n, release in ((10, False), (12, True)):
        two = writing(lease, n, f"r{n}", f"r{n + 1}", release=release)
        count = statements(tmp_path, lambda connection, two=two: journal.append(connection, "u", two, 2e9))
        assert count == 3 + release
    assert statements(tmp_path, lambda connection: history.rename(connection, ("u", "c"), "", 2e9)) == 1
