"""The contract of a place for files: what users upload, and what tools make.

An artifact is bytes with a name, a media type, and who owns it. It is reached only through a handle that is bound to
one user. Names are data and never paths: ids are made by the store. An artifact never changes; a new version is
another artifact. `assistant_kit.testing.conformance` has the tests that every store passes.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from assistant_kit.errors import InputError, StoreError
from assistant_kit.protocols.user_data import Kept

LIMIT: Final = 100_000_000
"""Bytes that an artifact may have unless its caller says otherwise."""

ANY_BYTES: Final = "application/octet-stream"
"""The media type of what is not known."""


class ArtifactNotFound(StoreError):
    """This user has no such artifact, or not any more."""

    def __init__(self, artifact: str) -> None:
        super().__init__(f"this user has no artifact {artifact!r}")
        self.artifact = artifact


class ArtifactTooLarge(InputError):
    """The bytes are more than their caller allows. Nothing of them was kept."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"an artifact may have {limit} bytes here: send less, or allow a larger limit=")
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What is known of some bytes. `id` is unique, `size` in bytes, `sha256` in hexadecimal.

    `name` is what its user calls it, of up to 255 characters without line ends: nothing in it is a path. `created_at`
    is in seconds since 1970.
    """

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: float


class ArtifactReader(Protocol):
    """The bytes of one artifact, in pieces of a size that the store chooses."""

    @property
    def artifact(self) -> Artifact:
        """What is read."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the pieces, of which none is empty.

        Raises StoreError; StoreCorrupt at the end when the bytes are not those that were put.
        """
        ...


class OwnedArtifacts(Protocol):
    """The artifacts of one user. Those of others behave as if they did not exist."""

    async def put(
        self, data: bytes | AsyncIterable[bytes], *, name: str, media_type: str = ANY_BYTES, limit: int = LIMIT
    ) -> Artifact:
        """Keep bytes, given as they are or in pieces: all of them or nothing, durable on return.

        A generator that is not read to its end is closed.
        Raises ArtifactTooLarge when they are more than `limit`, InputError for a name or a media type that cannot be
        kept, StoreError, and what `data` raises. After a cancellation or StoreUnavailable they are kept or not.
        """
        ...

    async def info(self, artifact: str) -> Artifact:
        """Return what is known of an artifact, by its id. Raises ArtifactNotFound, StoreError."""
        ...

    async def read(self, artifact: str) -> bytes:
        """Return all bytes of an artifact. Raises ArtifactNotFound, StoreError."""
        ...

    def open(self, artifact: str) -> AbstractAsyncContextManager[ArtifactReader]:
        """Read an artifact in pieces, in the block. Entering raises ArtifactNotFound, StoreError."""
        ...

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Artifact]:
        """Return artifacts in the order of their ids, behind `after`. Later ones have higher ids, to a millisecond."""
        ...

    async def delete(self, artifact: str) -> bool:
        """Delete an artifact, durable on return, and tell whether there was one. Raises StoreError."""
        ...

    async def erase(self) -> int:
        """Delete all artifacts of this user, and return their number. Raises StoreError; may be repeated then."""
        ...


class ArtifactStore(Protocol):
    """A place for artifacts; it connects when it is first used. It is a `Keeper` of users' data."""

    def for_user(self, user: str) -> OwnedArtifacts:
        """Return the handle through which alone the artifacts of `user` are reached. Raises InputError if empty."""
        ...

    async def check(self) -> None:
        """Ask the place whether it can be used. Raises StoreError."""
        ...

    async def erase_user(self, user: str) -> None:
        """Delete all artifacts of a user. Raises StoreError; may be repeated then."""
        ...

    def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return the artifacts of a user with their bytes, in base64. Raises StoreError."""
        ...

    async def aclose(self) -> None:
        """Free what is held; may be called twice."""
        ...
