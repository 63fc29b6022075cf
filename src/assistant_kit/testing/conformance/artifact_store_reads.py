"""Tests of what comes back from an artifact store, page by page, and of what is deleted."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.artifact_store import ArtifactNotFound, ArtifactStore, OwnedArtifacts
from assistant_kit.testing.conformance.artifact_store_workbench import (
    NEVER_MADE,
    PATIENCE,
    ArtifactStoreWorkbench,
    read_in_pieces,
)

NO_IDS = ["", "..", "../x", "/", NEVER_MADE[:-1], NEVER_MADE.upper(), f"{NEVER_MADE}/..", f"{NEVER_MADE}\n", "\0", "ä"]


class ArtifactStoreReads(ArtifactStoreWorkbench):
    """What is kept is found, and what is deleted is gone."""

    async def test_what_was_never_put_is_not_found(self, alice: OwnedArtifacts) -> None:
        await alice.put(b"x", name="x")
        for name in [NEVER_MADE, *NO_IDS]:
            for look in (alice.info, alice.read):
                with pytest.raises(ArtifactNotFound) as caught:
                    await look(name)
                assert caught.value.artifact == name
            with pytest.raises(ArtifactNotFound):
                await read_in_pieces(alice, name)
            assert not await alice.delete(name)
        assert len(await alice.list()) == 1

    async def test_pages_follow_each_other_in_the_order_of_ids(self, alice: OwnedArtifacts) -> None:
        ids = sorted([(await alice.put(b"x", name=f"{n}")).id for n in range(7)])

        assert [each.id for each in await alice.list()] == ids
        assert [each.id for each in await alice.list(limit=3)] == ids[:3]
        assert [each.id for each in await alice.list(after=ids[2], limit=3)] == ids[3:6]
        assert [each.id for each in await alice.list(after=ids[5], limit=3)] == ids[6:]
        assert list(await alice.list(after=ids[6])) == []
        assert [each.id for each in await alice.list(after="a")] == ids
        assert list(await alice.list(after="b/../x")) == []

    async def test_a_page_of_nothing_is_refused(self, alice: OwnedArtifacts) -> None:
        for limit in (0, -1):
            with pytest.raises(InputError):
                await alice.list(limit=limit)

    async def test_a_deleted_artifact_is_gone_and_others_stay(self, stores: Sequence[ArtifactStore]) -> None:
        here, there = (store.for_user("alice") for store in stores)
        one, other = await here.put(b"1", name="1"), await here.put(b"2", name="2")

        assert await there.delete(one.id)
        assert not await here.delete(one.id)

        assert [each.id for each in await here.list()] == [other.id]
        for owned in (here, there):
            with pytest.raises(ArtifactNotFound):
                await owned.read(one.id)
            assert await owned.read(other.id) == b"2"

    async def test_an_artifact_outlives_its_store(self, stores: Sequence[ArtifactStore], tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("this store ends with its object")
        artifact = await stores[0].for_user("alice").put(b"x" * 300_000, name="x", media_type="text/plain")
        for store in stores:
            await store.aclose()

        later = await self.open_store(tmp_path)
        try:
            assert await read_in_pieces(later.for_user("alice"), artifact.id) == (artifact, b"x" * 300_000)
        finally:
            with anyio.fail_after(PATIENCE, shield=True):
                await later.aclose()

    async def test_many_put_and_read_at_once(self, alice: OwnedArtifacts, bob: OwnedArtifacts) -> None:
        async def work(owned: OwnedArtifacts, number: int) -> None:
            artifact = await owned.put(b"%d" % number * 1000, name=f"{number}")
            assert await owned.read(artifact.id) == b"%d" % number * 1000
            if number % 2:
                assert await owned.delete(artifact.id)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for number in range(12):
                    group.start_soon(work, alice, number)
                    group.start_soon(work, bob, number)

        for owned in (alice, bob):
            assert sorted(int(each.name) for each in await owned.list()) == [0, 2, 4, 6, 8, 10]

    async def test_a_reader_may_leave_early(self, alice: OwnedArtifacts) -> None:
        artifact = await alice.put(b"x" * 600_000, name="x")
        async with alice.open(artifact.id) as reader:
            async for piece in reader:
                assert piece
                break

        assert await alice.delete(artifact.id)
