"""What the tests of a store stand on: a store, two of its users, and short ways to write."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import ClassVar, TypedDict
from uuid import uuid4

import anyio
import pytest

from assistant_kit.protocols.store import Append, Lease, NewRecord, Record, Store, TurnState, UserStore

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""

BAD_NAMES = ["", "x" * 256, "a\0b", "\ud800"]
"""Names that some database cannot hold."""


class Window(TypedDict, total=False):
    """What limits a read."""

    after: int
    before: int | None
    max_tokens: int | None
    limit: int | None


WINDOWS: list[Window] = [
    {},
    {"after": 2},
    {"after": 3},
    {"after": 6},
    {"before": 1},
    {"before": 3},
    {"before": 4},
    {"before": 7},
    {"after": 2, "before": 5},
    {"after": 1, "before": 8},
    {"max_tokens": 8},
    {"max_tokens": 26},
    {"max_tokens": 30},
    {"max_tokens": 35},
    {"limit": 1},
    {"limit": 5},
    {"limit": 6},
    {"limit": 99},
    {"after": 1, "before": 7, "max_tokens": 18, "limit": 9},
    {"after": 0, "before": 6, "max_tokens": 99, "limit": 3},
]
"""Windows over eight records of 1 to 8 tokens, which meet the places where a journal goes on from another."""


class StoreWorkbench(ABC):
    """Opens the store under test. The hooks are `open_store`, and `advance` with `ttl` where time is the test's own."""

    transactions: ClassVar[bool] = False
    """Whether the store has transactions: `TransactionConformance` says so."""

    ttl: ClassVar[float] = 1.0
    """Seconds for which leases are taken that a test lets expire."""

    @abstractmethod
    async def open_store(self, folder: Path) -> Store:
        """Return the store under test; `folder` is empty and the test's own."""

    async def advance(self, seconds: float) -> None:
        """Let time pass on the store's clock."""
        await anyio.sleep(seconds)

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Return a store that is closed after the test."""
        with anyio.fail_after(PATIENCE):
            store = await self.open_store(tmp_path)
        try:
            yield store
        finally:
            with anyio.fail_after(PATIENCE):
                await store.aclose()

    @pytest.fixture
    def alice(self, store: Store) -> UserStore:
        """Return the handle of a user who has nothing yet."""
        return store.for_user(f"alice-{uuid4()}")

    @pytest.fixture
    def prefix(self) -> str:
        """Return the beginning of names of users who have nothing yet, and the name of one."""
        return f"user-{uuid4()}-"

    @pytest.fixture
    def bob(self, store: Store) -> UserStore:
        """Return the handle of another user who has nothing yet."""
        return store.for_user(f"bob-{uuid4()}")


def new(record_id: str, *, tokens: int = 1, body: bytes = b"{}") -> NewRecord:
    """Return a record to append."""
    return NewRecord(record_id=record_id, kind="note", body=body, tokens=tokens)


def writing(
    lease: Lease,
    at: int,
    *records: NewRecord,
    state: TurnState = "open",
    open_turn: int | None = 1,
    release: bool = False,
) -> Append:
    """Return a write of `records` behind the first `at` ones."""
    return Append(lease=lease, expected_seq=at, records=records, state=state, open_turn=open_turn, release=release)


async def claimed(user: UserStore, conversation: str = "c", *, owner: str = "w1", ttl: float = 60.0) -> Lease:
    """Return a lease."""
    return await user.claim(conversation, owner=owner, ttl=ttl)


async def filled(user: UserStore, *tokens: int, conversation: str = "c") -> Lease:
    """Return a lease on a conversation with records r1, r2, … of so many tokens."""
    lease = await claimed(user, conversation)
    await user.append(writing(lease, 0, *(new(f"r{n}", tokens=count) for n, count in enumerate(tokens, start=1))))
    return lease


def rows(records: Sequence[Record]) -> list[tuple[int, str, int, int]]:
    """Return the seq, id, tokens and total tokens of records."""
    return [(record.seq, record.record_id, record.tokens, record.total_tokens) for record in records]


def ids(records: Sequence[Record]) -> list[str]:
    """Return the ids of records."""
    return [record.record_id for record in records]
