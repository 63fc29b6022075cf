"""A vault in a store, beside others that use it, and with records that cannot be read."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from assistant_kit.errors import StoreBusy, StoreCorrupt, StoreUnavailable
from assistant_kit.maskers import store_vault
from assistant_kit.maskers.rules import RuleMasker
from assistant_kit.maskers.store_vault import CONVERSATION, StoreVault
from assistant_kit.protocols.masker import Private
from assistant_kit.protocols.store import Append, Lease, NewRecord, Store, UserStore
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.no_leak import LeakFound, assert_no_leak
from tests.policies.timing import LOOPS, in_virtual_time

pytestmark = pytest.mark.anyio


def email(value: str) -> Private:
    return Private(kind="EMAIL", value=value)


class Wrapped(MemoryStore):
    """A store with a handle of the test's."""

    def __init__(self, store: Store, handle: type["Handle"]) -> None:
        super().__init__()
        self._store = store
        self._handle = handle

    def for_user(self, user: str) -> Any:
        return self._handle(self._store.for_user(user))


class Handle:
    """A handle on a store, to be changed."""

    def __init__(self, store: UserStore) -> None:
        self.store: UserStore = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def put(store: Store, body: bytes) -> None:
    handle = store.for_user("ann")
    lease = await handle.claim(CONVERSATION, owner="somebody", ttl=1)
    record = NewRecord(record_id="other", kind="pseudonyms", body=body)
    await handle.append(
        Append(lease=lease, expected_seq=lease.seq, records=[record], state="idle", open_turn=None, release=True)
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"\xff", b'{"v": 1}', b'{"v": 1, "new": [["EMAIL"]]}', b'{"v": 2, "new": []}']
)
async def test_a_record_that_cannot_be_read_is_an_error(body: bytes) -> None:
    store = MemoryStore()
    await put(store, body)
    ann = StoreVault(store).for_user("ann")

    for work in (ann.hide([email("a@b.org")]), ann.reveal(["<EMAIL_1>"])):
        with pytest.raises(StoreCorrupt):
            await work


@pytest.mark.parametrize("loop", LOOPS)
def test_a_lease_of_a_worker_that_died_is_waited_for(loop: str) -> None:
    async def hide() -> tuple[Sequence[str], float]:
        begun = anyio.current_time()
        store = await leased(ttl=10)
        return await StoreVault(store).for_user("ann").hide([email("a@b.org")]), anyio.current_time() - begun

    names, waited = in_virtual_time(loop, hide)
    assert names == ["<EMAIL_1>"]
    assert 10 <= waited < 11


@pytest.mark.parametrize("loop", LOOPS)
def test_a_lease_that_never_ends_is_not_waited_for_for_ever(loop: str) -> None:
    async def hide() -> None:
        store = await leased(ttl=1e6)
        with anyio.fail_after(60), pytest.raises(StoreBusy):
            await StoreVault(store).for_user("ann").hide([email("a@b.org")])

    in_virtual_time(loop, hide)


async def leased(*, ttl: float) -> MemoryStore:
    store = MemoryStore(clock=anyio.current_time)
    await store.for_user("ann").claim(CONVERSATION, owner="somebody", ttl=ttl)
    return store


class Losing(Handle):
    """Loses its first lease to somebody who gives a pseudonym to another value."""

    kept: Store
    lost: bool

    async def append(self, write: Append) -> None:
        if not Losing.lost:
            Losing.lost = True
            await self.store.release(write.lease)
            await StoreVault(Losing.kept).for_user("ann").hide([email("first@b.org")])
        await self.store.append(write)


async def test_who_loses_the_lease_begins_anew_behind_what_the_other_has_written() -> None:
    Losing.kept, Losing.lost = MemoryStore(), False
    vault = StoreVault(Wrapped(Losing.kept, Losing))

    with anyio.fail_after(60):
        assert await vault.for_user("ann").hide([email("mine@b.org"), email("first@b.org")]) == [
            "<EMAIL_2>",
            "<EMAIL_1>",
        ]


class Down(Handle):
    """Fails at a write, and counts what is released."""

    released: list[Lease]

    async def append(self, write: Append) -> None:
        raise StoreUnavailable(f"down, {len(write.records)} records are not written")

    async def release(self, lease: Lease) -> None:
        Down.released.append(lease)
        await self.store.release(lease)
        raise StoreUnavailable("down")


async def test_a_write_that_fails_gives_the_lease_back() -> None:
    Down.released = []
    store = MemoryStore()

    with pytest.raises(StoreUnavailable):
        await StoreVault(Wrapped(store, Down)).for_user("ann").hide([email("a@b.org")])
    assert len(Down.released) == 1
    assert await StoreVault(store).for_user("ann").hide([email("a@b.org")]) == ["<EMAIL_1>"]


