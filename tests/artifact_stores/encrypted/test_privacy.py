"""What is kept shows nothing, and nothing that was changed is returned."""

import json
import os
import random
import shutil
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from assistant_kit.artifact_stores._rules import place_of
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.artifact_stores.encrypted.sealing import SEGMENT
from assistant_kit.artifact_stores.folder import FolderArtifactStore
from assistant_kit.errors import StoreCorrupt
from assistant_kit.protocols.artifact_store import Artifact, ArtifactNotFound
from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.testing.conformance.artifact_store_workbench import PATIENCE
from assistant_kit.testing.no_leak import LeakFound, assert_no_leak
from tests.artifact_stores.encrypted.places import KEYS, exchange, files, in_folder, kept, rewrite

pytestmark = pytest.mark.anyio

BODY = b"The patient was seen on Tuesday. "
PRIVATE = ("patient was seen", "Ärztlicher Bericht.pdf", "application/x-private", "carla@example.org")


async def test_neither_bytes_nor_name_nor_user_are_in_any_file(tmp_path: Path) -> None:
    carla = in_folder(tmp_path / "files").for_user(PRIVATE[3])
    artifact = await carla.put(BODY * 4000, name=PRIVATE[1], media_type=PRIVATE[2])
    hidden = (*PRIVATE, artifact.sha256, str(artifact.size))

    assert assert_no_leak(tmp_path, hidden) > artifact.size
    await FolderArtifactStore(tmp_path / "plain").for_user("x").put(BODY, name=PRIVATE[1])
    with pytest.raises(LeakFound):
        assert_no_leak(tmp_path, hidden)


async def test_the_same_bytes_look_different_each_time(tmp_path: Path) -> None:
    ann = in_folder(tmp_path).for_user("ann")
    for _ in range(2):
        await ann.put(BODY, name="a")

    assert len({path.read_bytes() for path in files(tmp_path) if path.name == "bytes"}) == 5  # with one data key


async def test_each_bit_that_is_changed_is_found(tmp_path: Path) -> None:
    root, chance = tmp_path / "files", random.Random(8)
    artifact = await in_folder(root).for_user("ann").put(os.urandom(2 * SEGMENT + 100), name="a")
    (key,), (facts,), (data,) = (kept(root, kind) for kind in ("keys", "facts", "bytes"))

    async def look() -> Artifact:
        async with in_folder(root).for_user("ann").open(artifact.id) as reader:
            async for _ in reader:
                pass
            return reader.artifact

    assert await look() == artifact
    for folder, tries in ((key, 12), (facts, 12), (data, 12)):
        before = (folder / "bytes").read_bytes()
        for _ in range(tries):
            changed = bytearray(before)
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            rewrite(folder, bytes(changed))
            try:
                found = await look()
            except (StoreCorrupt, ArtifactNotFound):  # the latter where the id itself was changed
                continue
            assert (folder, found) == (key, artifact)  # a key's record has characters that say nothing: base64's last
        rewrite(folder, before)
    assert await look() == artifact


async def test_what_is_cut_off_added_or_exchanged_within_is_found(tmp_path: Path) -> None:
    ann, size = in_folder(tmp_path).for_user("ann"), 3 * SEGMENT
    artifact = await ann.put(os.urandom(size), name="a")
    (folder,) = kept(tmp_path, "bytes")
    whole, each = (folder / "bytes").read_bytes(), SEGMENT + 16
    one, two, three = (whole[start : start + each] for start in range(0, len(whole), each))

    for wrong in (b"", one, one + two, whole[:-1], whole + b"x", two + one + three, one + two + two, three):
        rewrite(folder, wrong)
        with pytest.raises(StoreCorrupt):
            await ann.read(artifact.id)
    rewrite(folder, whole)
    assert len(await ann.read(artifact.id)) == size


