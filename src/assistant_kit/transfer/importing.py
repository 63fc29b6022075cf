"""Reads lines into a store, so that what was interrupted can be taken up again."""

from collections.abc import AsyncIterable, Iterable, Sequence
from typing import Final

from anyio import CancelScope

from assistant_kit.errors import (
    ConversationBusy,
    ConversationConflict,
    ConversationExists,
    ConversationNotFound,
    InputError,
)
from assistant_kit.protocols.memory import UserMemory
from assistant_kit.protocols.store import Append, Lease, NewRecord, UserStore
from assistant_kit.stores._rules import MAX_TOKENS, check_name, check_title
from assistant_kit.transfer.lines import BadLine, Line
from assistant_kit.transfer.turn_state import LastTurn

_BATCH: Final = 200
"""Records written at once."""

_BATCH_BYTES: Final = 1_000_000
"""Bytes of bodies after which records are written."""

_OWNER: Final = "import"  # the same for all, so that an import that is repeated after a crash need not wait
_TTL: Final = 60.0

_NOT_IMPORTED: Final = ("audit", "kept")
"""Evidence for people and programs: a store writes a chain of its own, and what a quota has counted stays there."""


async def import_lines(
    store: UserStore, lines: Iterable[str] | AsyncIterable[str], *, memory: UserMemory | None = None
) -> Sequence[str]:
    """Make the conversations of an export in a store, and return their names; remember its memories in `memory`.

    Raises BadLine, and ConversationExists when there is a conversation of the name that is not the same: nothing of
    it is changed. What stood before in the lines is imported then. The same lines may be imported again:
    conversations that are there record for record are left as they are, and one whose import was broken off is taken
    up where it ended; until then it is `parked`, so that nobody works on it.
    """
    importing = _Import(store, memory)
    try:
        if isinstance(lines, AsyncIterable):
            async for text in lines:
                await importing.read(text)
        else:
            for text in lines:
                await importing.read(text)
        return importing.finish()
    finally:
        await importing.let_go()


class _Import:
    """Takes lines one by one."""

    def __init__(self, store: UserStore, memory: UserMemory | None) -> None:
        self._store = store
        self._memory = memory
        self._number = 0
        self._inside = False
        self._incoming: _Incoming | None = None
        self._names: list[str] = []

    async def read(self, text: str) -> None:
        self._number += 1
        if not text.strip():
            return
        line = Line(self._number, text)
        if not self._inside:
            line.check_head()
            self._inside = True
        elif self._incoming is not None:
            await self._take_record(self._incoming, line)
        elif line.kind == "conversation":
            self._incoming = _Incoming(self._store, line)
            await self._complete(self._incoming)
        elif line.kind == "memory":
            await self._remember(line)
        elif line.kind == "end":
            self._inside = False
        elif line.kind not in _NOT_IMPORTED:
            raise line.bad(f"a line {line.kind!r} has no place here")

    async def _remember(self, line: Line) -> None:
        text, source, labels = line.get("text", str), line.get("source", str), line.labels()
        if self._memory is not None:
            await self._memory.remember(text, source=source, labels=labels)

    async def _take_record(self, incoming: "_Incoming", line: Line) -> None:
        if line.kind != "record":
            raise line.bad(f"record {incoming.position + 1} of conversation {incoming.name!r} belongs here")
        await incoming.take(line)
        await self._complete(incoming)

    async def _complete(self, incoming: "_Incoming") -> None:
        if await incoming.is_complete():
            self._names.append(incoming.name)
            self._incoming = None

    def finish(self) -> Sequence[str]:
        """Return the names of the conversations. Raises BadLine when lines are missing."""
        if self._inside or not self._number:
            raise BadLine(self._number, "the export was cut off behind it: its last line says 'end'")
        return self._names

    async def let_go(self) -> None:
        """Give a conversation up that was not completed."""
        if self._incoming is not None:
            with CancelScope(shield=True):
                await self._incoming.release()


