"""The contract of what is remembered of a user across conversations.

`assistant_kit.testing.conformance.memory` has the tests that every memory passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from assistant_kit.deadline import Deadline
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.search_index import Label, Where
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A memory: a short text, such as a fact or a wish.

    `source` says where it was learned (`application`, `tool`, or `CONVERSATION/TURN`). Times are in seconds since
    1970: `created_at` when it was first learned, `updated_at` when it was last changed or heard again.
    """

    id: str
    text: str
    source: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    labels: Mapping[str, Label] = field(default_factory=dict[str, Label])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """A memory that bears on a question; `score` is better when it is higher."""

    memory: Remembered
    score: float


class UserMemory(Protocol):
    """What is remembered of one user. A foreign memory behaves as one that does not exist."""

    async def remember(
        self, text: str, *, source: str = "", labels: Mapping[str, Label] | None = None, replaces: str | None = None
    ) -> Remembered:
        """Remember a text; durable on return.

        A text that is remembered already is not kept twice: the memory that says the same is renewed, and returned.
        With other labels it is another memory. `replaces` is the id of a memory that this one takes the place of,
        keeping its id and `created_at`, and its labels where none are given; if it does not exist, this is a new one.
        Raises InputError for a text that is empty, overlong, or has NUL or lone surrogates; StoreError, ModelError.
        """
        ...

    async def recall(
        self, query: str, *, limit: int = 8, max_tokens: int | None = None, where: Where | None = None
    ) -> Sequence[Recalled]:
        """Return the memories that bear on `query`, the best first: at most `limit`, of at most `max_tokens` together.

        Any text is a query; an empty one finds nothing. Raises StoreError, ModelError.
        """
        ...

    async def memories(self, *, limit: int = 100, after: str = "", where: Where | None = None) -> Sequence[Remembered]:
        """Return memories in the order of their ids (of their UTF-8 bytes), behind `after`."""
        ...

    async def forget(self, memory: str) -> bool:
        """Forget a memory by its id, words and vector; tell whether it was there."""
        ...

    async def erase(self) -> int:
        """Forget everything of this user, and return how many memories there were."""
        ...


class Memory(Protocol):
    """A place where memories live."""

    def for_user(self, user: str) -> UserMemory:
        """Return the handle through which alone the memories of `user` are reached. Raises InputError if empty."""
        ...

    async def open(self) -> None:
        """Connect, and make what is needed; every first use does so, too. Raises StoreError, ConfigurationError."""
        ...

    async def prune(self, *, before: float) -> int:
        """Forget, of all users, what was last changed or heard before this time, in seconds since 1970."""
        ...

    async def aclose(self) -> None:
        """Free what is held; the memory is not used afterwards. May be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was learned: the ids of memories that are new or were changed or forgotten, and what that took."""

    memories: tuple[str, ...] = ()
    model: str = ""
    usage: Usage = field(default_factory=Usage)


class MemoryExtractor(Protocol):
    """Learns from turns what is worth remembering. It is asked after a turn, in the background.

    It may be asked twice about the same turns, after a crash: what it remembers is not remembered twice.
    """

    async def extract(
        self, turns: Sequence[Turn], memory: UserMemory, *, source: str, model: Model, deadline: Deadline
    ) -> Extracted:
        """Remember what these turns tell about the user, and change or forget what they contradict.

        `source` is `CONVERSATION/TURN` of the newest; `model` is the assistant's. Raises ModelError, StoreError.
        """
        ...