async def test_no_changed_byte_is_returned_before_the_change_is_found(tmp_path: Path) -> None:
    ann, body = in_folder(tmp_path).for_user("ann"), os.urandom(20 * SEGMENT)
    artifact = await ann.put(body, name="a")
    (folder,) = kept(tmp_path, "bytes")
    changed = bytearray((folder / "bytes").read_bytes())
    changed[10 * (SEGMENT + 16) + 5] ^= 1
    (folder / "bytes").write_bytes(changed)

    found = bytearray()

    async def read() -> None:
        async with ann.open(artifact.id) as reader:
            async for piece in reader:
                found.extend(piece)

    with pytest.raises(StoreCorrupt):
        await read()
    assert 0 < len(found) <= 10 * SEGMENT
    assert body.startswith(found)


@pytest.mark.parametrize("kind", ["bytes", "facts"])
@pytest.mark.parametrize("other", ["ann", "bob"])
async def test_files_that_were_exchanged_are_never_those_of_another_artifact(
    tmp_path: Path, kind: str, other: str
) -> None:
    ids = [(await in_folder(tmp_path).for_user("ann").put(BODY, name="one")).id]
    theirs = await in_folder(tmp_path).for_user(other).put(BODY[::-1], name="two")
    exchange(kept(tmp_path, kind)[0], kept(tmp_path, kind, other)[-1])

    for user, name in (("ann", ids[0]), (other, theirs.id)):
        with pytest.raises((StoreCorrupt, ArtifactNotFound)):
            await in_folder(tmp_path).for_user(user).read(name)


async def test_data_keys_are_of_their_user_alone(tmp_path: Path) -> None:
    """Who copies a user's keys and files to their own name opens nothing."""
    artifact = await in_folder(tmp_path).for_user("ann").put(BODY, name="one")
    await in_folder(tmp_path).for_user("eve").put(b"", name="hers")
    for kind in ("keys", "facts", "bytes"):
        shutil.copytree(kept(tmp_path, kind)[0], (place := kept(tmp_path, kind, "eve")[0].parent) / "copy")
        (place / "copy").rename(place / kept(tmp_path, kind)[0].name)

    eve = in_folder(tmp_path).for_user("eve")
    for ask in (eve.read(artifact.id), eve.list()):
        with pytest.raises(StoreCorrupt):
            await ask


async def test_nobody_can_be_made_to_seal_under_the_key_of_another_user(tmp_path: Path) -> None:
    await in_folder(tmp_path).for_user("ann").put(BODY, name="one")
    (key,) = kept(tmp_path, "keys")
    shutil.copytree(key.parent, tmp_path / place_of(f"keys of {place_of('eve')}"))

    with pytest.raises(StoreCorrupt):
        await in_folder(tmp_path).for_user("eve").put(BODY, name="hers")


async def test_facts_open_only_beside_their_bytes_and_under_their_id(tmp_path: Path) -> None:
    ann = in_folder(tmp_path).for_user("ann")
    one, two = await ann.put(BODY, name="one"), await ann.put(BODY, name="two")
    facts, other = kept(tmp_path, "facts")
    record, info = (facts / "bytes").read_bytes(), (facts / "info.json").read_text()

    (facts / "info.json").write_text(info.replace(json.loads(info)["name"], kept(tmp_path, "bytes")[1].name))
    for ask in (ann.info(one.id), ann.list()):
        with pytest.raises(StoreCorrupt):
            await ask
    (facts / "info.json").write_text(info)

    mark = two.id.rpartition("_")[2].encode()
    assert (other / "bytes").read_bytes()[17:28] == mark
    rewrite(facts, record[:17] + mark + record[28:])
    with pytest.raises(StoreCorrupt):
        await ann.list()


@pytest.mark.parametrize("keys", [MasterKeys({"other": bytes(32)}), MasterKeys({"old": bytes(32)})])
async def test_without_its_master_key_nothing_opens_and_nothing_is_changed(tmp_path: Path, keys: MasterKeys) -> None:
    artifact = await in_folder(tmp_path).for_user("ann").put(BODY, name="a")
    before = {path: path.read_bytes() for path in files(tmp_path)}
    ann = in_folder(tmp_path, keys).for_user("ann")

    for ask in (ann.info(artifact.id), ann.read(artifact.id), ann.list(), ann.put(b"x", name="x")):
        with pytest.raises(StoreCorrupt):
            await ask
    with pytest.raises(StoreCorrupt):
        await in_folder(tmp_path, keys).rotate("ann")

    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    assert await in_folder(tmp_path).for_user("ann").read(artifact.id) == BODY


