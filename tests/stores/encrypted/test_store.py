import os
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from assistant_kit.audit import verify
from assistant_kit.errors import (
    InputError,
    LeaseLost,
    StoreBusy,
)
from assistant_kit.protocols.store import Append, Lease, Record, Store
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys, key_ring
from assistant_kit.stores.encrypted import store as encrypted_store
from assistant_kit.stores.encrypted.key_ring import RING
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.testing.conformance.store import StoreConformance, TransactionConformance
from assistant_kit.transfer import export_user, import_lines
from tests.stores.encrypted.sealing import (
    KEYS,
    NEW,
    OLD,
    bodies,
    changed,
    failure,
    flipped,
    interrupted,
    new,
    ring_of,
    three,
    write,
    writing,
)

pytestmark = pytest.mark.anyio


class TestEncryptedMemory(StoreConformance, TransactionConformance):
    now = 1_000_000.0

    async def open_store(self, folder: Path) -> EncryptedStore:  # noqa: ARG002  (memory has no place)
        return EncryptedStore(MemoryStore(clock=lambda: self.now), KEYS)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def put(self, connection: dict[str, list[str]], name: str) -> None:
        connection.setdefault("names", []).append(name)

    async def put_names(self, store: Store) -> Sequence[str]:
        assert isinstance(store, EncryptedStore)
        assert isinstance(store.kept, MemoryStore)
        return store.kept.tables.get("names", [])


async def test_nothing_that_was_said_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    store = EncryptedStore(SQLiteStore(path, audit=True), KEYS)
    user = store.for_user("u")
    lease = await user.claim("c", owner="w", ttl=60, begin=new("t1", b"canary of a claim"))
    await user.append(replace(writing(lease, 1, new("r2", b"canary of an append")), release=False))

    async def work(_: object) -> Append:
        return writing(lease, 2, new("r3", b"canary of a transaction"))

    await user.transact(lease, work)
    await user.rename("c", "canary of a title")
    await user.fork("c", "d", at=2)
    assert await bodies(store, "d") == [b"canary of a claim", b"canary of an append"]

    def raw() -> bytes:
        return b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))

    assert b"canary" not in raw()
    assert b"t1" in raw()
    await store.aclose()
    assert b"canary" not in raw()
    keys = [bytes(key) for key in (OLD,)]
    assert not any(key in raw() for key in keys)


async def test_what_was_written_is_read_after_a_restart() -> None:
    kept = MemoryStore()
    await write(EncryptedStore(kept, KEYS))
    await EncryptedStore(kept, KEYS).for_user("u").rename("c", "title")

    again = EncryptedStore(kept, MasterKeys({"m1": OLD}))

    assert await bodies(again) == [b"secret"]
    assert [info.title for info in await again.for_user("u").conversations()] == ["title"]


@pytest.mark.parametrize("master", [{"m1": NEW}, {"m2": OLD}], ids=["another key", "another name"])
async def test_a_wrong_master_key_opens_nothing_and_changes_nothing(master: dict[str, bytes]) -> None:
    kept = MemoryStore()
    await write(EncryptedStore(kept, KEYS))
    await EncryptedStore(kept, KEYS).for_user("u").rename("c", "title")
    before = await kept.for_user("u").conversations()
    wrong = EncryptedStore(kept, MasterKeys(master))
    user = wrong.for_user("u")
    lease = await kept.for_user("u").claim("c", owner="w", ttl=60)

    assert await failure(lambda: user.read("c")) == ("c", 1)
    assert await failure(user.conversations) == ("c", None)
    assert await failure(lambda: user.claim("c", owner="w", ttl=60)) == ("c", None)
    assert await failure(lambda: user.append(writing(lease, 1, new("r2")))) == ("c", None)
    assert await failure(lambda: user.rename("c", "other")) == ("c", None)
    assert await failure(lambda: wrong.rotate("u")) == (RING, None)

    await kept.for_user("u").release(lease)
    assert await kept.for_user("u").conversations() == before
    assert await bodies(EncryptedStore(kept, KEYS)) == [b"secret"]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "version": lambda body: flipped(body, 0),
    "key": lambda body: flipped(body, 1),
    "key end": lambda body: flipped(body, 8),
    "nonce": lambda body: flipped(body, 9),
    "nonce end": lambda body: flipped(body, 32),
    "text": lambda body: flipped(body, 33),
    "tag": lambda body: flipped(body, len(body) - 1),
    "cut": lambda body: body[:-1],
    "longer": lambda body: body + b"\0",
    "short": lambda body: body[:20],
    "none": lambda _: b"",
    "plain": lambda _: b'{"v":1,"kind":"turn_started","turn":"t","input":{},"counter":"upper_bound"}',
}


