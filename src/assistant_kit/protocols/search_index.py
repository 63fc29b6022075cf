"""The contract of a place where texts are found again: by their words, and by vectors near to that of a question.

Memories and documents live in one. It is reached only through a handle that is bound to one owner.
`assistant_kit.testing.conformance` has the tests that every index passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from assistant_kit.protocols.embedder import Vector

Label: TypeAlias = str | int | bool
"""The value of a label, by which passages are filtered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text that can be found. `id` is unique with its owner.

    `source` says where it comes from, and groups what is deleted together (the address of a document, the turn of a
    conversation). `at` is its time in seconds since 1970: of the last change, for memories. `labels` are for filters.
    `vector` is None where it is found by its words alone, and in what `search` returns.
    """

    id: str
    text: str
    source: str = ""
    at: float = 0.0
    labels: Mapping[str, Label] = field(default_factory=dict[str, Label])
    vector: "Vector | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A passage that was found. `score` is better when it is higher; scores of two searches cannot be compared."""

    passage: Passage
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What passages must be like to be found: all of it. None and nothing filter nothing.

    `source` is exact; `since` and `until` bound `at`, both inclusive; each of `labels` must be there with this value.
    """

    source: str | None = None
    since: float | None = None
    until: float | None = None
    labels: Mapping[str, Label] = field(default_factory=dict[str, Label])


class OwnedIndex(Protocol):
    """The passages of one owner. Those of others behave as if they did not exist."""

    async def put(self, passages: Sequence[Passage]) -> None:
        """Add passages, or replace those of the same ids: all or none, durable and found on return.

        Raises InputError for a vector of a wrong length, StoreError.
        """
        ...

    async def get(self, ids: Sequence[str]) -> Sequence[Passage]:
        """Return those of these passages that exist, in the order of `ids`, with their vectors."""
        ...

    async def keywords(self, query: str, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        """Return the passages that share words with `query`, the best first.

        Any text is a query; nothing in it is an operator. An index that cannot search words returns nothing.
        """
        ...

    async def nearest(self, vector: Vector, *, limit: int = 10, where: Where | None = None) -> Sequence[Hit]:
        """Return the passages with the nearest vectors, the nearest first; `score` is the cosine.

        Raises InputError for a vector of a wrong length.
        """
        ...

    async def page(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Passage]:
        """Return passages with their vectors in the order of their ids (of the ids' UTF-8 bytes), behind `after`."""
        ...

    async def delete(self, ids: Sequence[str]) -> int:
        """Delete those of these passages that exist, and return their number; durable on return."""
        ...

    async def delete_where(self, where: Where) -> int:
        """Delete all passages that are like this, and return their number. An empty `where` is an InputError."""
        ...

    async def erase(self) -> int:
        """Delete all that is kept of this owner, words and vectors, and return the number of passages.

        Physically, as far as the backend can: see its page.
        """
        ...


class SearchIndex(Protocol):
    """A place where passages live."""

    def for_owner(self, owner: str) -> OwnedIndex:
        """Return the handle through which alone the passages of `owner` are reached. Raises InputError if empty."""
        ...

    async def open(self, *, embedder: str = "", dimensions: int | None = None) -> None:
        """Connect, and make what is needed; every first use does so, too.

        `embedder` is the name of what makes the vectors, and `dimensions` their length: both are kept, and another
        name or length later is an IndexMismatch, as vectors of two models cannot be compared. Without them, and for
        an index that holds no vector yet, nothing is settled. Raises StoreError, IndexMismatch.
        """
        ...

    async def owners(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return owners of passages behind `after`, in the order of their UTF-8 bytes."""
        ...

    async def aclose(self) -> None:
        """Free what is held; the index is not used afterwards. May be called twice."""
        ...
