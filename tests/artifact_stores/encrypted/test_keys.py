"""Data keys: made once, found by all workers, renewed, and gone with their user."""

from pathlib import Path

import pytest

from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore, user_keys
from assistant_kit.errors import StoreCorrupt
from assistant_kit.protocols.key_provider import WrappedKey
from assistant_kit.stores.encrypted import MasterKeys
from tests.artifact_stores.encrypted.places import (
    BOTH,
    KEYS,
    ONLY_NEW,
    Meddled,
    files,
    in_folder,
    inside,
    kept,
    leave_alone,
)

pytestmark = pytest.mark.anyio


class Counted:
    """Master keys that count how often they are asked; `key_bytes` is the length of what they give back."""

    def __init__(self, keys: MasterKeys, key_bytes: int = 32) -> None:
        self.asked: list[str] = []
        self._keys = keys
        self._key_bytes = key_bytes

    async def wrap(self, key: bytes, *, context: str) -> WrappedKey:
        self.asked.append("wrap")
        return await self._keys.wrap(key, context=context)

    async def unwrap(self, wrapped: WrappedKey, *, context: str) -> bytes:
        self.asked.append("unwrap")
        return (await self._keys.unwrap(wrapped, context=context))[: self._key_bytes]


async def test_master_keys_are_asked_once_for_a_user(tmp_path: Path) -> None:
    here, there = Counted(KEYS), Counted(KEYS)
    store = EncryptedArtifactStore(in_folder(tmp_path).kept, here)
    ids = [(await store.for_user("ann").put(b"x", name="x")).id for _ in range(3)]
    later = EncryptedArtifactStore(in_folder(tmp_path).kept, there).for_user("ann")
    for name in ids:
        await later.read(name)
    assert len(await later.list()) == 3
    await later.put(b"x", name="x")

    assert (here.asked, there.asked) == (["wrap"], ["unwrap", "unwrap"])
    assert len(kept(tmp_path, "keys")) == 1


async def test_after_rotating_the_old_master_key_is_not_needed(tmp_path: Path) -> None:
    before = await in_folder(tmp_path).for_user("ann").put(b"before", name="a")
    both = in_folder(tmp_path, BOTH)
    between = await both.for_user("ann").put(b"between", name="b")
    with pytest.raises(StoreCorrupt):
        await in_folder(tmp_path, ONLY_NEW).for_user("ann").list()

    await both.rotate("ann")

    ann = in_folder(tmp_path, ONLY_NEW).for_user("ann")
    after = await ann.put(b"after", name="c")
    assert list(await ann.list()) == [before, between, after]
    assert [await ann.read(each.id) for each in (before, between, after)] == [b"before", b"between", b"after"]
    with pytest.raises(StoreCorrupt):
        await in_folder(tmp_path).for_user("ann").read(before.id)


async def test_others_seal_under_the_new_key_as_soon_as_there_is_one(tmp_path: Path) -> None:
    here, there = in_folder(tmp_path, BOTH), in_folder(tmp_path, BOTH)
    for store in (here, there):
        await store.for_user("ann").put(b"x", name="x")
    await here.rotate("ann")
    await there.for_user("ann").put(b"x", name="x")

    used = [(folder / "bytes").read_bytes()[1:17] for folder in kept(tmp_path, "facts")]
    assert used[0] == used[1] != used[2]
    for store in (here, there, in_folder(tmp_path, ONLY_NEW)):
        assert len(await store.for_user("ann").list()) == 3


async def test_rotating_may_be_repeated_and_makes_nothing_for_who_has_nothing(tmp_path: Path) -> None:
    store = in_folder(tmp_path, BOTH)
    artifact = await store.for_user("ann").put(b"x", name="x")
    for _ in range(3):
        await store.rotate("ann")
    await store.rotate("nobody")

    assert len(kept(tmp_path, "keys")) == 4
    assert kept(tmp_path, "keys", "nobody") == []
    assert await in_folder(tmp_path, ONLY_NEW).for_user("ann").read(artifact.id) == b"x"


async def test_a_key_of_another_length_is_none(tmp_path: Path) -> None:
    await in_folder(tmp_path).for_user("ann").put(b"x", name="x")
    with pytest.raises(StoreCorrupt):
        await EncryptedArtifactStore(in_folder(tmp_path).kept, Counted(KEYS, 16)).for_user("ann").list()


async def test_only_so_many_users_are_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_keys, "_CACHED", 2)
    keys = Counted(KEYS)
    store = EncryptedArtifactStore(in_folder(tmp_path).kept, keys)
    for user in ("ann", "bob", "carl", "ann", "carl"):
        await store.for_user(user).put(b"x", name="x")

    assert keys.asked == ["wrap", "wrap", "wrap", "unwrap"]


async def test_a_key_that_is_renewed_while_it_is_read_is_read_again() -> None:
    """Between the list of keys and the reading of one, another worker may put another copy in its place."""
    place = Meddled()
    artifact = await EncryptedArtifactStore(place, KEYS).for_user("ann").put(b"x", name="x")

    async def renew_once(kind: str, method: str) -> None:
        if (kind, method) == ("keys", "read"):
            place.meddle = leave_alone
            await EncryptedArtifactStore(place, BOTH).rotate("ann")

    place.meddle = renew_once
    assert await EncryptedArtifactStore(place, BOTH).for_user("ann").read(artifact.id) == b"x"
    place.meddle = renew_once
    other = await EncryptedArtifactStore(place, BOTH).for_user("ann").put(b"y", name="y")
    place.meddle = renew_once
    await EncryptedArtifactStore(place, BOTH).rotate("ann")  # two at once

    ann = EncryptedArtifactStore(place, ONLY_NEW).for_user("ann")
    assert [each.id for each in await ann.list()] == [artifact.id, other.id]


@pytest.mark.parametrize("moment", ["put", "delete"])
async def test_a_key_is_not_brought_back_by_who_renews_it_while_its_user_is_erased(moment: str) -> None:
    place = Meddled()
    await EncryptedArtifactStore(place, KEYS).for_user("ann").put(b"x", name="x")
    (old,) = [each.name for each in await inside(place.memory, "keys").list()]

    async def erase(kind: str, method: str) -> None:
        if (kind, method) == ("keys", moment):
            place.meddle = leave_alone
            await EncryptedArtifactStore(place, KEYS).erase_user("ann")

    place.meddle = erase
    await EncryptedArtifactStore(place, BOTH).rotate("ann")

    assert old not in [each.name for each in await inside(place.memory, "keys").list()]
    assert list(await EncryptedArtifactStore(place, KEYS).for_user("ann").list()) == []


@pytest.mark.parametrize("damaged", [False, True])
async def test_a_data_key_that_is_lost_is_said(tmp_path: Path, *, damaged: bool) -> None:
    artifact = await in_folder(tmp_path).for_user("ann").put(b"x", name="x")
    (key,) = kept(tmp_path, "keys")
    (key / "bytes").unlink()
    if not damaged:
        (key / "info.json").unlink()
        key.rmdir()
    ann = in_folder(tmp_path).for_user("ann")

    for ask in (ann.info(artifact.id), ann.list()):
        with pytest.raises(StoreCorrupt):
            await ask
    if damaged:
        with pytest.raises(StoreCorrupt):
            await ann.put(b"y", name="y")
    assert await ann.delete(artifact.id)
    await in_folder(tmp_path).erase_user("ann")
    assert files(tmp_path) == []
