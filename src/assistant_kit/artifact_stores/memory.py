"""Artifacts in the memory of the process: for tests, and for what may be lost."""

import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from assistant_kit.artifact_stores._keeping import Keeping
from assistant_kit.artifact_stores._reading import CheckedReader
from assistant_kit.artifact_stores._receiving import blocks
from assistant_kit.artifact_stores._rules import check_names, check_page, new_id, place_of
from assistant_kit.protocols.artifact_store import ANY_BYTES, LIMIT, Artifact, ArtifactNotFound

_PIECE = 65_536  # bytes


class MemoryArtifactStore(Keeping):
    """Artifacts of this process; they end with the object. `clock` tells the time, in seconds since 1970."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._users: dict[str, dict[str, tuple[Artifact, bytes]]] = {}

    def for_user(self, user: str) -> "MemoryArtifacts":
        """Return the handle of a user. Raises InputError if empty."""
        return MemoryArtifacts(self._users, place_of(user), self._clock)

    async def check(self) -> None:
        """Do nothing: memory is there."""

    async def aclose(self) -> None:
        """Do nothing: the artifacts end with the object."""


class MemoryArtifacts:
    """The artifacts of one user."""

    def __init__(
        self, users: dict[str, dict[str, tuple[Artifact, bytes]]], place: str, clock: Callable[[], float]
    ) -> None:
        self._users = users
        self._place = place
        self._clock = clock

    async def put(
        self, data: bytes | AsyncIterable[bytes], *, name: str, media_type: str = ANY_BYTES, limit: int = LIMIT
    ) -> Artifact:
        """Keep bytes. Raises ArtifactTooLarge, InputError, and what `data` raises."""
        check_names(name, media_type)
        async with blocks(data, limit) as gathered:
            whole = b"".join([block async for block in gathered])
        now = self._clock()
        artifact = Artifact(
            id=new_id(now),
            name=name,
            media_type=media_type,
            size=len(whole),
            sha256=hashlib.sha256(whole).hexdigest(),
            created_at=now,
        )
        self._users.setdefault(self._place, {})[artifact.id] = artifact, whole
        return artifact

    async def info(self, artifact: str) -> Artifact:
        """Return what is known of an artifact. Raises ArtifactNotFound."""
        return self._found(artifact)[0]

    async def read(self, artifact: str) -> bytes:
        """Return all bytes of an artifact. Raises ArtifactNotFound."""
        return self._found(artifact)[1]

    @asynccontextmanager
    async def open(self, artifact: str) -> AsyncGenerator[CheckedReader]:
        """Read an artifact in pieces. Raises ArtifactNotFound."""
        info, data = self._found(artifact)
        pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        yield CheckedReader(info, partial(_next_piece, pieces))

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Artifact]:
        """Return artifacts in the order of their ids, behind `after`."""
        check_page(limit)
        mine = self._users.get(self._place, {})
        return [mine[name][0] for name in sorted(name for name in mine if name > after)[:limit]]

    async def delete(self, artifact: str) -> bool:
        """Delete an artifact, and tell whether there was one."""
        return self._users.get(self._place, {}).pop(artifact, None) is not None

    async def erase(self) -> int:
        """Delete all artifacts of this user, and return their number."""
        return len(self._users.pop(self._place, {}))

    def _found(self, artifact: str) -> tuple[Artifact, bytes]:
        try:
            return self._users[self._place][artifact]
        except KeyError:
            raise ArtifactNotFound(artifact) from None


async def _next_piece(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")
