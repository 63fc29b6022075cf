"""Pseudonyms in a store: as durable as a journal, and sealed when the store is an `EncryptedStore`.

Of each user one conversation is kept. Each record of it has the values that got a pseudonym at once; numbers follow
from the order of the records. Shared state will not do: what it holds expires and may be lost with the last moments
before a crash, and then a number would be given out twice, and a text be restored to somebody else's address.
"""

import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from anyio import CancelScope, sleep

from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationNotFound,
    LeaseLost,
    StoreBusy,
    StoreCorrupt,
    StoreError,
)
from assistant_kit.maskers._ledger import Ledger, check_user
from assistant_kit.protocols.masker import Private
from assistant_kit.protocols.store import Append, NewRecord, Record, Store, UserStore
from assistant_kit.protocols.user_data import Kept

CONVERSATION: Final = "assistant_kit:pseudonyms"
"""The conversation of a user in which the values stand."""

_KIND: Final = "pseudonyms"
_VERSION: Final = 1
_TTL: Final = 10.0  # seconds
_PAUSE: Final = 0.1  # seconds between attempts while another worker writes
_ATTEMPTS: Final = 150  # longer than the lease of a worker that died
_CACHED: Final = 1000
"""Users whose pseudonyms are kept in memory, so that only new records are read."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """What was read of a user: all up to the record `seq`, which has the id `record_id`."""

    ledger: Ledger
    seq: int = 0
    record_id: str = ""


class StoreVault:
    """Pseudonyms in `store`, which is to have nothing else: forgetting a user erases all that it has of him.

    It is opened and closed with the vault. Workers may share it: a value gets one pseudonym, whoever asks. One object
    serves several event loops, if the store does.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def __repr__(self) -> str:
        return f"StoreVault({self._store!r})"

    def for_user(self, user: str) -> "UserStoreVault":
        """Return the handle for `user`. Raises InputError."""
        check_user(user)
        return UserStoreVault(self, user, self._store.for_user(user))

    async def erase_user(self, user: str) -> None:
        """Forget the values of a user. Raises StoreError."""
        await self._store.for_user(user).erase()
        with self._lock:
            self._known.pop(user, None)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return the pseudonyms of a user with their values. Raises StoreError."""
        for each in (await self.for_user(user).ledger()).exported():
            yield each

    async def aclose(self) -> None:
        """Close the store."""
        await self._store.aclose()

    def known(self, user: str) -> _Known | None:
        """Return what was read of a user."""
        with self._lock:
            return self._known.get(user)

    def learn(self, user: str, known: _Known, records: Sequence[Record]) -> Ledger:
        """Add to what is known of a user what these records tell, those behind it. Raises StoreCorrupt."""
        told = [(record, _values(record)) for record in records]
        with self._lock:  # other tasks may have read the same
            for record, values in told:
                if record.seq > known.seq:
                    known.ledger.add(values)
                    known.seq, known.record_id = record.seq, record.record_id
            self._known[user] = known
            self._known.move_to_end(user)
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
            return known.ledger


class UserStoreVault:
    """The pseudonyms of one user.

    Each call looks whether the store has more, or has forgotten the user: what another worker did is seen at once.
    """

    __slots__ = ("_store", "_user", "_vault")

    def __init__(self, vault: StoreVault, user: str, store: UserStore) -> None:
        self._vault = vault
        self._user = user
        self._store = store

    async def hide(self, values: Sequence[Private]) -> Sequence[str]:
        """Return a pseudonym for each value; durable on return. Raises StoreError."""
        ledger = await self.ledger()
        for _ in range(_ATTEMPTS):
            if not ledger.unknown(values):
                return ledger.names(values)
            try:
                await self._write(values)
            except ConversationBusy:
                await sleep(_PAUSE)
            except (ConversationConflict, LeaseLost):
                pass  # somebody was faster, or has erased the user
            ledger = await self.ledger()
        raise StoreBusy(f"somebody else has been writing pseudonyms of user {self._user!r} for long: try again")

    async def reveal(self, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Return the values that these pseudonyms stand for. Raises StoreError."""
        return (await self.ledger()).revealed(pseudonyms)

    async def ledger(self) -> Ledger:
        """Return all that is kept now. Raises StoreError."""
        known = self._vault.known(self._user)
        if known is not None and known.seq:
            seq, record_id = known.seq, known.record_id
            last, *new = await self._read(after=seq - 1) or (None,)
            if last is not None and (last.seq, last.record_id) == (seq, record_id):
                return self._vault.learn(self._user, known, new)
        return self._vault.learn(self._user, _Known(ledger=Ledger()), await self._read(after=0))

    async def _read(self, *, after: int) -> Sequence[Record]:
        try:
            return await self._store.read(CONVERSATION, after=after)
        except ConversationNotFound:
            return ()

    async def _write(self, values: Sequence[Private]) -> None:
        lease = await self._store.claim(CONVERSATION, owner=secrets.token_hex(8), ttl=_TTL)
        try:
            new = (await self.ledger()).unknown(values)
            records = [_record(new)] if new else []
            await self._store.append(
                Append(lease=lease, expected_seq=lease.seq, records=records, state="idle", open_turn=None, release=True)
            )
        except BaseException:
            with CancelScope(shield=True), suppress(StoreError):
                await self._store.release(lease)
            raise


def _record(values: Sequence[Private]) -> NewRecord:
    body = {"v": _VERSION, "new": [[each.kind, each.value] for each in values]}
    return NewRecord(record_id=secrets.token_hex(12), kind=_KIND, body=json.dumps(body).encode())


def _values(record: Record) -> list[Private]:
    try:
        told: Any = json.loads(record.body)
        if told["v"] == _VERSION:
            return [Private(kind=kind, value=value) for kind, value in told["new"]]
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt(f"record {record.seq} of the pseudonyms of a user cannot be read") from error
    raise StoreCorrupt(
        f"record {record.seq} of the pseudonyms of a user was written by a newer version of assistant_kit"
    )