class _Incoming:
    """A conversation on its way into the store."""

    def __init__(self, store: UserStore, line: Line) -> None:
        """Begin with the line before the records. Raises BadLine."""
        self._store = store
        self.name = line.get("conversation", str)
        self._title = line.get("title", str)
        self._total = line.get("records", int)
        self.position = 0
        self._there: int | None = None
        self._lease: Lease | None = None
        self._batch: dict[str, NewRecord] = {}
        self._bytes = 0
        self._last_turn = LastTurn()
        self._line = line
        try:
            check_name("conversation", self.name)
            check_title(self._title)
        except InputError as error:
            raise line.bad(str(error)) from error
        if self._total < 0:
            raise line.bad("a conversation has 0 records or more")

    async def take(self, line: Line) -> None:
        """Take the next record. Raises BadLine, ConversationExists."""
        record = line.record()
        self._check(line, record)
        self._line = line
        self.position += 1
        self._batch[record.record_id] = record
        self._bytes += len(record.body)
        if len(self._batch) >= _BATCH or self._bytes >= _BATCH_BYTES:
            await self._write()

    def _check(self, line: Line, record: NewRecord) -> None:
        if (line.get("conversation", str), line.get("seq", int)) != (self.name, self.position + 1):
            raise line.bad(f"record {self.position + 1} of conversation {self.name!r} belongs here")
        if record.record_id in self._batch:
            raise line.bad(f"record id {record.record_id!r} stands twice in its conversation")
        if not 0 <= record.tokens <= MAX_TOKENS:
            raise line.bad(f"a record has 0 to {MAX_TOKENS} tokens, not {record.tokens}")
        try:
            check_name("record id", record.record_id)
            self._last_turn.take(self.position + 1, record)
        except (InputError, ValueError) as error:
            raise line.bad(str(error)) from error

    async def is_complete(self) -> bool:
        """Write the last records, if all were taken. Raises BadLine, ConversationExists."""
        if self.position < self._total:
            return False
        if self._batch or not self._total:
            await self._write()
        return True

    async def _write(self) -> None:
        """Write what was taken, or see that it is there."""
        first = self.position - len(self._batch)
        if self._there is None:
            there = await self._count()
            await self._compare(first, there)  # before the claim: one that is another conversation is left alone
            self._there = there if there == self._total > 0 else await self._claim()
        await self._compare(first, self._there)
        known = min(len(self._batch), max(0, self._there - first))
        await self._append(first + known, list(self._batch.values())[known:])
        self._batch.clear()
        self._bytes = 0

    async def _count(self) -> int:
        try:
            newest = await self._store.read(self.name, limit=1)
        except ConversationNotFound:
            return 0
        return newest[-1].seq if newest else 0

    async def _compare(self, first: int, there: int) -> None:
        """Compare the batch with the records that are there. Raises ConversationExists."""
        records = list(self._batch.values())[: max(0, there - first)]
        if there > self._total:
            raise ConversationExists(self.name)
        if records:
            stored = await self._store.read(self.name, after=first, before=first + len(records) + 1)
            same = [
                NewRecord(record_id=record.record_id, kind=record.kind, body=record.body, tokens=record.tokens)
                for record in stored
            ]
            if same != records:
                raise ConversationExists(self.name)

    async def _claim(self) -> int:
        """Take the lease, and return how many records are there. Raises ConversationExists."""
        try:
            self._lease = await self._store.claim(self.name, owner=_OWNER, ttl=_TTL)
        except ConversationBusy as error:
            raise ConversationExists(self.name) from error
        broken_off = (self._lease.state, self._lease.open_turn) == ("parked", 1) and self._lease.seq < self._total
        if self._lease.seq and not broken_off:
            raise ConversationExists(self.name)
        if self._title and not self._lease.seq:
            await self._store.rename(self.name, self._title)
        return self._lease.seq

    async def _append(self, expected_seq: int, records: Sequence[NewRecord]) -> None:
        last = self.position == self._total
        if self._lease is None or not (records or last):
            return
        write = Append(
            lease=self._lease,
            expected_seq=expected_seq,
            records=records,
            state=self._last_turn.state if last else "parked",
            open_turn=self._last_turn.open_turn if last else 1,
            release=last,
        )
        try:
            await self._store.append(write)
        except ConversationConflict as error:
            raise self._line.bad("a record id up to here stands twice in its conversation") from error

    async def release(self) -> None:
        """Give the lease up, if there is one."""
        if self._lease is not None:
            await self._store.release(self._lease)
