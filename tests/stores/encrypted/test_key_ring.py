import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import (
    ConversationBusy,
    ConversationNotFound,
    LeaseLost,
    StoreBusy,
)
from assistant_kit.protocols.key_provider import WrappedKey
from assistant_kit.protocols.store import Record
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys, key_ring
from assistant_kit.stores.encrypted.key_ring import RING
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from tests.stores.encrypted.sealing import (
    KEYS,
    NEW,
    OLD,
    bodies,
    changed,
    erase_and_begin_anew,
    failure,
    interrupted,
    new,
    ring_of,
    three,
    write,
    writing,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "ring",
    [
        b"x",
        b"[]",
        b'{"v":1}',
        b'{"v":2,"keys":[]}',
        b'{"v":1,"keys":[1]}',
        b'{"v":1,"keys":[{"id":"x","master":"m1","wrapped":""}]}',
        b'{"v":1,"keys":[{"id":"00","master":"m1","wrapped":"AAAA"}]}',
    ],
)
async def test_data_keys_that_were_damaged_are_not_used(ring: bytes) -> None:
    kept = MemoryStore()
    await three(kept)

    def damaged(conversation: str, records: Sequence[Record]) -> Sequence[Record]:
        return [replace(record, body=ring) for record in records] if conversation == RING else records

    assert await failure(lambda: changed(kept, damaged).for_user("u").read("c")) == ("c", 1)


async def test_data_keys_that_are_gone_open_nothing() -> None:
    kept = MemoryStore()
    await three(kept)
    await kept.for_user("u").delete(RING)

    assert await failure(lambda: EncryptedStore(kept, KEYS).for_user("u").read("c")) == ("c", 1)


async def test_workers_that_begin_at_once_share_one_key(tmp_path: Path) -> None:
    stores = [EncryptedStore(SQLiteStore(tmp_path / "chat.db"), KEYS) for _ in range(5)]

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for n, store in enumerate(stores):
                tasks.start_soon(write, store, f"c{n}")

        assert [len(keys) for keys in await ring_of(stores[0].kept)] == [1]
        for reader in stores:
            for n in range(5):
                assert await bodies(reader, f"c{n}") == [b"secret"]
            await reader.aclose()


async def test_who_finds_another_making_the_key_waits_for_it() -> None:
    kept = MemoryStore()
    other = EncryptedStore(kept, KEYS)
    store, _ = interrupted(kept, {("claim", 1): lambda: write(other, "first")})

    await write(store)

    assert len(await ring_of(kept)) == 1
    assert await bodies(other) == [b"secret"]


async def test_a_key_that_nobody_finishes_making_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "_PAUSE", 0.0)
    kept = MemoryStore()
    await kept.for_user("u").claim(RING, owner="dead", ttl=1000)

    with anyio.fail_after(30), pytest.raises(StoreBusy):
        await write(EncryptedStore(kept, KEYS))


async def test_what_is_written_after_an_erasure_elsewhere_can_be_read_by_all() -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    await write(store)
    await store.for_user("u").rename("c", "old")
    await erase_and_begin_anew(kept)

    lease = await store.for_user("u").claim("c", owner="w", ttl=60, begin=new("t", b"began"))
    await store.for_user("u").append(writing(lease, 2, new("r", b"went on")))
    await store.for_user("u").rename("c", "new")

    assert (lease.begun, lease.seq, lease.open_turn) == (True, 2, 2)
    for reader in (store, EncryptedStore(kept, KEYS)):
        assert await bodies(reader) == [b"anew", b"began", b"went on"]
        assert [info.title for info in await reader.for_user("u").conversations()] == ["new"]


@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("call", [("claim", 1), ("read", 1), ("append", 1), ("read", 2), ("rename", 1), ("read", 3)])
async def test_an_erasure_at_any_moment_leaves_nothing_that_cannot_be_read(
    call: tuple[str, int], *, anew: bool
) -> None:
    kept = MemoryStore()
    store, before = interrupted(kept)
    await write(store)
    other = EncryptedStore(kept, KEYS)
    before.acts[call] = (lambda: erase_and_begin_anew(kept)) if anew else (lambda: other.for_user("u").erase())
    user = store.for_user("u")

    with suppress(LeaseLost, ConversationNotFound):
        lease = await user.claim("c", owner="w", ttl=60, begin=new("t"))
        await user.append(writing(lease, lease.seq, new("r")))
        await user.rename("c", "title")

    assert not before.acts
    reader = EncryptedStore(kept, KEYS)
    for info in await reader.for_user("u").conversations():
        assert set(await bodies(reader, info.conversation)) <= {b"secret", b"anew"}
    assert list(await reader.users()) == list(await kept.users())


