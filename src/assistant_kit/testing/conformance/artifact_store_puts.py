"""Tests of what is put into an artifact store: all of it or nothing."""
# ruff: noqa: D102, PLR2004, S101  (these are tests: a name is a sentence, an expected value a number, assert the language)

import re
import time
from collections.abc import AsyncIterator
from hashlib import sha256

import anyio
import pytest

from assistant_kit.errors import InputError
from assistant_kit.protocols.artifact_store import ANY_BYTES, ArtifactStore, ArtifactTooLarge, OwnedArtifacts
from assistant_kit.testing.conformance.artifact_store_workbench import (
    BAD_NAMES,
    ODD_NAMES,
    PATIENCE,
    ArtifactStoreWorkbench,
    pieces_of,
    read_in_pieces,
)

SIZES = [0, 1, 65_536, 262_145, 5_242_881]
MEDIA_TYPES = ["text/plain", "text/plain; charset=utf-8", 'application/x.a-b+json;a="b c"', "a/" + "b" * 125]
BAD_MEDIA_TYPES = ["", "text", "text/", "/plain", "text/plain\r\nX: y", "text/plain;", "a/b c", "ä/b", "a/" + "b" * 126]


class Cut(Exception):
    """A connection that ends too early."""


class ArtifactStorePuts(ArtifactStoreWorkbench):
    """Bytes are kept with what is known of them, or not at all."""

    @pytest.mark.parametrize("size", SIZES)
    async def test_bytes_come_back_as_they_were_put(self, alice: OwnedArtifacts, size: int) -> None:
        data = (bytes(range(251)) * (size // 251 + 1))[:size]
        before = time.time()
        with anyio.fail_after(PATIENCE):
            artifact = await alice.put(data, name="data.bin", media_type="text/plain", limit=size)

            assert (artifact.name, artifact.media_type, artifact.size) == ("data.bin", "text/plain", size)
            assert artifact.sha256 == sha256(data).hexdigest()
            assert abs(artifact.created_at - before) < PATIENCE
            assert await alice.info(artifact.id) == artifact
            assert await alice.read(artifact.id) == data
            assert await read_in_pieces(alice, artifact.id) == (artifact, data)

    async def test_bytes_may_come_in_pieces(self, alice: OwnedArtifacts) -> None:
        pieces = [b"", b"a", b"b" * 100, b"", b"c" * 300_000, b"d" * 300_000, b"e"]
        artifact = await alice.put(pieces_of(*pieces), name="x")
        empty = await alice.put(pieces_of(), name="x")

        assert await alice.read(artifact.id) == b"".join(pieces)
        assert (artifact.size, artifact.media_type) == (600_102, ANY_BYTES)
        assert (await alice.read(empty.id), empty.size) == (b"", 0)

    async def test_ids_are_made_by_the_store_and_fit_everywhere(self, alice: OwnedArtifacts) -> None:
        one, other = [await alice.put(b"same", name="same") for _ in range(2)]

        assert one.id != other.id
        assert one.sha256 == other.sha256
        assert re.fullmatch(r"[a-z0-9_]{10,40}", one.id)

    async def test_a_name_is_data_and_no_path(self, alice: OwnedArtifacts) -> None:
        for name in ODD_NAMES:
            artifact = await alice.put(b"x", name=name)
            assert (await alice.info(artifact.id)).name == name
            assert await alice.read(artifact.id) == b"x"

        assert {each.name for each in await alice.list()} == set(ODD_NAMES)

    async def test_a_name_that_some_place_cannot_keep_is_refused(self, alice: OwnedArtifacts) -> None:
        for name in BAD_NAMES:
            with pytest.raises(InputError):
                await alice.put(b"x", name=name)
        assert list(await alice.list()) == []

    async def test_a_media_type_comes_back(self, alice: OwnedArtifacts) -> None:
        for media_type in MEDIA_TYPES:
            artifact = await alice.put(b"x", name="x", media_type=media_type)
            assert (await alice.info(artifact.id)).media_type == media_type

    async def test_what_is_no_media_type_is_refused(self, alice: OwnedArtifacts) -> None:
        for media_type in BAD_MEDIA_TYPES:
            with pytest.raises(InputError):
                await alice.put(b"x", name="x", media_type=media_type)
        assert list(await alice.list()) == []

    async def test_the_longest_name_goes_with_the_longest_media_type(self, alice: OwnedArtifacts) -> None:
        media_type = 'a/b;c="' + "~" * 119 + '"'
        artifact = await alice.put(b"x", name="💧" * 255, media_type=media_type)

        assert await alice.info(artifact.id) == artifact

    async def test_what_is_larger_than_its_limit_is_refused_and_leaves_nothing(self, alice: OwnedArtifacts) -> None:
        for data in (b"x" * 11, pieces_of(b"x" * 10, b"", b"x"), pieces_of(b"x" * 600_000)):
            with pytest.raises(ArtifactTooLarge) as caught:
                await alice.put(data, name="x", limit=10)
            assert caught.value.limit == 10

        assert list(await alice.list()) == []
        assert (await alice.put(pieces_of(b"x" * 10), name="x", limit=10)).size == 10

    async def test_bytes_that_are_cut_off_leave_nothing(self, alice: OwnedArtifacts) -> None:
        cut = Cut()

        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 600_000
            raise cut

        with pytest.raises(Cut) as caught:
            await alice.put(broken(), name="x")

        assert caught.value is cut
        assert list(await alice.list()) == []

    async def test_a_put_that_is_cancelled_leaves_nothing(self, alice: OwnedArtifacts) -> None:
        async def endless(scope: anyio.CancelScope) -> AsyncIterator[bytes]:
            yield b"x" * 300_000
            scope.cancel()
            await anyio.sleep_forever()

        with anyio.fail_after(PATIENCE):
            with anyio.CancelScope() as scope:
                await alice.put(endless(scope), name="x")

            assert scope.cancelled_caught
            assert list(await alice.list()) == []

    async def test_an_artifact_is_not_seen_before_it_is_whole(
        self, alice: OwnedArtifacts, store: ArtifactStore
    ) -> None:
        seen: list[int] = []

        async def watched() -> AsyncIterator[bytes]:
            for _ in range(3):
                seen.append(len(await alice.list()))
                yield b"x" * 300_000

        artifact = await alice.put(watched(), name="x")
        await store.check()

        assert seen == [0, 0, 0]
        assert [each.id for each in await alice.list()] == [artifact.id]
