"""Encrypted stores that a test can write to, look into, tamper with and interrupt."""

import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from assistant_kit.errors import (
    DecryptionFailed,
)
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record, Store, UserStore
from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.encrypted.key_ring import RING

OLD, NEW = os.urandom(32), os.urandom(32)

KEYS = MasterKeys({"m1": OLD})


def new(record_id: str, body: bytes = b"secret") -> NewRecord:
    return NewRecord(record_id=record_id, kind="note", body=body, tokens=1)


def writing(lease: Lease, at: int, *records: NewRecord) -> Append:
    return Append(lease=lease, expected_seq=at, records=records, state="idle", open_turn=None, release=True)


async def write(store: Store, conversation: str = "c", *, body: bytes = b"secret", user: str = "u") -> None:
    handle = store.for_user(user)
    lease = await handle.claim(conversation, owner="w", ttl=60)
    await handle.append(writing(lease, lease.seq, new(f"r{lease.seq + 1}", body)))


async def bodies(store: Store, conversation: str = "c", *, user: str = "u") -> list[bytes]:
    return [record.body for record in await store.for_user(user).read(conversation)]


async def ring_of(kept: Store, user: str = "u") -> list[list[dict[str, str]]]:
    return [json.loads(record.body)["keys"] for record in await kept.for_user(user).read(RING)]


async def failure(work: Callable[[], Awaitable[object]]) -> tuple[str, int | None]:
    with pytest.raises(DecryptionFailed) as caught:
        await work()
    return caught.value.conversation, caught.value.seq


class Changing:
    """A handle whose records are changed before they are seen."""

    def __init__(self, store: UserStore, change: Callable[[str, Sequence[Record]], Sequence[Record]]) -> None:
        self._store = store
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
        return self._change(conversation, await self._store.read(conversation, **window))


class ChangingStore:
    def __init__(self, store: Store, change: Callable[[str, Sequence[Record]], Sequence[Record]]) -> None:
        self._store = store
        self._change = change

    def for_user(self, user: str) -> UserStore:
        return cast("UserStore", Changing(self._store.for_user(user), self._change))


def changed(kept: Store, change: Callable[[str, Sequence[Record]], Sequence[Record]]) -> EncryptedStore:
    return EncryptedStore(cast("Store", ChangingStore(kept, change)), KEYS)


async def three(kept: Store) -> None:
    for body in (b"one", b"two", b"three"):
        await write(EncryptedStore(kept, KEYS), body=body)


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


class Before:
    """A handle that lets something be done before the nth call of a method."""

    def __init__(self, store: UserStore, acts: dict[tuple[str, int], Callable[[], Awaitable[object]]]) -> None:
        self._store = store
        self._acts = acts
        self._calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def after_it(*args: Any, **kwargs: Any) -> Any:
            self._calls[name] += 1
            if act := self._acts.pop((name, self._calls[name]), None):
                await act()
            return await method(*args, **kwargs)

        return after_it


class BeforeStore:
    def __init__(self, store: Store, acts: dict[tuple[str, int], Callable[[], Awaitable[object]]]) -> None:
        self._store = store
        self.acts = acts

    def for_user(self, user: str) -> UserStore:
        return cast("UserStore", Before(self._store.for_user(user), self.acts))


def interrupted(
    kept: Store, acts: dict[tuple[str, int], Callable[[], Awaitable[object]]] | None = None
) -> tuple[EncryptedStore, BeforeStore]:
    before = BeforeStore(kept, acts or {})
    return EncryptedStore(cast("Store", before), KEYS), before


async def erase_and_begin_anew(kept: Store) -> None:
    """What another worker may do: the keys that this one holds in memory are worth nothing then."""
    other = EncryptedStore(kept, KEYS)
    await other.for_user("u").erase()
    await write(other, body=b"anew")
