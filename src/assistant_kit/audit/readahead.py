"""The records of many conversations, each read in order and ahead, with little memory."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from assistant_kit.protocols.store import Record, UserStore

PAGE: Final = 64
"""Records of one conversation that are read ahead."""

WINDOWS: Final = 256
"""Conversations whose records are read ahead at a time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a record is to be compared by; `sha256` is that of its body, in hexadecimal digits."""

    record_id: str
    kind: str
    tokens: int
    total_tokens: int
    sha256: str
    fence: int
    at: float


@dataclass(slots=True)
class _Window:
    upto: int = 0
    ahead: int = 1
    seen: dict[int, Seen] = field(default_factory=dict[int, Seen])


class Readahead:
    """Reads a conversation further ahead the longer it is read without a pause; what is read twice is at most half."""

    def __init__(self, store: UserStore) -> None:
        self._store = store
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    async def records(self, conversation: str, seq: int, count: int) -> Sequence[Seen | None]:
        """Return `count` records from `seq` on; None for one that is not there. Raises ConversationNotFound."""
        window = self._windows.setdefault(conversation, _Window())
        self._windows.move_to_end(conversation)
        if len(self._windows) > WINDOWS:
            self._windows.popitem(last=False)
        if seq + count - 1 > window.upto:
            window.ahead = max(count, min(2 * window.ahead, PAGE))
            window.upto = seq + window.ahead - 1
            found = await self._store.read(conversation, after=seq - 1, before=window.upto + 1)
            window.seen = {record.seq: _seen(record) for record in found}
        return [window.seen.pop(number, None) for number in range(seq, seq + count)]


def _seen(record: Record) -> Seen:
    body = hashlib.sha256(record.body).hexdigest()
    return Seen(record.record_id, record.kind, record.tokens, record.total_tokens, body, record.fence, record.at)