@pytest.mark.parametrize("how", CHANGES)
async def test_a_changed_body_is_not_opened_and_its_place_is_said(how: str) -> None:
    change = CHANGES[how]
    kept = MemoryStore()
    await three(kept)

    def second(conversation: str, records: Sequence[Record]) -> Sequence[Record]:
        if conversation == RING:
            return records
        return [replace(record, body=change(record.body)) if record.seq == 2 else record for record in records]

    store = changed(kept, second).for_user("u")

    assert await failure(lambda: store.read("c")) == ("c", 2)
    assert [record.body for record in await store.read("c", after=2)] == [b"three"]


@pytest.mark.parametrize("field", ["record_id", "kind", "body"])
async def test_records_that_were_exchanged_are_not_opened(field: str) -> None:
    kept = MemoryStore()
    await three(kept)
    other = (await kept.for_user("u").read("c"))[2]
    value = {"record_id": other.record_id, "kind": "other", "body": other.body}[field]

    def swapped(conversation: str, records: Sequence[Record]) -> Sequence[Record]:
        if conversation == RING:
            return records
        return [replace(record, **{field: value}) if record.seq == 1 else record for record in records]

    assert await failure(lambda: changed(kept, swapped).for_user("u").read("c")) == ("c", 1)


async def test_a_record_of_one_user_does_not_open_for_another() -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    await write(store, user="mine")
    await write(store, user="theirs")
    theirs = (await kept.for_user("theirs").read("c"))[0]
    their_ring = (await kept.for_user("theirs").read(RING))[0]

    def foreign(conversation: str, records: Sequence[Record]) -> Sequence[Record]:
        return records if conversation == RING else [theirs]

    def with_ring(conversation: str, _: Sequence[Record]) -> Sequence[Record]:
        return [their_ring] if conversation == RING else [theirs]

    for change in (foreign, with_ring):
        assert await failure(lambda change=change: changed(kept, change).for_user("mine").read("c")) == ("c", 1)


@pytest.mark.parametrize("title", ["plain", "AAAA", "ü", ""])
async def test_a_changed_title_is_not_shown(title: str) -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    await write(store)
    await store.for_user("u").rename("c", "title")
    await kept.for_user("u").rename("c", title)

    if title:
        assert await failure(store.for_user("u").conversations) == ("c", None)
    else:
        assert [info.title for info in await store.for_user("u").conversations()] == [""]


async def test_titles_that_were_exchanged_are_not_shown() -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    await write(store, "c")
    await write(store, "d")
    await store.for_user("u").rename("c", "title")
    (sealed,) = [info.title for info in await kept.for_user("u").conversations() if info.title]
    await kept.for_user("u").rename("d", sealed)

    assert await failure(store.for_user("u").conversations) == ("d", None)


@pytest.mark.parametrize("letters", [2949, 2950, 2951, 4000])
async def test_a_title_may_be_as_long_as_it_can_be_packed(letters: int) -> None:
    store = EncryptedStore(MemoryStore(), KEYS)
    await write(store)
    user = store.for_user("u")

    await user.rename("c", "x" * letters)

    assert [info.title for info in await user.conversations()] == ["x" * letters]


async def test_a_title_that_cannot_be_packed_is_refused() -> None:
    store = EncryptedStore(MemoryStore(), KEYS)
    await write(store)
    user = store.for_user("u")
    await user.rename("c", "good")

    with pytest.raises(InputError):
        await user.rename("c", b64encode(os.urandom(3000)).decode())

    assert [info.title for info in await user.conversations()] == ["good"]


async def test_equal_texts_are_sealed_differently() -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    for _ in range(20):
        await write(store, body=b"yes")
    sealed = [record.body for record in await kept.for_user("u").read("c")]

    assert len(set(sealed)) == len({body[9:33] for body in sealed}) == 20
    assert {len(body) for body in sealed} == {3 + 49}


async def test_the_conversation_of_the_keys_is_out_of_reach() -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    user = store.for_user("u")
    await write(store)
    lease = Lease(conversation=RING, owner="w", fence=1, seq=1, at=0.0)

    async def work(_: object) -> Append:
        return writing(lease, 1)

    for use in (
        lambda: user.claim(RING, owner="w", ttl=60),
        lambda: user.renew(lease, ttl=60),
        lambda: user.release(lease),
        lambda: user.append(writing(lease, 1)),
        lambda: user.transact(lease, work),
        lambda: user.read(RING),
        lambda: user.locate(RING, "keys-1"),
        lambda: user.rename(RING, "title"),
        lambda: user.fork(RING, "new", at=1),
        lambda: user.fork("c", RING, at=1),
        lambda: user.rewind(lease, to=0),
        lambda: user.delete(RING),
    ):
        with pytest.raises(InputError):
            await cast("Callable[[], Awaitable[object]]", use)()
    assert [info.conversation for info in await user.conversations()] == ["c"]
    assert len(await ring_of(kept)) == 1


