"""Tool results that are too long to be shown: their beginning and end, and the whole text, kept to be read in pages.

The whole text is kept beside the journal, in a hidden conversation of the same user for each result. Its records hold
pieces of the text as a JSON list: so many to a record, and each so short, that a page of any size is found by its
number, in two reads, however long the text is, and stays what it was when the counter changes.

A text is kept under a name that follows from its call and its content. So attempts of a call that gave different texts
do not touch each other's, and what a journal names is what its preview was cut from. A text is whole when it has its
last record; a whole one is never written again, only deleted.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Final, NamedTuple, cast

import anyio
from anyio.lowlevel import checkpoint

from assistant_kit.errors import (
    ConversationBusy,
    ConversationNotFound,
    StoreError,
    ToolError,
    UnreadableEntry,
)
from assistant_kit.messages import Part, Text, text_of
from assistant_kit.protocols.store import Append, Lease, NewRecord, Record, UserStore
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.registry import CHILD
from assistant_kit.text_pieces import beginning, ending, pieces

KIND: Final = "kept_text"
LAST: Final = "last"
"""The id of the record with which a text is whole."""
PIECE: Final = 32
"""Tokens of a piece at most; what is left of a page is less than that."""
PIECE_CHARS: Final = 128
PIECES: Final = 256
"""Pieces of a record: about 32 kB of English."""
JOINT: Final = 2
"""Tokens that a text may take more than its pieces, for each of them (as `request_tokens.PART`)."""
HEADING: Final = 24
"""Tokens of the line above a page."""
SMALLEST_PAGE: Final = HEADING + PIECE + JOINT

_WRITE: Final = 8  # records: a quarter of a megabyte
LEASE: Final = 20.0  # seconds: less than the lease on a conversation, so that who recovers a turn need not wait
_CLEANUP: Final = 5.0  # seconds
_NAME: Final = re.compile("[0-9a-f]{32}")
_ALWAYS_SHORT: Final = 8  # tokens a character: no counter counts more


class LongResults:
    """Shortens the results of a run's tool calls, and reads the whole texts again.

    Without a store, or without a conversation, the texts live as long as this object.
    """

    def __init__(
        self, store: UserStore | None, conversation: str | None, *, max_tokens: int, counter: TokenCounter, owner: str
    ) -> None:
        """Shorten results of more than `max_tokens`; texts are kept under leases of `owner`."""
        self._place = None if store is None or conversation is None else _Place(store, owner)
        self._max_tokens = max_tokens
        self._counter = counter
        self._kept: dict[str, list[Sequence[str]]] = {}

    async def shortened(self, turn: str, key: str, content: tuple[Part, ...]) -> tuple[tuple[Part, ...], str]:
        """Return the result of call `key` as the model reads it, and the name of the whole text if it was cut.

        The name is empty when it is short enough. A text is cut to its beginning and its end; the line between them,
        which is always there, says how to read the rest. Parts that are no text stay. Texts must be Unicode. Raises
        StoreError when the text cannot be kept.
        """
        text = text_of(content)
        if not self._is_long(text):
            return content, ""
        preview = self._preview(f"{turn}/{key}", text)
        if len(preview) >= len(text):
            return content, ""
        name = name_of(turn, key, text)
        records = records_of(text, self._counter)
        if self._place is None:
            self._kept[name] = await _gathered(records)
        else:
            await self._place.keep(name, records)
        rest = (part for part in content if not isinstance(part, Text))
        return (Text(text=preview), *rest), name

    async def read(self, name: str, *, page: int, page_tokens: int) -> str:
        """Return a page of a text that was kept: a line such as `[page 3 of 17]`, and what stands there.

        Both take at most `page_tokens` together, which are at least 58 (`SMALLEST_PAGE`). Pages without their first
        lines are the whole text. Raises ConversationNotFound when no whole text of this name is kept, ToolError when
        there is no such page, StoreError.
        """
        if self._place is not None:
            return await self._place.read(name, page=page, page_tokens=page_tokens)
        if name not in self._kept:
            raise ConversationNotFound(name)
        return _page(self._kept[name], page=page, page_tokens=page_tokens)

    async def page_of(self, text: str, *, page: int, page_tokens: int) -> str:
        """Return a page of a text, as `read` does. Raises ToolError."""
        records = await _gathered(records_of(text, self._counter))
        return _page(records, page=page, page_tokens=page_tokens)

    def _is_long(self, text: str) -> bool:
        if len(text) * _ALWAYS_SHORT <= self._max_tokens:
            return False
        # The beginning of a text of many megabytes tells enough.
        start = text[: self._max_tokens * _ALWAYS_SHORT]
        return self._counter.count(start) > self._max_tokens or (
            len(start) < len(text) and self._counter.count(text) > self._max_tokens
        )

    def _preview(self, handle: str, text: str) -> str:
        room = self._max_tokens - self._counter.count(_left_out(len(text), handle)) - 4 * JOINT
        while room > 0:
            head = _to_line_end(beginning(text, room * 2 // 3, self._counter))
            tail = _from_line_start(ending(text[len(head) :], room // 3, self._counter))
            preview = f"{head}\n{_left_out(len(text) - len(head) - len(tail), handle)}\n{tail}"
            over = self._counter.count(preview) - self._max_tokens
            if over <= 0:
                return preview
            room -= over
        return _left_out(len(text), handle)


async def claimed(store: UserStore, conversation: str, *, owner: str) -> Lease:
    """Take a lease for a short while. Raises ConversationBusy."""
    taken: list[Lease] = []
    with anyio.CancelScope(shield=True):  # one short write: a lease must not be taken unnoticed
        taken.append(await store.claim(conversation, owner=owner, ttl=LEASE))
    return taken[0]


def name_of(turn: str, key: str, text: str) -> str:
    """Return the name under which a text is kept that call `key` of a turn gave."""
    digest = sha256(json.dumps((turn, key)).encode())
    digest.update(text.encode())
    return digest.hexdigest()[:32]


def hidden(name: str) -> str:
    """Return the conversation that holds the text of this name. Raises ConversationNotFound when it is no such name."""
    conversation = f"{CHILD}kept:{name}"
    if not _NAME.fullmatch(name):  # a journal that was imported may hold anything
        raise ConversationNotFound(conversation)
    return conversation


def records_of(text: str, counter: TokenCounter) -> Iterator[Sequence[str]]:
    """Return the pieces of a text, as many as a record takes at a time."""
    record: list[str] = []
    for piece in pieces(text, PIECE, counter, max_chars=PIECE_CHARS):
        record.append(piece)
        if len(record) == PIECES:
            yield record
            record = []
    if record:
        yield record


async def _gathered(records: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    gathered: list[Sequence[str]] = []
    for record in records:
        gathered.append(record)
        await checkpoint()  # counting a record takes some milliseconds: others get their turn
    return gathered


class _Place:
    """The hidden conversations of a user that keep results."""

    def __init__(self, store: UserStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    async def keep(self, name: str, records: Iterator[Sequence[str]]) -> None:
        """Keep a text, in place of what an attempt that died has kept of it; durable on return.

        A text that is there whole is left as it is. When it fails, nothing is left of it but perhaps an empty
        conversation: to delete that could delete what somebody else has written since.
        """
        conversation = hidden(name)
        if await self._last(conversation) is not None:
            return
        lease = await self._claim(conversation)
        try:
            await self._write(lease, records)
        except BaseException:
            with anyio.move_on_after(_CLEANUP, shield=True), suppress(StoreError):
                if await self._last(conversation) is None:
                    await self._store.rewind(lease, to=0)
                await self._store.release(lease)
            raise

    async def read(self, name: str, *, page: int, page_tokens: int) -> str:
        """Return a page. Raises ConversationNotFound, ToolError, StoreError."""
        conversation = hidden(name)
        last = await self._last(conversation)
        if last is None:
            raise ConversationNotFound(conversation)
        span = _span(page, page_tokens, pieces=(last.seq - 1) * PIECES + len(pieces_in(conversation, last)))
        first = span.start // PIECES
        found = await self._store.read(conversation, after=first, before=(span.end - 1) // PIECES + 2)
        there = [piece for record in found for piece in pieces_in(conversation, record)]
        return span.heading + "".join(there[span.start - first * PIECES : span.end - first * PIECES])

    async def _last(self, conversation: str) -> Record | None:
        """Return the last record of a text; None when it is not whole."""
        try:
            newest = await self._store.read(conversation, limit=1)
        except ConversationNotFound:
            return None
        return newest[-1] if newest and newest[-1].record_id == LAST else None

    async def _write(self, lease: Lease, records: Iterator[Sequence[str]]) -> None:
        """Write a text, unless somebody has done so before the lease was taken, and give the lease up."""
        if lease.seq and await self._last(lease.conversation) is not None:
            await self._store.release(lease)
            return
        if lease.seq:
            await self._store.rewind(lease, to=0)
        seq, batch = 0, list[NewRecord]()
        for record in records:
            if len(batch) == _WRITE:
                await self._append(lease, seq, batch, release=False)
                seq, batch = seq + len(batch), []
            body = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
            batch.append(NewRecord(record_id=str(seq + len(batch) + 1), kind=KIND, body=body))
            await checkpoint()
        batch[-1] = replace(batch[-1], record_id=LAST)
        await self._append(lease, seq, batch, release=True)

    async def _append(self, lease: Lease, seq: int, batch: Sequence[NewRecord], *, release: bool) -> None:
        await self._store.append(
            Append(lease=lease, expected_seq=seq, records=batch, state="idle", open_turn=None, release=release)
        )

    async def _claim(self, conversation: str) -> Lease:
        """Take the lease; if an attempt that died holds it still, wait for its end."""
        give_up = anyio.current_time() + LEASE
        while True:
            try:
                return await claimed(self._store, conversation, owner=self._owner)
            except ConversationBusy as busy:
                if anyio.current_time() >= give_up:
                    raise
                await anyio.sleep(min(max(busy.retry_after, 0.001), give_up - anyio.current_time()))


class _Span(NamedTuple):
    """The pieces of a page, and the line above it."""

    start: int
    end: int
    heading: str


def _span(page: int, page_tokens: int, *, pieces: int) -> _Span:
    each = max(1, (page_tokens - HEADING) // (PIECE + JOINT))
    pages = max(1, -(-pieces // each))
    if not 1 <= page <= pages:
        raise ToolError(f"There is no page {page}: the pages are 1 to {pages}.")
    return _Span((page - 1) * each, min(page * each, pieces), f"[page {page} of {pages}]\n")


def _page(records: Sequence[Sequence[str]], *, page: int, page_tokens: int) -> str:
    there = [piece for record in records for piece in record]
    span = _span(page, page_tokens, pieces=len(there))
    return span.heading + "".join(there[span.start : span.end])


def pieces_in(conversation: str, record: Record) -> list[str]:
    """Return the pieces of a text that a record holds. Raises UnreadableEntry."""
    try:
        there: object = json.loads(record.body)
    except ValueError as error:
        raise UnreadableEntry(conversation, record.seq, "it is no JSON") from error
    if not isinstance(there, list) or not all(isinstance(piece, str) for piece in cast("list[object]", there)):
        raise UnreadableEntry(conversation, record.seq, "it is no list of texts")
    return cast("list[str]", there)


def _left_out(characters: int, handle: str) -> str:
    return (
        f'[… {characters:,} characters left out; read_result("{handle}", page=1) reads the whole text, page by page …]'
    )


def _to_line_end(head: str) -> str:
    """Leave out a line that was cut, unless that is most of the text."""
    end = head.rfind("\n")
    return head[:end] if end * 2 > len(head) else head


def _from_line_start(tail: str) -> str:
    start = tail.find("\n") + 1
    return tail[start:] if 0 < start * 2 < len(tail) else tail
