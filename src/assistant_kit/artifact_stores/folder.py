"""Artifacts in a folder of this machine, or of one that several machines share.

    ROOT/{sha256 of the user}/{id}/bytes, info.json      an artifact
    ROOT/.unfinished/new-…                               bytes that are still coming, or whose process has died
    ROOT/.unfinished/gone-…                              what is being deleted

An artifact comes into being, and ends, by the renaming of its folder: a reader never sees half of one.
"""

import errno
import os
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final, Self
from urllib.parse import unquote

import anyio
import anyio.to_thread

from assistant_kit.artifact_stores._folders import clear, move, on_disk, ours, unfinished
from assistant_kit.artifact_stores._keeping import Keeping
from assistant_kit.artifact_stores._reading import CheckedReader
from assistant_kit.artifact_stores._receiving import receive
from assistant_kit.artifact_stores._rules import (
    check_id,
    check_names,
    check_page,
    is_id,
    new_id,
    place_of,
    read_back,
    written,
)
from assistant_kit.errors import ConfigurationError, UnknownStore
from assistant_kit.protocols.artifact_store import ANY_BYTES, LIMIT, Artifact, ArtifactNotFound

SCHEME: Final = "file://"
_BYTES, _INFO = "bytes", "info.json"
_PIECE: Final = 262_144  # bytes


class FolderArtifactStore(Keeping):
    """Artifacts in the folder at `path`, which is made when it is first used, for its owner alone.

    `clock` tells the time, in seconds since 1970.
    """

    def __init__(self, path: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        self._root = Path(path)
        self._clock = clock

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the store in `file:///absolute/path`. Raises UnknownStore, ConfigurationError."""
        if not address.startswith(SCHEME):
            raise UnknownStore(address, [SCHEME])
        path = unquote(address.removeprefix(SCHEME))
        if not path.startswith("/") or "\0" in path or "?" in address:
            raise ConfigurationError(f"{address!r} names no folder: write file:///absolute/path, with '%3F' for '?'")
        return cls(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._root)!r})"

    def for_user(self, user: str) -> "FolderArtifacts":
        """Return the handle of a user. Raises InputError if empty."""
        return FolderArtifacts(self._root, place_of(user), self._clock)

    async def check(self) -> None:
        """See whether the folder is there, or can be made, and can be written to. Raises StoreUnavailable."""
        await anyio.to_thread.run_sync(self._check)

    async def aclose(self) -> None:
        """Do nothing: nothing is held between calls."""

    def _check(self) -> None:
        with ours(self._root):
            unfinished(self._root)
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, "no permission to write there")


class FolderArtifacts:
    """The artifacts of one user."""

    def __init__(self, root: Path, place: str, clock: Callable[[], float]) -> None:
        self._root = root
        self._mine = root / place
        self._clock = clock

    async def put(
        self, data: bytes | AsyncIterable[bytes], *, name: str, media_type: str = ANY_BYTES, limit: int = LIMIT
    ) -> Artifact:
        """Keep bytes: all or nothing, on disk on return. Raises ArtifactTooLarge, InputError, StoreError."""
        check_names(name, media_type)
        begin = partial(_Incoming, self._root, self._mine, name=name, media_type=media_type, clock=self._clock)
        return await receive(data, begin, limit=limit)

    async def info(self, artifact: str) -> Artifact:
        """Return what is known of an artifact. Raises ArtifactNotFound, StoreError."""
        check_id(artifact)
        return await anyio.to_thread.run_sync(self._info, artifact)

    async def read(self, artifact: str) -> bytes:
        """Return all bytes of an artifact. Raises ArtifactNotFound, StoreError."""
        async with self.open(artifact) as reader:
            return b"".join([piece async for piece in reader])

    @asynccontextmanager
    async def open(self, artifact: str) -> AsyncGenerator[CheckedReader]:
        """Read an artifact in pieces; it may be deleted meanwhile. Raises ArtifactNotFound, StoreError."""
        check_id(artifact)
        info, file = await anyio.to_thread.run_sync(self._open, artifact)
        try:
            yield CheckedReader(info, partial(_next_piece, file, self._mine))
        finally:
            file.close()

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Artifact]:
        """Return artifacts in the order of their ids, behind `after`. Raises StoreError."""
        check_page(limit)
        return await anyio.to_thread.run_sync(self._page, after, limit)

    async def delete(self, artifact: str) -> bool:
        """Delete an artifact, and tell whether there was one. Raises StoreError."""
        return is_id(artifact) and await anyio.to_thread.run_sync(self._remove, self._mine / artifact)

    async def erase(self) -> int:
        """Delete all artifacts of this user in one step, and return their number. Raises StoreError."""
        return await anyio.to_thread.run_sync(self._erase)

    def _info(self, artifact: str) -> Artifact:
        with ours(self._mine, missing=artifact):
            return read_back((self._mine / artifact / _INFO).read_bytes(), str(self._mine / artifact))

    def _open(self, artifact: str) -> tuple[Artifact, BinaryIO]:
        info = self._info(artifact)
        with ours(self._mine, missing=artifact):
            return info, (self._mine / artifact / _BYTES).open("rb")

    def _names(self) -> Sequence[str]:
        with ours(self._mine), suppress(FileNotFoundError):
            return sorted(entry.name for entry in self._mine.iterdir() if is_id(entry.name))
        return []

    def _page(self, after: str, limit: int) -> Sequence[Artifact]:
        found: list[Artifact] = []
        for name in self._names():
            if name > after and len(found) < limit:
                with suppress(ArtifactNotFound):  # deleted meanwhile
                    found.append(self._info(name))
        return found

    def _erase(self) -> int:
        count = len(self._names())
        return count if self._remove(self._mine) else 0

    def _remove(self, place: Path) -> bool:
        """Take a folder out of sight, and then delete it, with what others have left behind."""
        with ours(place):
            hidden = unfinished(self._root)
            was_there = False
            with suppress(FileNotFoundError):
                place.rename(hidden / f"gone-{token_hex(16)}")
                was_there = True
                on_disk(place.parent)
            clear(hidden)
        return was_there


class _Incoming:
    """Bytes that gather beside the artifacts; see `_receiving.Incoming`."""

    def __init__(self, root: Path, mine: Path, *, name: str, media_type: str, clock: Callable[[], float]) -> None:
        self._mine = mine
        self._name = name
        self._media_type = media_type
        self._clock = clock
        with ours(root):
            hidden = unfinished(root)
            clear(hidden)
            self._folder = hidden / f"new-{token_hex(16)}"
            self._folder.mkdir(mode=0o700)
            self._file = (self._folder / _BYTES).open("xb")

    def write(self, block: bytes) -> None:
        with ours(self._mine):
            self._file.write(block)

    def commit(self, size: int, sha256: str) -> Artifact:
        now = self._clock()
        artifact = Artifact(
            id=new_id(now), name=self._name, media_type=self._media_type, size=size, sha256=sha256, created_at=now
        )
        with ours(self._mine):
            self._file.flush()
            os.fsync(self._file.fileno())
            with (self._folder / _INFO).open("xb") as info:
                info.write(written(artifact))
                info.flush()
                os.fsync(info.fileno())
            on_disk(self._folder)
            move(self._folder, self._mine / artifact.id)
        return artifact

    def discard(self) -> None:
        with suppress(OSError):  # a disk that is full refuses what stands in the buffer
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # what stays is cleared in a day


async def _next_piece(file: BinaryIO, place: Path) -> bytes:
    return await anyio.to_thread.run_sync(_piece, file, place)


def _piece(file: BinaryIO, place: Path) -> bytes:
    with ours(place):
        return file.read(_PIECE)
