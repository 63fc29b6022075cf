"""How bytes that come in pieces get into a store: bounded, in threads, and all of them or none."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Final, Protocol, cast

import anyio
import anyio.to_thread

from assistant_kit.protocols.artifact_store import Artifact, ArtifactTooLarge

BLOCK: Final = 262_144
"""Bytes that are worth a thread's while."""


class Incoming(Protocol):
    """A place where bytes gather that nobody can see yet. Its methods run in threads."""

    def write(self, block: bytes) -> None:
        """Take some bytes."""
        ...

    def commit(self, size: int, sha256: str) -> Artifact:
        """Make an artifact of all that was written."""
        ...

    def discard(self) -> None:
        """Remove what was written, if it did not become an artifact. May be called at any time, and twice."""
        ...


async def receive(
    data: bytes | AsyncIterable[bytes], begin: Callable[[], Incoming], *, limit: int, leaving: bool = False
) -> Artifact:
    """Move bytes into what `begin` makes, and make an artifact of them.

    With `leaving`, a cancellation does not wait for the last step: then nobody knows what becomes of it.
    """
    incoming = await anyio.to_thread.run_sync(begin)
    try:
        hashed, size = sha256(), 0
        async with blocks(data, limit) as gathered:
            async for block in gathered:
                size += len(block)
                await anyio.to_thread.run_sync(_take, incoming, hashed.update, block)
        commit = partial(incoming.commit, size, hashed.hexdigest())
        return await anyio.to_thread.run_sync(commit, abandon_on_cancel=leaving)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(incoming.discard)


@asynccontextmanager
async def blocks(data: bytes | AsyncIterable[bytes], limit: int) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Return bytes in blocks that are worth a thread's while. Reading raises ArtifactTooLarge, and what `data` raises.

    Generators end with the block, however it ends.
    """
    async with AsyncExitStack() as stack:
        given: object = data
        if isinstance(given, AsyncGenerator):
            stack.push_async_callback(cast("AsyncGenerator[bytes]", given).aclose)
        yield await stack.enter_async_context(aclosing(_blocks(data, limit)))


async def _blocks(data: bytes | AsyncIterable[bytes], limit: int) -> AsyncGenerator[bytes]:
    if isinstance(data, bytes):
        if len(data) > limit:
            raise ArtifactTooLarge(limit)
        yield data
        return
    size, gathered = 0, bytearray()
    async for piece in data:
        size += len(piece)
        if size > limit:
            raise ArtifactTooLarge(limit)
        gathered += piece
        if len(gathered) >= BLOCK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _take(incoming: Incoming, note: Callable[[bytes], None], block: bytes) -> None:
    note(block)
    incoming.write(block)
