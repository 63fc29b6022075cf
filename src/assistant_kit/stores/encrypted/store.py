"""A store around another one, which sees bodies of records and titles only sealed."""

import zlib
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, Final

from assistant_kit.audit_chain import AuditLink
from assistant_kit.errors import ConversationNotFound, DecryptionFailed, InputError, LeaseLost
from assistant_kit.protocols.key_provider import KeyProvider
from assistant_kit.protocols.store import (
    Append,
    ConversationInfo,
    Lease,
    NewRecord,
    Record,
    Store,
    TurnState,
    Unfinished,
    UserStore,
)
from assistant_kit.stores._claims import given_back_on_failure
from assistant_kit.stores._rules import MAX_TITLE, beginning, check_append, check_claim, check_name, check_title
from assistant_kit.stores.encrypted.data_keys import SEALED_OVERHEAD, DataKeys, UnknownKey
from assistant_kit.stores.encrypted.key_ring import RESERVED, RING, KeyRing, RingLocked

_LEASES: Final = 10_000
"""Leases kept in memory under which the keys were looked at."""

_TITLE_BYTES: Final = MAX_TITLE * 3 // 4 - SEALED_OVERHEAD - 1
"""Bytes of a title that fits; a longer one has to be compressible."""

_PLAIN, _PACKED = b"\0", b"\1"


