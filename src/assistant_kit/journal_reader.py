"""The journal of one conversation, read: the turn that is open, a turn by its place, pages of turns."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Compacted,
    Measured,
    ToolFinished,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.errors import InputError, UnreadableEntry
from assistant_kit.journal_json import decode
from assistant_kit.protocols.store import Lease, Record, UserStore
from assistant_kit.run.history import HistoryTurn, history_of
from assistant_kit.run.result import CallResult, calls_of
from assistant_kit.runtimes.journal import resolution_id

_PAGE = 64
_COMPACTED = "compacted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a journal, as far as a window goes.

    `compacted` is the newest compaction. `cut` says that records before the first of `entries` are neither here nor
    left out by it.
    """

    entries: Sequence[Measured]
    compacted: Compacted | None
    cut: bool


class JournalReader:
    """Reads entries of a conversation. Each method raises ConversationNotFound, UnreadableEntry."""

    def __init__(self, store: UserStore, conversation: str) -> None:
        self._store = store
        self._conversation = conversation

    async def read(
        self, *, after: int = 0, before: int | None = None, max_tokens: int | None = None, limit: int | None = None
    ) -> list[Measured]:
        """Return entries, by the rules of `UserStore.read`."""
        records = await self._store.read(
            self._conversation, after=after, before=before, max_tokens=max_tokens, limit=limit
        )
        return [self._decoded(record) for record in records]

    async def tail(self, *, before: int | None, max_tokens: int) -> Tail:
        """Return the newest entries of at most `max_tokens`, from the newest compaction on, if there was one."""
        records = await self._store.read(self._conversation, before=before, max_tokens=max_tokens)
        newest = next((record for record in reversed(records) if record.kind == _COMPACTED), None)
        compacted = None if newest is None else self._compacted(newest)
        if compacted is not None:
            entries = [self._decoded(record) for record in records if record.seq >= compacted.before]
        else:
            entries = [self._decoded(record) for record in records]
            compacted = await self._earlier_compaction(entries)
        begins = records[0].seq if records else before or 1
        if compacted is None:
            return Tail(entries=entries, compacted=None, cut=begins > 1)
        if 0 < compacted.before < begins:
            # Results that were cleared take less room than their records, so that more than `max_tokens` may be shown.
            entries = [*await self.read(after=compacted.before - 1, before=begins), *entries]
            begins = compacted.before
        return Tail(entries=entries, compacted=compacted, cut=begins > max(1, compacted.before))

    async def _earlier_compaction(self, entries: Sequence[Measured]) -> Compacted | None:
        """Return the compaction that the ends of turns name, when its record is too far back for a window."""
        ends = (measured.entry for measured in reversed(entries) if isinstance(measured.entry, TurnFinished))
        name = next((end.compacted for end in ends if end.compacted), "")
        seq = await self._store.locate(self._conversation, name) if name else None
        if seq is None:
            return None
        (record,) = await self._store.read(self._conversation, after=seq - 1, before=seq + 1)
        return self._compacted(record)

    def _compacted(self, record: Record) -> Compacted:
        entry = self._decoded(record).entry
        assert isinstance(entry, Compacted)  # noqa: S101  (its kind and its id say so)
        return entry

    async def pages(self, first: int, end: int) -> AsyncIterator[Sequence[Measured]]:
        """Return the entries from record `first` up to and without `end`, in pages that end where a turn ends."""
        last, waiting = first - 1, list[Measured]()
        while last + 1 < end and (page := await self.read(after=last, before=min(last + 1 + 4 * _PAGE, end))):
            last = page[-1].seq
            waiting += page
            ends = [place for place, measured in enumerate(waiting) if isinstance(measured.entry, TurnStarted)]
            if len(ends) > 1:
                yield waiting[: ends[-1]]
                waiting = waiting[ends[-1] :]
        if waiting:
            yield waiting

    async def turn_at(self, seq: int) -> list[Measured]:
        """Return the entries of the finished turn that begins at `seq`."""
        entries: list[Measured] = []
        last = seq - 1
        while True:
            for measured in await self.read(after=last, before=last + 1 + _PAGE):
                last = measured.seq
                if entries and measured.entry.turn != entries[0].entry.turn:
                    continue  # what was found out about a call of an earlier turn
                entries.append(measured)
                if isinstance(measured.entry, TurnFinished) and measured.entry.outcome not in ("waiting", "parked"):
                    return entries

    async def open_turn(self, lease: Lease) -> list[Measured]:
        """Return the entries of the turn that is not finished; none when there is none. Raises UnreadableEntry."""
        if lease.open_turn is None:
            return []
        entries = await self.read(after=lease.open_turn - 1)
        if not entries or not isinstance(entries[0].entry, TurnStarted):
            raise UnreadableEntry(self._conversation, lease.open_turn, "the open turn should begin here, and does not")
        # What was found out, while this turn waited, about calls of earlier ones is left out.
        return [measured for measured in entries if measured.entry.turn == entries[0].entry.turn]

    async def turns(
        self, *, limit: int | None = None, before: int | None = None, after: int | None = None
    ) -> Sequence[HistoryTurn]:
        """Return turns in order: all, or the newest `limit` of those that begin before the record `before`.

        With `after`, the first `limit` of those that begin after that record.
        """
        if limit is not None and limit < 1:
            raise InputError(f"limit is the number of turns to return, at least 1, not {limit}")
        if after is not None and before is not None:
            raise InputError("give before= or after=, not both: one end of a page follows from the other and limit=")
        if after is not None:
            entries = await self._forward(after, limit)
        elif limit is None:
            entries = await self.read(before=before)
        else:
            entries = await self._back_to(limit, before=before)
        return tuple([await self._told(turn) for turn in history_of(entries)[:limit]])

    async def call(self, turn: str, key: str) -> ToolFinished | None:
        """Return the recorded end of a call; None when there is none."""
        seq = await self._store.locate(self._conversation, f"{turn}/{key}")
        if seq is None:
            return None
        (found,) = await self.read(after=seq - 1, before=seq + 1)
        return found.entry if isinstance(found.entry, ToolFinished) else None

    async def unknown_call(self, call_id: str) -> ToolFinished | None:
        """Return the newest call of this id, or this key `turn/step.index`, whose outcome is recorded as unknown."""
        before: int | None = None
        resolved: set[tuple[str, str]] = set()
        while page := await self.read(before=before, limit=_PAGE):
            for measured in reversed(page):
                entry = measured.entry
                if isinstance(entry, CallResolved):
                    resolved.add((entry.turn, entry.key))
                elif isinstance(entry, ToolFinished) and entry.outcome == "unknown":
                    named = call_id in (entry.call_id, f"{entry.turn}/{entry.key}")
                    if named and (entry.turn, entry.key) not in resolved:
                        return entry
            before = page[0].seq
        return None

    async def begun(self, before: int) -> Sequence[Measured]:
        """Return how the newest turn began of those that begin before the record `before`; nothing when none did."""
        return (await self._back_to(1, before=before))[:1]

    async def _back_to(self, turns: int, *, before: int | None) -> list[Measured]:
        """Return what stands before `before`, from the beginning of so many turns on."""
        entries: list[Measured] = []
        end = before
        while page := await self.read(before=end, limit=_PAGE):
            for index in range(len(page) - 1, -1, -1):
                if isinstance(page[index].entry, TurnStarted):
                    turns -= 1
                    if turns == 0:
                        return [*page[index:], *entries]
            entries = [*page, *entries]
            end = page[0].seq
        return entries

    async def _forward(self, after: int, limit: int | None) -> list[Measured]:
        """Return whole turns that begin after the record `after`, and perhaps a part of one more."""
        entries: list[Measured] = []
        found = 0
        last = max(after, 0)
        while page := await self.read(after=last, before=last + 1 + _PAGE):
            entries += page
            found += sum(isinstance(measured.entry, TurnStarted) for measured in page)
            last = page[-1].seq
            # The turn behind the last one that is wanted tells that this one is whole.
            if limit is not None and found > limit:
                break
        return entries

    async def _told(self, turn: HistoryTurn) -> HistoryTurn:
        """Return a turn with what was found out about its calls after the page that it stands on."""
        if all(call.outcome != "unknown" for call in turn.tool_calls):
            return turn
        return turn.with_calls([await self._resolved(turn.turn, call) for call in turn.tool_calls])

    async def _resolved(self, turn: str, call: CallResult) -> CallResult:
        seq = await self._store.locate(self._conversation, resolution_id(turn, call.key))
        if call.outcome != "unknown" or seq is None:
            return call
        (found,) = await self.read(after=seq - 1, before=seq + 1)
        entry = found.entry
        assert isinstance(entry, CallResolved)  # noqa: S101  (what is recorded under such an id)
        return replace(call, outcome=entry.outcome, content=entry.content, resolved_by=entry.by)

    def _decoded(self, record: Record) -> Measured:
        return decode(record.body, conversation=self._conversation, seq=record.seq, tokens=record.tokens, at=record.at)


def undecided(entries: Sequence[Measured], decisions: Mapping[str, ApprovalDecided]) -> list[CallResult]:
    """Return the calls of a turn that wait and that nobody has decided on, as they stand now."""
    waiting = [call for call in calls_of(entries) if call.outcome is None]
    return [call for call in waiting if (d := decisions.get(call.key)) is None or d.arguments_hash != call.digest]


def waiting_calls(entries: Sequence[Measured]) -> list[str]:
    """Return the ids of the calls of a turn that have no outcome yet."""
    return [call.call_id for call in calls_of(entries) if call.outcome is None]
