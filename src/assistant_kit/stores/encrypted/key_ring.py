"""Where the data keys of users stand: wrapped, in the encrypted store itself, in a conversation that nobody sees.

Each record of it is a whole ring: all data keys of the user, under the master key that was the newest then. The newest
record counts. Who erases a user erases the ring with everything else.
"""

import json
import secrets
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Any, Final, cast

from anyio import CancelScope, sleep

from assistant_kit.errors import ConversationBusy, ConversationNotFound, StoreBusy
from assistant_kit.protocols.key_provider import KeyProvider, WrappedKey
from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores.encrypted.aead import KEY_BYTES
from assistant_kit.stores.encrypted.data_keys import DataKey, DataKeys

RESERVED: Final = "assistant_kit:keys"
"""How names begin that callers may not use."""

RING: Final = RESERVED

_CACHED: Final = 1000
"""Users whose keys are kept in memory."""

_TTL: Final = 30.0
_ATTEMPTS: Final = 50
_PAUSE: Final = 0.1  # between attempts, while somebody else makes the ring


class RingLocked(Exception):
    """The ring cannot be opened; the text says why."""


class KeyRing:
    """Finds, makes and renews the data keys of users. Threads and event loops may share it."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider
        self._lock = Lock()
        self._cache: OrderedDict[str, DataKeys] = OrderedDict()

    def known(self, user: str) -> DataKeys | None:
        """Return the keys as they were when they were last looked at."""
        with self._lock:
            keys = self._cache.get(user)
            if keys is not None:
                self._cache.move_to_end(user)
            return keys

    def forget(self, user: str) -> None:
        """Forget the keys of a user."""
        with self._lock:
            self._cache.pop(user, None)

    async def current(self, user: str, store: UserStore) -> DataKeys | None:
        """Return the keys as they stand in the store now; None if there are none. Raises RingLocked."""
        try:
            newest = await store.read(RING, limit=1)
        except ConversationNotFound:
            newest = ()
        if not newest:
            self.forget(user)
            return None
        known = self.known(user)
        if known is not None and known.ring == newest[-1].body:
            return known
        return self._keep(user, await self._unwrapped(user, newest[-1].body))

    async def made(self, user: str, store: UserStore) -> DataKeys:
        """Return the keys as they stand in the store, making the first one if there is none.

        Raises RingLocked, StoreBusy.
        """
        for _ in range(_ATTEMPTS):
            keys = await self.current(user, store)
            if keys is not None:
                return keys
            try:
                await self._make(user, store)
            except ConversationBusy:
                await sleep(_PAUSE)
        raise StoreBusy(f"somebody else has been making data keys for user {user!r} for long: try again")

    async def _make(self, user: str, store: UserStore) -> None:
        ring = await self._wrapped(user, [DataKey.new()])
        # Of workers that do this at once, one begins the conversation: claim and record are one write.
        lease = await store.claim(RING, owner=secrets.token_hex(8), ttl=_TTL, begin=_record(1, ring))
        with CancelScope(shield=True):
            if lease.begun:
                await store.append(_write(lease, seq=lease.seq))
            else:
                await store.release(lease)

    async def renew(self, user: str, store: UserStore) -> None:
        """Wrap all keys under the newest master key, and make a new one for what follows.

        Raises RingLocked, and ConversationBusy while somebody else does this.
        """
        if await self.current(user, store) is None:
            return
        lease = await store.claim(RING, owner=secrets.token_hex(8), ttl=_TTL)
        try:
            keys = await self.current(user, store)  # now that nobody else changes them
            if keys is not None:
                ring = await self._wrapped(user, [*keys.keys.values(), DataKey.new()])
                await store.append(_write(lease, _record(lease.seq + 1, ring), seq=lease.seq))
                await self.current(user, store)
        finally:
            with CancelScope(shield=True):
                await store.release(lease)

    def _keep(self, user: str, keys: DataKeys) -> DataKeys:
        with self._lock:
            self._cache[user] = keys
            self._cache.move_to_end(user)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return keys

    async def _wrapped(self, user: str, keys: Iterable[DataKey]) -> bytes:
        shown: list[dict[str, str]] = []
        for key in keys:
            wrapped = await self._provider.wrap(key.secret, context=_context(user, key.key_id))
            shown.append(
                {"id": key.key_id.hex(), "master": wrapped.master, "wrapped": b64encode(wrapped.data).decode()}
            )
        return json.dumps({"v": 1, "keys": shown}).encode()

    async def _unwrapped(self, user: str, ring: bytes) -> DataKeys:
        keys: dict[bytes, DataKey] = {}
        for key_id, wrapped in _parsed(ring):
            try:
                secret = await self._provider.unwrap(wrapped, context=_context(user, key_id))
            except (LookupError, ValueError) as error:
                raise RingLocked(f"data key {key_id.hex()}: {error}") from error
            if len(secret) != KEY_BYTES:
                raise RingLocked(f"data key {key_id.hex()} has {len(secret)} bytes")
            keys[key_id] = DataKey(key_id, secret)
        return DataKeys(keys, ring=ring)


def _parsed(ring: bytes) -> list[tuple[bytes, WrappedKey]]:
    try:
        told: Any = json.loads(ring)
        keys = cast("list[dict[str, str]]", told["keys"] if told["v"] == 1 else [])
        found = [
            (bytes.fromhex(key["id"]), WrappedKey(master=key["master"], data=b64decode(key["wrapped"], validate=True)))
            for key in keys
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise RingLocked("the record of the data keys cannot be read") from error
    if not found:
        raise RingLocked("the record of the data keys was written by a newer version of assistant_kit")
    return found


def _context(user: str, key_id: bytes) -> str:
    return f"assistant_kit data key {key_id.hex()} of {user}"


def _record(number: int, ring: bytes) -> NewRecord:
    return NewRecord(record_id=f"keys-{number}", kind="data_keys", body=ring)


def _write(lease: Lease, *records: NewRecord, seq: int) -> Append:
    return Append(lease=lease, expected_seq=seq, records=records, state="idle", open_turn=None, release=True)