async def test_the_conversation_of_the_keys_is_in_no_list() -> None:
    kept = MemoryStore()
    store = EncryptedStore(kept, KEYS)
    for user in ("a", "b", "c"):
        await write(store, user=user)
    for user in ("a", "c"):
        await kept.for_user(user).release(await kept.for_user(user).claim(RING, owner="w", ttl=60, begin=new("x")))
    user = store.for_user("b")
    await user.release(await user.claim("open", owner="w", ttl=60, begin=new("t")))

    assert len(await kept.unfinished()) == 3
    assert [found.conversation for found in await store.unfinished(limit=1)] == ["open"]
    assert [found.conversation for found in await store.unfinished()] == ["open"]
    assert [info.conversation for info in await user.conversations(limit=1)] == ["open"]
    assert [info.conversation for info in await user.conversations(limit=9)] == ["open", "c"]


async def test_users_are_those_who_have_something_besides_their_keys() -> None:
    store = EncryptedStore(MemoryStore(), KEYS)
    for user in ("a", "b", "c", "d", "e"):
        await write(store, user=user)
    for user in ("a", "b", "d"):
        await store.for_user(user).delete("c")

    assert await store.users(limit=1) == ["c"]
    assert await store.users(limit=2) == ["c", "e"]
    assert await store.users(after="c") == ["e"]


async def test_a_user_with_an_audit_chain_is_listed() -> None:
    store = EncryptedStore(MemoryStore(audit=True), KEYS)
    await write(store)
    await store.for_user("u").delete("c")

    assert await store.users() == ["u"]


async def test_an_audit_chain_verifies_without_any_key() -> None:
    kept = MemoryStore(audit=True)
    store = EncryptedStore(kept, KEYS)
    await three(kept)
    await store.for_user("u").rename("c", "title")
    await store.for_user("u").fork("c", "d", at=1)

    by_wrapper, by_kept = await verify(store.for_user("u")), await verify(kept.for_user("u"))

    assert by_wrapper == by_kept
    assert (by_kept.ok, by_kept.conversations, by_kept.records) == (True, 3, 5)


async def test_exports_are_plain_and_imports_are_sealed() -> None:
    kept = MemoryStore()
    store, other = EncryptedStore(MemoryStore(), KEYS), EncryptedStore(kept, MasterKeys({"m2": NEW}))
    await write(store, body=b'{"a":1}')
    await store.for_user("u").rename("c", "title")

    lines = [line async for line in export_user(store.for_user("u"))]
    assert await import_lines(other.for_user("u"), lines) == ["c"]
    assert await import_lines(other.for_user("u"), lines) == ["c"]

    assert '"entry":{"a":1}' in lines[2]
    assert await bodies(other) == [b'{"a":1}']
    assert (await kept.for_user("u").read("c"))[0].body != b'{"a":1}'


async def test_a_lease_that_another_process_took_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypted_store, "_LEASES", 1)
    kept = MemoryStore()
    one, two = EncryptedStore(kept, KEYS), EncryptedStore(kept, KEYS)
    lease = await one.for_user("u").claim("c", owner="w", ttl=60)
    await write(one, "other")

    await one.for_user("u").append(replace(writing(lease, 0, new("r1")), release=False))
    await two.for_user("u").append(replace(writing(lease, 1, new("r2")), release=False))
    await two.for_user("u").erase()

    with pytest.raises(LeaseLost):
        await two.for_user("u").append(writing(lease, 2, new("r3")))
    assert not await kept.users()


async def test_keys_of_many_users_are_read_again_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "_CACHED", 2)
    store = EncryptedStore(MemoryStore(), KEYS)
    leases = [await store.for_user(f"u{n}").claim("c", owner="w", ttl=60) for n in range(5)]

    for n, lease in enumerate(leases):
        await store.for_user(f"u{n}").append(writing(lease, 0, new("r1", b"%d" % n)))

    for n in range(5):
        assert await bodies(store, user=f"u{n}") == [b"%d" % n]


async def test_a_claim_whose_keys_cannot_be_looked_at_leaves_no_lease() -> None:
    kept = MemoryStore()

    async def fail() -> None:
        raise StoreBusy("busy")

    store, before = interrupted(kept)
    await write(store)
    before.acts["read", 1] = fail

    with pytest.raises(StoreBusy):
        await store.for_user("u").claim("c", owner="w", ttl=60)

    await kept.for_user("u").claim("c", owner="other", ttl=60)


async def test_a_store_says_nothing_of_its_keys() -> None:
    store = EncryptedStore(MemoryStore(), KEYS)
    await store.open()
    await write(store)

    shown = repr(store) + repr(KEYS) + repr(store.for_user("u"))

    assert "m1" in repr(KEYS)
    assert OLD.hex() not in shown
    assert repr(OLD) not in shown
    await store.aclose()
