"""An index in one SQLite file, shared by the processes of one machine."""

import os
from collections.abc import Sequence
from typing import Self

from assistant_kit.errors import ConfigurationError, StoreBusy
from assistant_kit.indexes._rules import (
    Space,
    check_deletable,
    check_limit,
    check_owner,
    check_page,
    check_vector,
    known,
    latest,
    may_fit,
)
from assistant_kit.indexes.sqlite import reading, writing
from assistant_kit.indexes.sqlite.connection import Connection
from assistant_kit.indexes.sqlite.file import IndexFile
from assistant_kit.indexes.sqlite.keywords import keywords
from assistant_kit.indexes.sqlite.schema import Setup, Synchronous
from assistant_kit.protocols.embedder import Vector
from assistant_kit.protocols.search_index import Hit, OwnedIndex, Passage, Where
from assistant_kit.sqlite_file import path_in


class SQLiteIndex:
    """Passages in the file `path`, which is made when it is first used; its folder must exist.

    `synchronous`: with FULL an acknowledged write survives a power cut; with NORMAL it survives the death of the
    process only, and a write costs less. `busy_timeout` is how many seconds to wait while another process writes.

    Event loops, threads and processes may share a file. Raises ConfigurationError for a path that is none.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, synchronous: Synchronous = "FULL", busy_timeout: float = 20.0
    ) -> None:
        name = os.fspath(path)
        if name in ("", ":memory:") or "\0" in name:
            raise ConfigurationError(
                f"{name!r} is no path of a file: for passages that end with the process use MemoryIndex()"
            )
        self._file = IndexFile(name, Setup(synchronous=synchronous, busy_timeout=busy_timeout))
        self._opened = Space()

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return an index for `sqlite:///relative.db` or `sqlite:////absolute/path.db`. Raises ConfigurationError.

        `%20` and its like stand for the characters they encode.
        """
        return cls(path_in(address, instead="give them as SQLiteIndex(path, synchronous=…)"))

    @property
    def opened(self) -> Space:
        """What this object was opened for."""
        return self._opened

    def for_owner(self, owner: str) -> OwnedIndex:
        """Return the handle through which alone the passages of `owner` are reached. Raises InputError."""
        check_owner(owner)
        return _OwnedSQLite(self, self._file, owner)

    async def open(self, *, embedder: str = "", dimensions: int | None = None) -> None:
        """Open the file, making or upgrading it when needed, and see that it can be written.

        Raises StoreError, IndexMismatch.
        """
        given = Space(embedder=embedder, dimensions=dimensions)
        await self._file.write(lambda connection: writing.settle(connection, self._file.path, given))
        self._opened = given.or_before(self._opened)

    async def owners(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return owners of passages behind `after`, in the order of their UTF-8 bytes."""
        check_page(limit, after)
        return await self._file.read(lambda connection: reading.owners(connection, after, limit))

    async def aclose(self) -> None:
        """Write what still waits, bring the file up to date, end the threads. A second call does nothing."""
        await self._file.aclose()


class _OwnedSQLite:
    """The passages of one owner in a file."""

    def __init__(self, index: SQLiteIndex, file: IndexFile, owner: str) -> None:
        self._index = index
        self._file = file
        self._owner = owner

    async def put(self, passages: Sequence[Passage]) -> None:
        chosen = latest(passages)
        for passage in chosen:
            if passage.vector is not None:
                check_vector(passage.vector, None)
        opened = self._index.opened
        if chosen:
            await self._file.write(
                lambda connection: writing.put(connection, self._file.path, self._owner, opened, chosen)
            )

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        names = known(ids)
        return await self._file.read(lambda connection: reading.get(connection, self._owner, names))

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        if not may_fit(where):
            return []
        return await self._file.read(
            lambda connection: keywords(connection, self._owner, query, limit=limit, where=where)
        )

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        check_limit(limit)
        opened = self._index.opened

        def find(connection: Connection) -> Sequence[Hit]:
            space = reading.space_asked(connection, self._file.path, opened)
            check_vector(vector, space.dimensions)
            if not may_fit(where):
                return []
            return reading.nearest(connection, self._owner, vector, limit=limit, where=where)

        return await self._file.read(find)

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        check_page(limit, after)
        if not may_fit(where):
            return []
        return await self._file.read(lambda connection: reading.page(connection, self._owner, after, limit, where))

    async def delete(self, ids: Sequence[str]) -> int:
        names = known(ids)
        return await self._file.write(lambda connection: writing.delete(connection, self._owner, names))

    async def delete_where(self, where: Where) -> int:
        check_deletable(where)
        if not may_fit(where):
            return 0
        return await self._file.write(lambda connection: writing.delete_where(connection, self._owner, where))

    async def erase(self) -> int:
        """Delete all of this owner, and write the file anew if anything may be left of it in its bytes.

        Raises StoreBusy when somebody reads the file for so long that the log beside it cannot be emptied.
        """
        count = await self._file.write(lambda connection: writing.erase(connection, self._owner))
        if not await self._file.apart(writing.scrub):
            raise StoreBusy(
                f"{self._file.path}: all is deleted, but somebody reads the file, so that deleted text still stands in "
                "the log beside it: erase again when nobody does"
            )
        return count
