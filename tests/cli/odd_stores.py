"""Stores that somebody might have written, and that do not do what they should: at `odd:NAME`."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import pytest

from assistant_kit import registry
from assistant_kit.entries import Measured
from assistant_kit.errors import DecryptionFailed
from assistant_kit.journal_json import encode
from assistant_kit.protocols.store import Append, ConversationInfo, NewRecord, Record, UserStore
from assistant_kit.stores.memory import MemoryStore
from tests.cli.scribe import finished, resumed, said

STORES: Final[dict[str, "OddStore"]] = {}


class OddStore:
    """A store in memory that stays open, and hands out handles of `kind`."""

    def __init__(self, kind: type["OddUserStore"], *, audit: bool = False) -> None:
        self.memory = MemoryStore(audit=audit)
        self.kind = kind

    @classmethod
    def from_address(cls, address: str) -> "OddStore":
        return STORES[address]

    def for_user(self, user: str) -> Any:
        return self.kind(self.memory.for_user(user))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)


class OddUserStore:
    """Passes everything on."""

    def __init__(self, store: UserStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Forgetful(OddUserStore):
    """Says that it has erased, and has not."""

    async def erase(self) -> int:
        return 0


class Locked(OddUserStore):
    """Cannot decrypt record 2, nor any page with it."""

    async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
        records = await self.store.read(conversation, **window)
        if any(record.seq == 2 for record in records):
            raise DecryptionFailed(conversation, 2, "the key is another one")
        return records


class Moving(OddUserStore):
    """Is written to while it is read: each list says what the test has put down for it."""

    lists: ClassVar[list[list[ConversationInfo]]] = []

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        if self.lists:
            return self.lists.pop(0)
        return await self.store.conversations(limit=limit, before=before)


def odd(monkeypatch: pytest.MonkeyPatch, kind: type[OddUserStore], *, audit: bool = False) -> OddStore:
    """Make a store at `odd:`."""
    monkeypatch.setitem(registry.STORES, "odd:", (__name__, "OddStore"))
    STORES["odd:"] = store = OddStore(kind, audit=audit)
    return store


async def fill(store: OddStore) -> None:
    """Write a conversation of three records."""
    journals = store.memory.for_user("u")
    lease = await journals.claim("c", owner="w", ttl=60)
    entries = [said("t", "x"), resumed("t", 2), finished("t", "failed")]
    records = [
        NewRecord(record_id=f"r{n}", kind=entry.kind, body=encode(Measured(entry=entry, tokens=0, counted_by="test")))
        for n, entry in enumerate(entries)
    ]
    write = Append(lease=lease, expected_seq=0, records=records, state="idle", open_turn=None, release=True)
    await journals.append(write)
