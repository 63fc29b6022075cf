"""What belongs to a conversation beside its journal: whole texts of long results, and turns of nested assistants.

Each is a hidden conversation whose name stands in an entry of the journal. Conversations that share the entry, as forks
do, share what it names: that stays until the last of them is gone.
"""

import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

import anyio

from assistant_kit.entries import Measured, ToolFinished, ToolNoted, TurnFinished
from assistant_kit.errors import ConversationNotFound, DecryptionFailed, StoreCorrupt, StoreError, UnreadableEntry
from assistant_kit.journal_json import decode, encode
from assistant_kit.protocols.nested_calls import KEPT, is_nested
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record, UserStore
from assistant_kit.run.long_results import LEASE, claimed, hidden
from assistant_kit.stores._pages import all_conversations
from assistant_kit.usage import Usage

_log = logging.getLogger("assistant_kit.run")

_PAGE: Final = 100
"""Records read at once."""

_CLEANUP: Final = 5.0  # seconds
_DAMAGE: Final = (DecryptionFailed, StoreCorrupt, UnreadableEntry)
_NAMING: Final = ("tool_finished", "tool_noted")


@dataclass(frozen=True, slots=True)
class Belonging:
    """A hidden conversation, and the record that names it."""

    record: Record
    conversation: str

    @property
    def is_nested(self) -> bool:
        """Whether it is a journal, to which more may belong; else it is a text."""
        return not self.conversation.startswith(KEPT)


async def delete_whole(stores: Sequence[UserStore], conversation: str, *, going: frozenset[str] = frozenset()) -> None:
    """Delete a conversation of the first store, and before it what belongs to it and to no other conversation.

    What belongs to it is looked for in all of `stores`. Nobody can write to it meanwhile; a turn that is not finished
    ends, so that no recovery makes its calls again. What fails half-way is finished by deleting again. What a damaged
    record names is not found: it stays until the user is erased. `going` are conversations whose deletion this one is
    part of. Raises ConversationNotFound, ConversationBusy, StoreError.
    """
    store = stores[0]
    await store.read(conversation, limit=0)  # a claim would make it
    lease = await claimed(store, conversation, owner=os.urandom(12).hex())
    try:
        await delete_belongings(stores, lease, after=0, reason="the conversation was deleted", going=going)
    finally:
        with anyio.move_on_after(_CLEANUP, shield=True), suppress(StoreError):
            await store.release(lease)
    await store.delete(conversation)


async def delete_belongings(
    stores: Sequence[UserStore], lease: Lease, *, after: int, reason: str, going: frozenset[str] = frozenset()
) -> None:
    """Delete what belongs to the records of a conversation after one of them and to no other conversation.

    A turn that is not finished ends for `reason`. Raises ConversationBusy, LeaseLost, StoreError.
    """
    store, conversation = stores[0], lease.conversation
    await _end_turn(store, lease, reason)
    sharers = _Sharers(store, conversation)
    going |= {conversation}
    for begin in range(after, lease.seq, _PAGE):
        await store.renew(lease, ttl=LEASE)
        for record in await _undamaged(store, conversation, begin, min(begin + _PAGE, lease.seq) + 1):
            for belonging in _named_by(conversation, record):
                if belonging.conversation not in going and not await sharers.have(record):
                    await _delete(stores, belonging, going)
                    if belonging.is_nested:  # that may have taken long
                        await store.renew(lease, ttl=LEASE)


async def _delete(stores: Sequence[UserStore], belonging: Belonging, going: frozenset[str]) -> None:
    """Delete a hidden conversation in each store where it is."""
    if not belonging.is_nested:
        with suppress(ConversationNotFound):
            await stores[0].delete(belonging.conversation)
        return
    for store in stores:
        others = [other for other in stores if other is not store]
        with suppress(ConversationNotFound):
            await delete_whole((store, *others), belonging.conversation, going=going)