async def test_a_user_who_was_erased_behind_the_vaults_back_is_forgotten() -> None:
    store = MemoryStore()
    ann = StoreVault(store).for_user("ann")
    await ann.hide([email("a@b.org")])
    await ann.hide([email("b@b.org")])
    other = StoreVault(store)
    await other.erase_user("ann")
    assert await ann.reveal(["<EMAIL_1>"]) == {}

    await other.for_user("ann").hide([email("c@b.org")])
    await other.for_user("ann").hide([email("d@b.org")])
    await other.for_user("ann").hide([email("e@b.org")])

    assert await ann.hide([email("a@b.org")]) == ["<EMAIL_4>"]
    assert await ann.reveal(["<EMAIL_1>"]) == {"<EMAIL_1>": "c@b.org"}


async def test_a_user_who_came_back_after_an_erasure_has_no_values_of_before() -> None:
    store = MemoryStore()
    ann = StoreVault(store).for_user("ann")
    await ann.hide([email("a@b.org")])
    other = StoreVault(store)
    await other.erase_user("ann")
    await other.for_user("ann").hide([email("c@b.org")])

    assert await ann.reveal(["<EMAIL_1>"]) == {"<EMAIL_1>": "c@b.org"}


class Meeting(Handle):
    """Lets two that read meet before they go on."""

    readers: int
    met: anyio.Event

    async def read(self, *arguments: Any, **named: Any) -> Sequence[Any]:
        found = await self.store.read(*arguments, **named)
        Meeting.readers += 1
        if Meeting.readers == 2:
            Meeting.met.set()
        if Meeting.readers > 0:
            await Meeting.met.wait()
        return found


async def test_two_tasks_that_read_the_same_record_learn_it_once() -> None:
    Meeting.readers, Meeting.met = -1_000, anyio.Event()
    store = MemoryStore()
    vault = StoreVault(Wrapped(store, Meeting))
    await vault.for_user("ann").hide([email("first@b.org")])
    await StoreVault(store).for_user("ann").hide([email("second@b.org")])

    Meeting.readers = 0
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(vault.for_user("ann").reveal, ["<EMAIL_2>"])

    assert await vault.for_user("ann").hide([email("third@b.org")]) == ["<EMAIL_3>"]


class Counting(Handle):
    """Counts the records that are read."""

    read_records = 0

    async def read(self, *arguments: Any, **named: Any) -> Sequence[Any]:
        found = await self.store.read(*arguments, **named)
        Counting.read_records += len(found)
        return found


async def test_what_is_known_is_not_read_again() -> None:
    Counting.read_records = 0
    ann = StoreVault(Wrapped(MemoryStore(), Counting)).for_user("ann")
    for number in range(50):
        await ann.hide([email(f"{number}@b.org")])
    before = Counting.read_records
    for number in range(50):
        assert await ann.hide([email(f"{number}@b.org")]) == [f"<EMAIL_{number + 1}>"]

    assert before < 300
    assert Counting.read_records - before == 50


async def test_users_that_were_not_seen_for_long_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_vault, "_CACHED", 2)
    vault = StoreVault(MemoryStore())
    for number in range(5):
        await vault.for_user(f"user-{number}").hide([email("a@b.org")])

    for number in range(5):
        assert await vault.for_user(f"user-{number}").reveal(["<EMAIL_1>"]) == {"<EMAIL_1>": "a@b.org"}


async def test_in_an_encrypted_store_no_value_can_be_read(tmp_path: Path) -> None:
    keys = MasterKeys({"m1": os.urandom(32)})
    for folder in ("plain", "sealed"):
        (tmp_path / folder).mkdir()
        store = SQLiteStore(tmp_path / folder / "vault.db")
        masker = RuleMasker(StoreVault(store if folder == "plain" else EncryptedStore(store, keys)))
        await masker.for_user("ann").mask(["ann@example.org"])
        await masker.aclose()

    assert_no_leak(tmp_path / "sealed", ["ann@example.org"])
    with pytest.raises(LeakFound):
        assert_no_leak(tmp_path / "plain", ["ann@example.org"])


async def test_the_form_of_a_record_stays() -> None:
    store = MemoryStore()
    vault = StoreVault(store)
    await vault.for_user("ann").hide([email("ä@b.org"), Private(kind="CARD", value="4111")])
    (record,) = await store.for_user("ann").read(CONVERSATION)

    assert json.loads(record.body) == {"v": 1, "new": [["EMAIL", "ä@b.org"], ["CARD", "4111"]]}
    assert repr(vault).startswith("StoreVault(")