async def test_what_was_never_encrypted_is_neither_read_nor_followed(tmp_path: Path) -> None:
    ann = in_folder(tmp_path).for_user("ann")
    artifact = await ann.put(BODY, name="a")
    await FolderArtifactStore(tmp_path).for_user("ann").put(b"clear", name="clear")
    (facts,), (key,) = kept(tmp_path, "facts"), kept(tmp_path, "keys")

    assert [each.id for each in await ann.list()] == [artifact.id]
    for wrong in (b"", b"\2" * 100, b"x" * 10_000):
        rewrite(facts, wrong)
        with pytest.raises(StoreCorrupt):
            await ann.info(artifact.id)
    for wrong in (b"", b"[]", b"{}", b'{"master": "old", "wrapped": "%"}'):
        rewrite(key, wrong)
        with pytest.raises(StoreCorrupt):
            await in_folder(tmp_path).for_user("ann").put(b"x", name="x")


async def test_an_export_is_clear_and_an_erased_user_leaves_no_file(tmp_path: Path) -> None:
    store = in_folder(tmp_path)
    bobs = await store.for_user("bob").put(BODY, name="his")
    others = files(tmp_path)
    artifact = await store.for_user("ann").put(BODY, name="a")

    (told,) = [each async for each in store.export_user("ann")]
    await store.erase_user("ann")

    assert (told.name, told.data["name"], told.data["sha256"]) == (artifact.id, "a", artifact.sha256)
    assert files(tmp_path) == others
    assert await store.for_user("bob").read(bobs.id) == BODY


async def test_what_was_erased_does_not_open_again_out_of_a_copy_without_the_keys(tmp_path: Path) -> None:
    store = in_folder(tmp_path)
    artifact = await store.for_user("ann").put(BODY, name="a")
    copies = [
        (folder, tmp_path / f"backup-{folder.name}") for kind in ("facts", "bytes") for folder in kept(tmp_path, kind)
    ]
    for folder, copy in copies:
        shutil.copytree(folder, copy)

    await store.erase_user("ann")
    for folder, copy in copies:
        shutil.copytree(copy, folder)

    for again in (store, in_folder(tmp_path)):
        with pytest.raises(StoreCorrupt):
            await again.for_user("ann").read(artifact.id)


@pytest.mark.parametrize("size", [10, 600_000])
async def test_a_put_that_is_cancelled_or_fails_leaves_no_file(tmp_path: Path, size: int) -> None:
    store = in_folder(tmp_path)
    await store.for_user("ann").put(b"x", name="x")
    before = files(tmp_path)

    async def endless(scope: anyio.CancelScope) -> AsyncIterator[bytes]:
        yield BODY * (size // len(BODY))
        scope.cancel()
        await anyio.sleep_forever()

    async def broken() -> AsyncIterator[bytes]:
        yield BODY * (size // len(BODY))
        raise ConnectionError

    with anyio.fail_after(PATIENCE):
        with anyio.CancelScope() as scope:
            await store.for_user("ann").put(endless(scope), name="a")
        with pytest.raises(ConnectionError):
            await store.for_user("ann").put(broken(), name="a")

    assert scope.cancelled_caught
    assert files(tmp_path) == before


async def test_large_artifacts_need_little_memory(tmp_path: Path) -> None:
    """Neither on its way in nor on its way out is it gathered."""
    ann, block, number = in_folder(tmp_path).for_user("ann"), os.urandom(250_000), 80

    async def much() -> AsyncIterator[bytes]:
        for _ in range(number):
            yield block

    tracemalloc.start()
    try:
        artifact = await ann.put(much(), name="large")
        read = 0
        async with ann.open(artifact.id) as reader:
            async for piece in reader:
                read += len(piece)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert artifact.size == read == number * len(block)
    assert most < artifact.size // 5


@pytest.mark.parametrize("make", [repr, str])
def test_what_it_shows_of_itself_has_no_key(make: Callable[[object], str], tmp_path: Path) -> None:
    assert make(EncryptedArtifactStore(FolderArtifactStore(tmp_path), KEYS)).count("\\x") == 0
