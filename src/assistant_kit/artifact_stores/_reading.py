"""Reading in pieces, and seeing at the end that they were the bytes that had been put."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Self

from assistant_kit.errors import StoreCorrupt
from assistant_kit.protocols.artifact_store import Artifact


class CheckedReader:
    """The bytes of one artifact, from a function that returns the next piece, and none at the end."""

    def __init__(self, artifact: Artifact, next_piece: Callable[[], Awaitable[bytes]]) -> None:
        self.artifact: Artifact = artifact
        self._next_piece = next_piece
        self._hashed = hashlib.sha256()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece. Raises StoreError; StoreCorrupt when the bytes are not those that were put."""
        piece = await self._next_piece()
        if piece:
            self._hashed.update(piece)
            return piece
        if self._hashed.hexdigest() != self.artifact.sha256:
            raise StoreCorrupt(f"the bytes of artifact {self.artifact.id!r} are not those that were put: it is damaged")
        raise StopAsyncIteration
