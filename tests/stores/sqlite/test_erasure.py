"""Erased users are not even in the bytes of the files."""

import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import (
    ConversationBusy,
    ConversationExists,
    ConversationNotFound,
    InputError,
    StoreBusy,
    StoreUnavailable,
)
from assistant_kit.protocols.store import Append, NewRecord, UserStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.stores.sqlite.files import full_disk

pytestmark = pytest.mark.anyio

CANARY = "CANARY"
REFUSALS = (ConversationBusy, ConversationExists, ConversationNotFound, InputError)


def traces(folder: Path) -> dict[str, int]:
    """Return how often the canary stands in each file that has it."""
    counts = {path.name: path.read_bytes().count(CANARY.encode()) for path in folder.iterdir()}
    return {name: count for name, count in counts.items() if count}


class Life:
    """What a user does, at random; all that it writes begins with a mark."""

    def __init__(self, user: UserStore, mark: str, chance: random.Random) -> None:
        self._user = user
        self._mark = mark
        self._chance = chance
        self._count = 0

    async def step(self) -> None:
        deeds: list[Callable[[], Awaitable[object]]] = [self._write] * 12
        deeds += [self._rename, self._fork, self._rewind, self._delete]
        with suppress(*REFUSALS):
            await self._chance.choice(deeds)()

    def _name(self) -> str:
        return f"{self._mark}-conversation-{self._chance.randrange(6)}"

    async def _write(self) -> None:
        lease = await self._user.claim(self._name(), owner=f"{self._mark}-owner", ttl=60)
        await self._user.append(
            Append(
                lease=lease,
                expected_seq=lease.seq,
                records=[self._record() for _ in range(self._chance.choice([1, 2, 5]))],
                state="idle",
                open_turn=None,
                release=self._chance.random() < 3 / 4,
            )
        )

    def _record(self) -> NewRecord:
        self._count += 1
        return NewRecord(
            record_id=f"{self._mark}-{self._count}-{'i' * self._chance.randrange(60)}",
            kind=f"{self._mark}-kind",
            body=self._mark.encode() * self._chance.choice([1, 5, 50, 300, 800, 3000]),
        )

    async def _rename(self) -> None:
        await self._user.rename(self._name(), f"{self._mark}-title" * self._chance.randrange(20))

    async def _fork(self) -> None:
        await self._user.fork(self._name(), self._name(), at=self._chance.randrange(4))

    async def _rewind(self) -> None:
        lease = await self._user.claim(self._name(), owner=f"{self._mark}-owner", ttl=60)
        await self._user.rewind(lease, to=max(0, lease.seq - self._chance.randrange(4)))

    async def _delete(self) -> None:
        await self._user.delete(self._name())


@pytest.mark.parametrize("seed", [1, 2, 4])
async def test_no_file_has_anything_of_an_erased_user(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = SQLiteStore(tmp_path / "chat.db", audit=bool(seed % 2))
    victim = store.for_user(f"{CANARY}-user")
    others = {f"u{n}": store.for_user(f"u{n}") for n in range(4)}
    doomed = Life(victim, CANARY, chance)
    lives = [*(Life(user, name, chance) for name, user in others.items()), doomed, doomed]
    with anyio.fail_after(60):
        for _ in range(40):  # pages have been split and merged by then, and SQLite leaves copies in their gaps
            for life in lives:
                await life.step()
        before = {name: await everything(user) for name, user in others.items()}
        assert traces(tmp_path)

        await victim.erase()

        assert traces(tmp_path) == {}
        assert {name: await everything(user) for name, user in others.items()} == before
        await store.aclose()
    assert traces(tmp_path) == {}


async def everything(user: UserStore) -> list[object]:
    listed = await user.conversations(limit=1000)
    return [(info, await user.read(info.conversation)) for info in listed]


async def filled(store: SQLiteStore) -> UserStore:
    user = store.for_user(CANARY)
    lease = await user.claim("c", owner="w", ttl=60)
    record = NewRecord(record_id="r", kind="k", body=CANARY.encode())
    await user.append(Append(lease=lease, expected_seq=0, records=[record], state="idle", open_turn=None))
    return user


async def test_an_erasure_that_a_reader_keeps_back_is_finished_by_the_next(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db", busy_timeout=0.05)
    user = await filled(store)

    with anyio.fail_after(30):
        with closing(sqlite3.connect(tmp_path / "chat.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM records").fetchone()
            with pytest.raises(StoreBusy):
                await user.erase()
            assert list(await user.conversations()) == []
            assert traces(tmp_path)
            reader.execute("COMMIT")

        assert await store.for_user("somebody else").erase() == 0
        assert traces(tmp_path) == {}
        await store.aclose()


async def test_an_erasure_for_which_the_disk_has_no_room_is_finished_by_the_next(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    user = await filled(store)
    large = store.for_user("large")
    lease = await large.claim("c", owner="w", ttl=60)
    record = NewRecord(record_id="r", kind="k", body=bytes(400_000))
    await large.append(Append(lease=lease, expected_seq=0, records=[record], state="idle", open_turn=None))

    with anyio.fail_after(30):
        with full_disk(600_000), pytest.raises(StoreUnavailable):
            await user.erase()
        assert list(await user.conversations()) == []

        assert await user.erase() == 0
        assert traces(tmp_path) == {}
        assert len(await large.read("c")) == 1
        await store.aclose()


async def test_a_file_without_traces_is_not_written_anew(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "chat.db")
    user = await filled(store)
    with anyio.fail_after(30):
        await user.erase()
        before = (tmp_path / "chat.db").read_bytes()

        await user.erase()

        assert (tmp_path / "chat.db").read_bytes() == before
        await store.aclose()
