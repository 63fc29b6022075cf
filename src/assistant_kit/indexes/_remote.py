"""What adapters for servers have in common: a client that blocks, asked in threads, one request at a time."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import ClassVar, Generic, TypeVar, cast

from anyio import to_thread

from assistant_kit.errors import StoreError
from assistant_kit.indexes._rules import Space, check_limit, check_owner, settled, space_of
from assistant_kit.protocols.search_index import OwnedIndex, Passage

T = TypeVar("T")
C = TypeVar("C")


class Held(Generic[C]):
    """A client that is its owner's, or what makes one when it is needed; what was made is closed with the index."""

    def __init__(self, given: C | Callable[[], C], close: Callable[[C], None]) -> None:
        self._given = given
        self._close = close
        self._made: C | None = None

    def get(self) -> C:
        """Return the client, made if need be. Raises what the client raises."""
        if not callable(self._given):
            return self._given
        if self._made is None:
            self._made = cast("Callable[[], C]", self._given)()
        return self._made

    def close(self) -> None:
        """Close what was made here."""
        made, self._made = self._made, None
        if made is not None:
            self._close(made)


class Remote(ABC):
    """A place on a server, and what it keeps. All methods but `ask` block, and run within `ask`."""

    foreign: ClassVar[tuple[type[Exception], ...]]
    """What the client raises; `meaning` says what it means."""

    def __init__(self, place: str, close: Callable[[], None]) -> None:
        self.place: str = place
        self._close = close
        self.kept: Space = Space()
        self.opened: Space = Space()
        self._is_ready = False
        self._lock = Lock()

    async def ask(self, work: Callable[[], T]) -> T:
        """Do something in a thread, one at a time. Raises StoreError."""
        try:
            return await to_thread.run_sync(self._alone, work)
        except self.foreign as error:
            raise self.meaning(error) from error

    async def aclose(self) -> None:
        """Close the client, if it was made here."""
        await to_thread.run_sync(self._closed)

    def _closed(self) -> None:
        with self._lock:
            self._close()

    def _alone(self, work: Callable[[], T]) -> T:
        with self._lock:
            if not self._is_ready:
                self.prepare()
                self._is_ready = True
            return work()

    @abstractmethod
    def meaning(self, error: Exception) -> StoreError:
        """Return an error of the client as one of ours."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what is needed, and look. Called once, before anything else."""

    @abstractmethod
    def look(self) -> None:
        """Learn what is kept."""

    @abstractmethod
    def keep(self, space: Space) -> None:
        """Note what is kept from now on."""

    @abstractmethod
    def owners(self) -> Iterable[str]:
        """Return the owners of passages, in no order."""

    @abstractmethod
    def of_owner(self, owner: str) -> OwnedIndex:
        """Return the handle of an owner."""

    def open(self, given: Space) -> None:
        """Take note of the vectors that will be put, and compare them with those that are there.

        Raises IndexMismatch.
        """
        self.look()
        if self.kept.dimensions is None:
            self.opened = given
        else:
            self.keep(settled(self.place, kept=self.kept, given=given))

    def settle(self, passages: Sequence[Passage]) -> None:
        """See that the place takes these vectors. Raises InputError, IndexMismatch."""
        if self.kept.dimensions is None:
            self.look()
        space = space_of(passages, place=self.place, kept=self.kept, opened=self.opened)
        if any(one.vector is not None for one in passages):
            self.keep(space)


class RemoteIndex:
    """The index over such a place. A client that was given stays its owner's; one that was made here is closed here."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def for_owner(self, owner: str) -> OwnedIndex:
        """Return the handle through which alone the passages of `owner` are reached. Raises InputError."""
        check_owner(owner)
        return self._remote.of_owner(owner)

    async def open(self, *, embedder: str = "", dimensions: int | None = None) -> None:
        """Make what is needed, and compare its vectors with those of `embedder`. Raises IndexMismatch, StoreError."""
        given = Space(embedder=embedder, dimensions=dimensions)
        await self._remote.ask(lambda: self._remote.open(given))

    async def owners(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return owners of passages behind `after`, in the order of their UTF-8 bytes. Looks at all owners."""
        check_limit(limit)
        return await self._remote.ask(
            lambda: heapq.nsmallest(limit, (owner for owner in self._remote.owners() if owner > after))
        )

    async def aclose(self) -> None:
        """Close the client if it was made here; another one is its owner's."""
        await self._remote.aclose()