async def belongings(
    stores: Sequence[UserStore], conversation: str, *, upto: int, going: frozenset[str] = frozenset()
) -> AsyncGenerator[tuple[UserStore, str], None]:
    """Return what belongs to the first `upto` records of a conversation, with its stores: what others need comes first.

    A text or a turn that is not there is left out.
    """
    store = stores[0]
    going |= {conversation}
    for begin in range(0, upto, _PAGE):
        for record in await _undamaged(store, conversation, begin, min(begin + _PAGE, upto) + 1):
            for belonging in _named_by(conversation, record):
                if belonging.conversation not in going:
                    async with aclosing(_found(stores, belonging, going)) as found:
                        async for place in found:
                            yield place


async def _found(
    stores: Sequence[UserStore], belonging: Belonging, going: frozenset[str]
) -> AsyncGenerator[tuple[UserStore, str], None]:
    name = belonging.conversation
    for store in stores if belonging.is_nested else stores[:1]:
        try:
            newest = await store.read(name, limit=1)
        except ConversationNotFound:
            continue
        if belonging.is_nested and newest:
            others = [other for other in stores if other is not store]
            async with aclosing(belongings((store, *others), name, upto=newest[-1].seq, going=going)) as inner:
                async for place in inner:
                    yield place
        yield store, name


class _Sharers:
    """Tells of records, asked in their order, whether other conversations of the user have them too."""

    def __init__(self, store: UserStore, conversation: str) -> None:
        self._store = store
        self._conversation = conversation
        self._among: list[str] | None = None

    async def have(self, record: Record) -> bool:
        """Whether any other conversation has this record. Who shares a record shares all before it."""
        if self._among is None:
            names = [info.conversation async for info in all_conversations(self._store)]
            self._among = [name for name in names if name != self._conversation and not name.startswith(KEPT)]
        self._among = [name for name in self._among if await self._store.locate(name, record.record_id) is not None]
        return bool(self._among)


async def _end_turn(store: UserStore, lease: Lease, reason: str) -> None:
    """End the turn that is not finished, if there is one; where it cannot be read, without a record."""
    if lease.open_turn is None:
        return
    records: list[NewRecord] = []
    for first in await _undamaged(store, lease.conversation, lease.open_turn - 1, lease.open_turn + 1):
        entry = _entry(lease.conversation, first)
        if entry is not None:
            turn = entry.entry.turn
            end = TurnFinished(turn=turn, outcome="cancelled", usage=Usage(), reason=reason)
            body = encode(Measured(entry=end, tokens=0, counted_by=""))
            records.append(NewRecord(record_id=f"{turn}/{end.kind}", kind=end.kind, body=body))
    await store.append(
        Append(lease=lease, expected_seq=lease.seq, records=records, state="idle", open_turn=None, release=False)
    )


def _named_by(conversation: str, record: Record) -> list[Belonging]:
    """Return what a record names; at most one, as it is."""
    if record.kind not in _NAMING:
        return []
    measured = _entry(conversation, record)
    match None if measured is None else measured.entry:
        case ToolFinished(kept=kept) if kept:
            with suppress(ConversationNotFound):  # it is no name of a text
                return [Belonging(record, hidden(kept))]
        case ToolNoted(note=note) if is_nested(note):
            return [Belonging(record, note)]
        case _:
            pass
    return []


def _entry(conversation: str, record: Record) -> Measured | None:
    try:
        return decode(record.body, conversation=conversation, seq=record.seq, tokens=0, at=0.0)
    except UnreadableEntry as error:
        _log.warning("what record %d of %r may name is not found: %s", record.seq, conversation, error)
        return None


async def _undamaged(store: UserStore, conversation: str, after: int, before: int) -> Sequence[Record]:
    """Return the records between two places, without those that cannot be had."""
    try:
        return await store.read(conversation, after=after, before=before)
    except _DAMAGE as error:
        if before == after + 2:
            _log.warning("what record %d of %r may name is not found: %s", before - 1, conversation, error)
            return ()
    middle = (after + before) // 2
    return [
        *await _undamaged(store, conversation, after, middle + 1),
        *await _undamaged(store, conversation, middle, before),
    ]
