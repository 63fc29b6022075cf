"""Tests of what keeps users apart, and of what is told and forgotten of one."""
# ruff: noqa: D102, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import base64
from collections.abc import Sequence

import anyio
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.artifact_store import ArtifactNotFound, ArtifactStore, OwnedArtifacts
from assistant_kit.protocols.user_data import Keeper, UserData
from assistant_kit.testing.conformance.artifact_store_workbench import (
    BAD_USERS,
    PATIENCE,
    ArtifactStoreWorkbench,
    read_in_pieces,
)
from assistant_kit.testing.conformance.index_isolation import LIKE_NAMES


class ArtifactStoreIsolation(ArtifactStoreWorkbench):
    """A foreign artifact behaves as one that does not exist, in every method."""

    async def test_a_foreign_artifact_cannot_be_read_or_deleted(
        self, alice: OwnedArtifacts, bob: OwnedArtifacts
    ) -> None:
        artifact = await alice.put(b"hers", name="x")

        for look in (bob.info, bob.read):
            with pytest.raises(ArtifactNotFound):
                await look(artifact.id)
        with pytest.raises(ArtifactNotFound):
            await read_in_pieces(bob, artifact.id)
        assert list(await bob.list()) == []
        assert not await bob.delete(artifact.id)
        assert await bob.erase() == 0

        assert await alice.read(artifact.id) == b"hers"

    async def test_users_whose_names_look_alike_are_kept_apart(self, store: ArtifactStore) -> None:
        users = [store.for_user(name) for name in [*LIKE_NAMES, "..", ".", "/", "c\\..", "c/../c", ".unfinished"]]
        for number, owned in enumerate(users):
            await owned.put(b"", name=f"{number}")

        for number, owned in enumerate(users):
            assert [each.name for each in await owned.list()] == [f"{number}"]
            assert await owned.erase() == 1
        for owned in users:
            assert list(await owned.list()) == []

    async def test_a_handle_made_anew_reaches_the_same_artifacts(self, stores: Sequence[ArtifactStore]) -> None:
        artifact = await stores[0].for_user("alice").put(b"x", name="x")

        assert list(await stores[1].for_user("alice").list()) == [artifact]

    async def test_users_that_cannot_be_kept_are_refused(self, store: ArtifactStore) -> None:
        for user in BAD_USERS:
            with pytest.raises(InputError):
                store.for_user(user)

    async def test_an_erased_user_has_nothing_and_may_begin_anew(self, stores: Sequence[ArtifactStore]) -> None:
        here, bob = stores[0].for_user("alice"), stores[1].for_user("bob")
        ids = [(await here.put(b"x", name="x")).id for _ in range(3)]
        kept = await bob.put(b"his", name="x")

        await stores[1].erase_user("alice")
        await stores[0].erase_user("alice")

        assert list(await here.list()) == []
        for name in ids:
            with pytest.raises(ArtifactNotFound):
                await here.info(name)
        assert await bob.read(kept.id) == b"his"
        new = await here.put(b"new", name="new")
        assert list(await stores[1].for_user("alice").list()) == [new]

    async def test_what_is_put_while_a_user_is_erased_is_there_whole_or_not(self, alice: OwnedArtifacts) -> None:
        async def put() -> None:
            for number in range(8):
                await alice.put(b"%d" % number * 1000, name=f"{number}")

        async def erase() -> None:
            for _ in range(8):
                await alice.erase()

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(put)
                group.start_soon(erase)
        for artifact in await alice.list():
            assert await alice.read(artifact.id) == artifact.name.encode() * 1000

    async def test_an_export_has_all_bytes_of_a_user_and_of_nobody_else(self, store: ArtifactStore) -> None:
        assert isinstance(store, Keeper)
        await store.for_user("bob").put(b"his", name="x")
        alice = store.for_user("alice")
        artifacts = [await alice.put(b"%d" % n * 1000, name=f"{n}", media_type="text/plain") for n in range(3)]

        told = [each async for each in store.export_user("alice") if isinstance(each, UserData)]

        assert {each.place for each in told} == {"artifacts"}
        assert {each.name for each in told} == {each.id for each in artifacts}
        for each in told:
            (artifact,) = [artifact for artifact in artifacts if artifact.id == each.name]
            assert (each.data["name"], each.data["media_type"]) == (artifact.name, "text/plain")
            assert base64.b64decode(str(each.data["base64"])) == artifact.name.encode() * 1000
        assert [each async for each in store.export_user("nobody")] == []

    async def test_an_export_passes_over_what_is_deleted_meanwhile(self, store: ArtifactStore) -> None:
        alice = store.for_user("alice")
        ids = sorted([(await alice.put(b"x", name=f"{n}")).id for n in range(3)])
        told = store.export_user("alice")

        first = await anext(told)
        await alice.delete(ids[1])

        assert [each.name for each in (first, *[each async for each in told]) if isinstance(each, UserData)] == [
            ids[0],
            ids[2],
        ]
