"""The two writes of a put, what happens between them, and what they cost."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.artifact_stores.encrypted.store import ABANDONED
from assistant_kit.artifact_stores.memory import MemoryArtifactStore
from assistant_kit.errors import StoreUnavailable
from assistant_kit.protocols.artifact_store import ArtifactNotFound
from assistant_kit.testing.conformance.artifact_store_workbench import PATIENCE, pieces_of
from tests.artifact_stores.encrypted.places import BOTH, KEYS, Meddled, in_folder, inside, kept, leave_alone, rewrite
from tests.policies.timing import LOOPS, in_virtual_time

pytestmark = pytest.mark.anyio


async def left(place: Meddled) -> dict[str, int]:
    """Return how much is kept of ann."""
    return {kind: len(await inside(place.memory, kind).list()) for kind in ("keys", "facts", "bytes")}


async def test_each_call_makes_few_requests_and_a_page_two_small_ones_for_each_artifact() -> None:
    place = Meddled()
    ann = EncryptedArtifactStore(place, KEYS).for_user("ann")
    artifact = await ann.put(b"first", name="x")

    async def asked() -> list[str]:
        made, place.requests = place.requests, []
        return made

    assert await asked() == ["list keys", "put keys", "put bytes", "put facts", "info keys"]
    await ann.put(pieces_of(b"x" * 600_000), name="x")
    assert await asked() == ["info keys", "put bytes", "put facts", "info keys"]
    await ann.info(artifact.id)
    assert await asked() == ["open facts"]
    await ann.read(artifact.id)
    assert await asked() == ["open facts", "open bytes"]
    await ann.list()
    assert await asked() == ["list facts", "open facts", "open facts"]
    await ann.list(after=artifact.id, limit=1)
    assert await asked() == ["list facts", "open facts"]
    await ann.delete(artifact.id)
    assert await asked() == ["open facts", "delete facts", "delete bytes"]


@pytest.mark.parametrize("moment", ["put bytes", "put facts", "info keys"])
async def test_who_is_erased_during_a_put_has_nothing_or_all_of_it(moment: str) -> None:
    place = Meddled()
    store = EncryptedArtifactStore(place, KEYS)
    await store.for_user("ann").put(b"x", name="before")
    seen: list[str] = []

    async def erase(kind: str, method: str) -> None:
        if f"{method} {kind}" == moment and (moment != "info keys" or "put facts" in place.requests):
            place.meddle = leave_alone
            await EncryptedArtifactStore(place.memory, KEYS).erase_user("ann")
            seen.append(moment)

    place.requests, place.meddle = [], erase
    made = await store.for_user("ann").put(b"y", name="y")

    assert seen == [moment]
    assert list(await store.for_user("ann").list()) == []
    with pytest.raises(ArtifactNotFound):
        await store.for_user("ann").read(made.id)
    assert await left(place) == {"keys": 0, "facts": 0, "bytes": 0}
    again = await store.for_user("ann").put(b"z", name="z")
    assert await store.for_user("ann").read(again.id) == b"z"


async def test_what_is_put_while_keys_are_renewed_stays() -> None:
    place = Meddled()
    store = EncryptedArtifactStore(place, BOTH)

    async def renew(kind: str, method: str) -> None:
        if (kind, method) == ("facts", "put"):
            place.meddle = leave_alone
            await EncryptedArtifactStore(place.memory, BOTH).rotate("ann")

    place.meddle = renew
    made = await store.for_user("ann").put(b"y", name="y")

    assert await store.for_user("ann").read(made.id) == b"y"


@pytest.mark.parametrize("moment", ["keys", "bytes"])
async def test_what_is_put_during_an_erasure_goes_or_stays_as_a_whole(moment: str) -> None:
    place = Meddled()
    store = EncryptedArtifactStore(place, KEYS)
    await store.for_user("ann").put(b"x", name="before")

    async def put(kind: str, method: str) -> None:
        if (kind, method) == (moment, "erase"):
            place.meddle = leave_alone
            await EncryptedArtifactStore(place.memory, KEYS).for_user("ann").put(b"y", name="y")

    place.meddle = put
    assert await store.for_user("ann").erase() == 2
    assert await left(place) == {"keys": 0, "facts": 0, "bytes": 0}


async def test_who_begins_anew_during_an_erasure_keeps_what_is_put() -> None:
    place = Meddled()
    store = EncryptedArtifactStore(place, KEYS)
    await store.for_user("ann").put(b"x", name="before")

    async def put(kind: str, method: str) -> None:
        if (kind, method) == ("facts", "list"):
            place.meddle = leave_alone
            await EncryptedArtifactStore(place.memory, KEYS).for_user("ann").put(b"y", name="y")

    place.meddle = put
    await store.for_user("ann").erase()

    for artifact in await store.for_user("ann").list():
        assert await store.for_user("ann").read(artifact.id) == b"y"


async def test_who_looks_while_a_user_is_erased_finds_nothing() -> None:
    place = Meddled()
    artifact = await EncryptedArtifactStore(place, KEYS).for_user("ann").put(b"x", name="x")

    async def erase(kind: str, method: str) -> None:
        if (kind, method) == ("keys", "list"):
            place.meddle = leave_alone
            await EncryptedArtifactStore(place.memory, KEYS).erase_user("ann")

    for _ in range(2):
        place.meddle = erase
        with pytest.raises(ArtifactNotFound) as caught:
            await EncryptedArtifactStore(place, KEYS).for_user("ann").read(artifact.id)
        assert caught.value.artifact == artifact.id


async def test_an_artifact_that_is_deleted_while_it_is_read_is_not_found() -> None:
    place = MemoryArtifactStore()
    ann = EncryptedArtifactStore(place, KEYS).for_user("ann")
    artifact = await ann.put(b"x", name="x")
    await inside(place, "bytes").erase()

    with pytest.raises(ArtifactNotFound) as caught:
        await ann.read(artifact.id)
    assert caught.value.artifact == artifact.id


async def test_an_id_of_another_mark_is_of_nothing() -> None:
    ann = EncryptedArtifactStore(MemoryArtifactStore(), KEYS).for_user("ann")
    artifact = await ann.put(b"x", name="x")
    forged = artifact.id[:-1] + ("0" if artifact.id[-1] != "0" else "1")

    for ask in (ann.info(forged), ann.read(forged)):
        with pytest.raises(ArtifactNotFound):
            await ask
    assert not await ann.delete(forged)
    assert await ann.read(artifact.id) == b"x"


async def test_what_is_damaged_can_be_deleted(tmp_path: Path) -> None:
    ann = in_folder(tmp_path).for_user("ann")
    artifact = await ann.put(b"x", name="x")
    rewrite(kept(tmp_path, "facts")[0], b"")

    assert await ann.delete(artifact.id)
    assert not await ann.delete(artifact.id)
    assert kept(tmp_path, "facts") == kept(tmp_path, "bytes") == []


async def test_who_leaves_in_the_last_step_leaves_nothing_half_done() -> None:
    place = Meddled()
    ann = EncryptedArtifactStore(place, KEYS).for_user("ann")
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:

        async def leave(kind: str, method: str) -> None:
            if (kind, method) == ("facts", "put"):
                scope.cancel()
                await anyio.lowlevel.checkpoint()

        place.meddle = leave
        await ann.put(b"x", name="x")
        await anyio.lowlevel.checkpoint()

    assert scope.cancelled_caught
    assert [each.name for each in await ann.list()] == ["x"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_place_that_does_not_answer_the_second_write_is_unavailable(loop: str) -> None:
    async def wait() -> None:
        place = Meddled()

        async def hang(kind: str, method: str) -> None:
            if (kind, method) == ("facts", "put"):
                await anyio.sleep_forever()

        place.meddle = hang
        with anyio.fail_after(PATIENCE), pytest.raises(StoreUnavailable):
            await EncryptedArtifactStore(place, KEYS).for_user("ann").put(b"x", name="x")

    in_virtual_time(loop, wait)


async def test_bytes_that_belong_to_no_artifact_are_cleared_after_a_day() -> None:
    now = 1_000_000.0
    place = MemoryArtifactStore(clock=lambda: now)
    store = EncryptedArtifactStore(place, KEYS, clock=lambda: now)
    artifact = await store.for_user("ann").put(b"x", name="x")
    await inside(place, "bytes").put(b"left behind", name="bytes")
    now += ABANDONED
    await inside(place, "bytes").put(b"young", name="bytes")
    assert await store.clear("ann") == 0

    now += 1
    assert await store.clear("ann") == 1
    assert len(await inside(place, "bytes").list()) == 2
    assert await store.for_user("ann").read(artifact.id) == b"x"
    assert await store.clear("nobody") == 0