class EncryptedStore:
    """Seals what goes into `store` under a data key of each user, which the master keys of `keys` wrap.

    `kept` is the wrapped store: what is in there is sealed. It has to be used through this one only, and from the
    beginning: a record that is not sealed does not open.
    """

    def __init__(self, store: Store, keys: KeyProvider) -> None:
        self.kept = store
        self._ring = KeyRing(keys)
        self._confirmed = _Leases()

    def __repr__(self) -> str:
        return f"EncryptedStore({self.kept!r})"

    def for_user(self, user: str) -> UserStore:
        """Return the handle through which alone the data of `user` is reached. Raises InputError."""
        return _UserStore(self.kept.for_user(user), user, self._ring, self._confirmed)

    async def open(self) -> None:
        """Open the wrapped store."""
        await self.kept.open()

    async def unfinished(self, *, state: TurnState = "open", limit: int = 100) -> Sequence[Unfinished]:
        """Return conversations in this state that nobody holds, the longest unchanged first."""
        asked = limit
        while True:
            found = await self.kept.unfinished(state=state, limit=asked)
            shown = [each for each in found if not each.conversation.startswith(RESERVED)]
            if len(shown) >= limit or len(found) < asked:
                return shown[: max(0, limit)]
            asked += len(found) - len(shown)

    async def users(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return users who have a conversation or an audit chain, in order; costs a read for each."""
        shown: list[str] = []
        while len(shown) < limit and (page := await self.kept.users(after=after, limit=limit)):
            shown += [user for user in page if await _is_shown(self.kept.for_user(user))]
            after = page[-1]
        return shown[: max(0, limit)]

    async def rotate(self, user: str) -> None:
        """Wrap the user's data keys under the newest master key, and make a new one for what follows.

        What was sealed before stays readable. Raises DecryptionFailed when a master key is missing, and
        ConversationBusy while another worker does the same: try again.
        """
        try:
            await self._ring.renew(user, self.kept.for_user(user))
        except RingLocked as error:
            raise DecryptionFailed(RING, None, str(error)) from error

    async def aclose(self) -> None:
        """Close the wrapped store."""
        await self.kept.aclose()


async def _is_shown(kept: UserStore) -> bool:
    infos = await kept.conversations(limit=2)
    return any(not info.conversation.startswith(RESERVED) for info in infos) or bool(await kept.audit_log(limit=1))


class _Leases:
    """The leases since whose beginning the data keys were looked at, by user, conversation and fence."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str, int], None] = OrderedDict()

    def add(self, user: str, lease: Lease) -> None:
        with self._lock:
            self._known[user, lease.conversation, lease.fence] = None
            if len(self._known) > _LEASES:
                self._known.popitem(last=False)

    def __contains__(self, key: tuple[str, str, int]) -> bool:
        with self._lock:
            return key in self._known


class _UserStore:
    """The journals of one user.

    An erased user's data keys are gone, while this process may still hold them. What it sealed under them, for the
    same user who has come back meanwhile, nobody could open. So the keys are looked at in the store after each claim:
    an erasure after that takes the lease away.
    """

    __slots__ = ("_confirmed", "_ring", "_user", "kept")

    def __init__(self, kept: UserStore, user: str, ring: KeyRing, confirmed: _Leases) -> None:
        self.kept = kept
        self._user = user
        self._ring = ring
        self._confirmed = confirmed

    async def claim(self, conversation: str, *, owner: str, ttl: float, begin: NewRecord | None = None) -> Lease:
        """Take the lease, making the conversation when it is new.

        Raises ConversationBusy, DecryptionFailed, InputError, and LeaseLost if the user is erased at this moment.
        """
        _check(conversation)
        check_claim(conversation, owner, ttl, begin)
        keys = self._ring.known(self._user) or await self._made(conversation)
        sealed = None if begin is None else self._sealed(keys, begin)
        lease = await self.kept.claim(conversation, owner=owner, ttl=ttl, begin=sealed)
        async with given_back_on_failure(self.kept, lease):
            await self._confirm(lease, keys, begin, ttl=ttl)
        return lease

    async def _confirm(self, lease: Lease, keys: DataKeys, begin: NewRecord | None, *, ttl: float) -> None:
        """See that what was sealed for this claim can be opened; else seal it anew."""
        current = await self._current(lease.conversation)
        if current is None:
            await self.kept.renew(lease, ttl=ttl)  # nothing is made for a user who was erased since the claim
            current = await self._made(lease.conversation)
        if begin is not None and lease.begun and not current.covers(keys):
            await self.kept.rewind(lease, to=lease.seq - 1)
            before = replace(lease, seq=lease.seq - 1)
            await self.kept.append(beginning(before, self._sealed(current, begin)))
        self._confirmed.add(self._user, lease)

    async def renew(self, lease: Lease, *, ttl: float) -> None:
        """Let the lease end `ttl` seconds from now. Raises LeaseLost, InputError."""
        _check(lease.conversation)
        await self.kept.renew(lease, ttl=ttl)

    async def release(self, lease: Lease) -> None:
        """Give the lease up; does nothing when it has passed to somebody else."""
        _check(lease.conversation)
        await self.kept.release(lease)

    async def append(self, write: Append) -> None:
        """Write records, all or none, durable on return.

        Raises LeaseLost, ConversationConflict, DecryptionFailed, InputError.
        """
        check_append(write)
        keys = await self._keys_under(write.lease)
        await self.kept.append(self._sealed_write(keys, write))

    async def transact(self, lease: Lease, work: Callable[[Any], Awaitable[Append]]) -> None:
        """Make a write in one transaction with what else is done in it; the write is sealed in it."""
        keys = await self._keys_under(lease)

        async def sealed(connection: Any) -> Append:
            write = await work(connection)
            check_append(write)
            return self._sealed_write(keys, write)

        await self.kept.transact(lease, sealed)

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        max_tokens: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Record]:
        """Return the newest records that fit the limits, in order.

        Raises ConversationNotFound, DecryptionFailed, InputError.
        """
        _check(conversation)
        sealed = await self.kept.read(conversation, after=after, before=before, max_tokens=max_tokens, limit=limit)
        opened: list[Record] = []
        for record in sealed:
            place = ("record", self._user, record.record_id, record.kind)
            opened.append(replace(record, body=await self._opened(record.body, conversation, record.seq, *place)))
        return opened

    async def locate(self, conversation: str, record_id: str) -> int | None:
        """Return the seq of a record by its id; None when there is none. Raises InputError."""
        _check(conversation)
        return await self.kept.locate(conversation, record_id)

    async def info(self, conversation: str) -> ConversationInfo:
        """Return what lists show of one conversation. Raises ConversationNotFound, DecryptionFailed, InputError."""
        _check(conversation)
        return await self._with_title(await self.kept.info(conversation))

    async def conversations(self, *, limit: int = 100, before: float | None = None) -> Sequence[ConversationInfo]:
        """Return conversations, the last changed first. Raises DecryptionFailed."""
        infos = await self.kept.conversations(limit=limit + 1, before=before)
        shown = [info for info in infos if not info.conversation.startswith(RESERVED)]
        return [await self._with_title(info) for info in shown[: max(0, limit)]]

    async def _with_title(self, info: ConversationInfo) -> ConversationInfo:
        if not info.title:
            return info
        name = info.conversation
        try:
            sealed = b64decode(info.title, validate=True)
        except ValueError:
            sealed = b""  # which is not sealed
        title = await self._opened(sealed, name, None, "title", self._user, name)
        text = title[1:] if title.startswith(_PLAIN) else zlib.decompress(title[1:])
        return replace(info, title=text.decode())

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title that lists show. Raises ConversationNotFound, DecryptionFailed, InputError."""
        _check(conversation)
        check_name("conversation", conversation)
        check_title(title)
        keys: DataKeys | None = None
        while True:
            current = await self._current(conversation)
            if current is None:  # whoever has a conversation has keys
                raise ConversationNotFound(conversation)
            if keys is not None and current.covers(keys):
                return
            keys = current
            await self.kept.rename(conversation, self._sealed_title(keys, conversation, title))

    def _sealed_title(self, keys: DataKeys, conversation: str, title: str) -> str:
        if not title:
            return ""
        text = title.encode()
        plain = _PLAIN + text if len(text) <= _TITLE_BYTES else _PACKED + zlib.compress(text)
        if len(plain) > _TITLE_BYTES + 1:
            raise InputError(f"an encrypted title has at most {_TITLE_BYTES} bytes, this one has {len(text)}")
        return b64encode(keys.seal(plain, "title", self._user, conversation)).decode()

    async def fork(self, conversation: str, new: str, *, at: int) -> None:
        """Make a conversation of the first records of another.

        Raises ConversationNotFound, ConversationExists, InputError.
        """
        _check(conversation)
        _check(new)
        await self.kept.fork(conversation, new, at=at)

    async def rewind(self, lease: Lease, *, to: int) -> None:
        """Let the conversation go on after its record `to`. Raises LeaseLost, InputError."""
        _check(lease.conversation)
        await self.kept.rewind(lease, to=to)

    async def delete(self, conversation: str) -> None:
        """Delete a conversation with its records. Raises ConversationNotFound, ConversationBusy, InputError."""
        _check(conversation)
        await self.kept.delete(conversation)

    async def erase(self) -> int:
        """Delete all that is kept of this user, the data keys too, and return the number of conversations."""
        try:
            await self.kept.read(RING, limit=0)
            hidden = 1
        except ConversationNotFound:
            hidden = 0
        erased = await self.kept.erase()
        self._ring.forget(self._user)
        return max(0, erased - hidden)

    async def audit_log(self, *, after: int = 0, limit: int = 1000) -> Sequence[AuditLink]:
        """Return links of the audit chain. It is about what is kept: the sealed bodies, and the data keys."""
        return await self.kept.audit_log(after=after, limit=limit)

    async def _made(self, conversation: str) -> DataKeys:
        try:
            return await self._ring.made(self._user, self.kept)
        except RingLocked as error:
            raise DecryptionFailed(conversation, None, str(error)) from error

    async def _current(self, conversation: str) -> DataKeys | None:
        try:
            return await self._ring.current(self._user, self.kept)
        except RingLocked as error:
            raise DecryptionFailed(conversation, None, str(error)) from error

    async def _keys_under(self, lease: Lease) -> DataKeys:
        """Return the keys under which to seal what is written under a lease. Raises LeaseLost, DecryptionFailed."""
        _check(lease.conversation)
        keys = self._ring.known(self._user)
        if keys is None or (self._user, lease.conversation, lease.fence) not in self._confirmed:
            keys = await self._current(lease.conversation)
            if keys is None:  # whoever had the lease had keys: the user was erased
                raise LeaseLost(lease.conversation)
            self._confirmed.add(self._user, lease)
        return keys

    def _sealed(self, keys: DataKeys, record: NewRecord) -> NewRecord:
        body = keys.seal(record.body, "record", self._user, record.record_id, record.kind)
        return replace(record, body=body)

    def _sealed_write(self, keys: DataKeys, write: Append) -> Append:
        return replace(write, records=[self._sealed(keys, record) for record in write.records])

    async def _opened(self, sealed: bytes, conversation: str, seq: int | None, *place: str) -> bytes:
        """Return the plain text. Raises DecryptionFailed."""
        try:
            keys = self._ring.known(self._user) or await self._ring.current(self._user, self.kept)
            if keys is None:
                raise DecryptionFailed(conversation, seq, "the user has no data keys")
            try:
                return keys.open(sealed, *place)
            except UnknownKey:  # another worker may have made a new one
                keys = await self._ring.current(self._user, self.kept) or keys
                return keys.open(sealed, *place)
        except (RingLocked, ValueError) as error:
            raise DecryptionFailed(conversation, seq, str(error)) from error


def _check(conversation: str) -> None:
    if conversation.startswith(RESERVED):
        raise InputError(
            f"conversation {conversation!r}: names that begin with {RESERVED!r} are not free: take another"
        )