async def test_a_lease_that_another_process_took_after_an_erasure_is_written_under_the_new_keys() -> None:
    kept = MemoryStore()
    one, two = EncryptedStore(kept, KEYS), EncryptedStore(kept, KEYS)
    await write(one)
    await two.for_user("u").erase()
    lease = await two.for_user("u").claim("c", owner="w", ttl=60)

    await one.for_user("u").append(writing(lease, 0, new("r1", b"anew")))

    assert await bodies(two) == [b"anew"]


async def test_a_rotation_wraps_all_keys_anew_and_makes_one_for_what_follows() -> None:
    kept = MemoryStore()
    await write(EncryptedStore(kept, KEYS), body=b"before")
    both = EncryptedStore(kept, MasterKeys({"m2": NEW, "m1": OLD}))
    await write(both, body=b"between")

    await both.rotate("u")
    await write(both, body=b"after")

    assert [[key["master"] for key in ring] for ring in await ring_of(kept)] == [["m1"], ["m2", "m2"]]
    only_new = EncryptedStore(kept, MasterKeys({"m2": NEW}))
    assert await bodies(only_new) == [b"before", b"between", b"after"]
    used = [record.body[1:9].hex() for record in await kept.for_user("u").read("c")]
    ring = (await ring_of(kept))[-1]
    assert used == [ring[0]["id"], ring[0]["id"], ring[1]["id"]]


async def test_other_workers_notice_a_rotation() -> None:
    kept = MemoryStore()
    one, two = EncryptedStore(kept, KEYS), EncryptedStore(kept, KEYS)
    await write(one)
    held = await two.for_user("u").claim("held", owner="w", ttl=60)
    assert await bodies(two) == [b"secret"]

    await one.rotate("u")
    await write(one, body=b"after")
    await two.for_user("u").append(writing(held, 0, new("r1", b"under the key before")))

    assert await bodies(two) == [b"secret", b"after"]
    assert await bodies(one, "held") == [b"under the key before"]


async def test_a_user_without_keys_is_not_given_any_by_a_rotation() -> None:
    kept = MemoryStore()

    await EncryptedStore(kept, KEYS).rotate("u")

    assert not await kept.users()


async def test_two_rotations_at_once_lose_no_key() -> None:
    kept = MemoryStore()
    other = EncryptedStore(kept, KEYS)
    await write(other)

    async def rotate_and_write() -> None:
        await other.rotate("u")
        await write(other, body=b"between")

    store, _ = interrupted(kept, {("claim", 1): rotate_and_write})
    await store.rotate("u")

    assert [len(ring) for ring in await ring_of(kept)] == [1, 2, 3]
    assert await bodies(EncryptedStore(kept, KEYS)) == [b"secret", b"between"]
    await kept.for_user("u").claim(RING, owner="dead", ttl=60)
    with pytest.raises(ConversationBusy):
        await store.rotate("u")


async def test_a_rotation_of_a_user_who_is_erased_meanwhile_does_nothing() -> None:
    kept = MemoryStore()
    await write(EncryptedStore(kept, KEYS))
    store, _ = interrupted(kept, {("claim", 1): kept.for_user("u").erase})

    await store.rotate("u")

    assert not await ring_of(kept)


async def test_erasing_a_user_erases_the_keys() -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    await write(store)

    assert await store.for_user("u").erase() == 1

    assert not await kept.users()
    assert await store.for_user("u").erase() == 0


class Service:
    """A key management service: it keeps keys to itself and may fail."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, bytes], bytes] = {}
        self.calls = 0

    async def wrap(self, key: bytes, *, context: str) -> WrappedKey:
        self.calls += 1
        handle = os.urandom(16)
        self.keys[context, handle] = key
        return WrappedKey(master="service", data=handle)

    async def unwrap(self, wrapped: WrappedKey, *, context: str) -> bytes:
        self.calls += 1
        return self.keys[context, wrapped.data]


async def test_a_key_management_service_is_asked_once_for_a_user() -> None:
    service = Service()
    kept = MemoryStore()
    store = EncryptedStore(kept, service)
    for _ in range(5):
        await write(store)

    assert await bodies(store) == [b"secret"] * 5
    assert service.calls == 2  # one to wrap, one to unwrap
    assert [context.endswith(" of u") for context, _ in service.keys] == [True]
    service.keys = dict.fromkeys(service.keys, b"short")
    assert await failure(lambda: EncryptedStore(kept, service).for_user("u").read("c")) == ("c", 1)
    service.keys = {}
    assert await failure(lambda: EncryptedStore(kept, service).for_user("u").read("c")) == ("c", 1)
