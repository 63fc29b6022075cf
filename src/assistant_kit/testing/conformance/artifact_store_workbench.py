"""What the tests of artifact stores stand on: a place, and two users who have nothing yet."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest

from assistant_kit.protocols.artifact_store import Artifact, ArtifactStore, OwnedArtifacts

PATIENCE = 60.0
"""Seconds after which a test that waits has failed."""

NEVER_MADE = "a_" + "0" * 26
"""An id of the right form that is of no artifact."""

ODD_NAMES = [
    "../../etc/passwd",
    "..",
    "/",
    "C:\\x",
    "a b",
    " ",
    "%2e%2e%2f",
    "Größe ﬀ 日本 💧",
    "'\"; DROP TABLE x; --",
    "\u202egpj.exe",
    '"' * 255,
    "💧" * 255,
]
"""Names that every store keeps as they are."""

BAD_NAMES = ["", "x" * 256, "a\0b", "a\r\nSet-Cookie: x", "\x7f", "\x85", "\ud800"]
"""Names that no store keeps."""

BAD_USERS = ["", "x" * 256, "a\0b", "\ud800"]


class ArtifactStoreWorkbench(ABC):
    """Opens the store under test. The hook is `open_store`."""

    durable: ClassVar[bool] = True
    """Whether a store outlives the object that opened it: False for one in the memory of the process."""

    @abstractmethod
    async def open_store(self, folder: Path) -> ArtifactStore:
        """Return an object for the place of this folder.

        `folder` is the test's own, and empty at first. It is asked again with the same folder for another object on
        the same place. For a server, take a name from `place_name(folder)`.
        """

    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Sequence[ArtifactStore]]:
        """Return two objects for one place, and close them after the test; the same one where none outlives it."""
        async with AsyncExitStack() as stack:
            stores = [await self.open_store(tmp_path) for _ in range(2 if self.durable else 1)]
            for store in stores:
                stack.push_async_callback(_close, store)
            yield stores if self.durable else stores * 2

    @pytest.fixture
    def store(self, stores: Sequence[ArtifactStore]) -> ArtifactStore:
        """Return the first of them."""
        return stores[0]

    @pytest.fixture
    def alice(self, store: ArtifactStore) -> OwnedArtifacts:
        """Return the artifacts of a user who has none yet."""
        return store.for_user(f"alice-{uuid4()}")

    @pytest.fixture
    def bob(self, store: ArtifactStore) -> OwnedArtifacts:
        """Return the artifacts of another user who has none yet."""
        return store.for_user(f"bob-{uuid4()}")


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    """Return pieces as they come from elsewhere: one after the other."""
    for piece in pieces:
        await anyio.lowlevel.checkpoint()
        yield piece


async def read_in_pieces(owned: OwnedArtifacts, artifact: str) -> tuple[Artifact, bytes]:
    """Return what `open` gives: what is known, and all bytes."""
    with anyio.fail_after(PATIENCE):
        async with owned.open(artifact) as reader:
            pieces = [piece async for piece in reader]
    assert all(pieces)  # noqa: S101  (what tests read goes through here)
    return reader.artifact, b"".join(pieces)


async def _close(store: ArtifactStore) -> None:
    with anyio.fail_after(PATIENCE, shield=True):
        await store.aclose()
        await store.aclose()
