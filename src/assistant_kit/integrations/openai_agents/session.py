"""A conversation of this library as a session of the OpenAI Agents SDK."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from agents import SessionSettings, TResponseInputItem

from assistant_kit.entries import Measured, ToolFinished, TurnFinished
from assistant_kit.errors import (
    ApprovalPending,
    ConversationBusy,
    ConversationNotFound,
    InputError,
    TurnParked,
)
from assistant_kit.integrations.openai_agents.claiming import insisting, leased, patiently
from assistant_kit.integrations.openai_agents.items import Item, exact, role_of
from assistant_kit.integrations.openai_agents.reading import (
    Placed,
    begins_inside,
    fitting,
    is_made_up,
    is_ours,
    is_over,
    placed,
)
from assistant_kit.integrations.openai_agents.writing import OpenTurn, Writing, open_turn_of, plain
from assistant_kit.journal_reader import JournalReader, waiting_calls
from assistant_kit.protocols.store import Append, Lease, Store
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.settings import LeaseSettings
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.transfer.belongings import delete_belongings, delete_whole

_TAKEN_BACK: Final = "an item of it was taken back by the OpenAI Agents SDK"


class StoreSession:
    """The session of one user's conversation, for `Runner.run(agent, text, session=…)`.

        session = StoreSession(store, user="u1", conversation="c1")

    What the SDK adds is kept as a conversation that an `Assistant` reads, too, and is given back as it came. Each
    `add_items` is one write, whole or not at all, under a lease. It runs on asyncio, as the SDK does, and on trio.
    """

    def __init__(
        self,
        store: Store,
        *,
        user: str,
        conversation: str,
        max_tokens: int | None = None,
        token_counter: TokenCounter | None = None,
        lease: LeaseSettings | None = None,
        session_settings: SessionSettings | None = None,
    ) -> None:
        """Take the store, and whose conversation it is; the store stays the caller's to close.

        With `max_tokens`, `get_items` returns the newest whole turns that fit into so many tokens by `token_counter`
        (default: never fewer than there are), unless it is asked for a number of items. `lease` says how long a busy
        conversation is waited for. Raises InputError when the name of the user cannot be stored.
        """
        if max_tokens is not None and max_tokens < 0:
            raise InputError(f"max_tokens is a number of tokens, 0 or more, not {max_tokens}")
        self.session_id: str = conversation
        self.session_settings: SessionSettings | None = session_settings
        self.user: str = user
        self._store = store.for_user(user)
        self._reader = JournalReader(self._store, conversation)
        self._max_tokens = max_tokens
        self._counter: TokenCounter = token_counter or UpperBound()
        self._lease = lease or LeaseSettings()
        self._in_doubt: tuple[list[str], str] | None = None

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the items of the conversation in order: all, or the newest `limit`; none when there is no such one.

        Raises StoreError.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        try:
            items = await self._items(limit)
        except ConversationNotFound:
            return []
        return cast("list[TResponseInputItem]", items)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items in one write, durable on return.

        The same items added again by this object after a failure are written once. Raises ConversationBusy when
        somebody else writes for too long or a turn of an assistant is not finished, ApprovalPending and TurnParked when
        such a turn waits, InputError when an item is not JSON, StoreError.
        """
        texts = [exact(item) for item in items]
        if not texts:
            return

        async def work(lease: Lease) -> bool:
            if await self._is_written(texts):
                return False
            writing = await insisting(lambda: self._written(lease, plain(texts)))
            self._in_doubt = (texts, writing.records[-1].record_id)
            await self._append(lease, lease.seq, writing)
            self._in_doubt = None
            return True

        await leased(self._store, self.session_id, self._lease, work)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item back and return it; None when there is none. Raises as `add_items` does."""
        if not await self._exists():
            return None
        popped: list[Item] = []

        async def work(lease: Lease) -> bool:
            await self._open_turn(lease)  # raises when it is not ours to change
            groups = await self._newest(1)
            while groups and not groups[-1].items:
                groups.pop()
            if not groups:
                return False
            newest = groups.pop()
            popped.append(newest.items[-1])
            await self._go_back(lease, newest, groups)
            return True

        await leased(self._store, self.session_id, self._lease, work)
        return cast("TResponseInputItem", popped[0]) if popped else None

    async def clear_session(self) -> None:
        """Delete the conversation, with all that belongs to it. Raises ConversationBusy, StoreError."""

        async def delete() -> None:
            await delete_whole((self._store,), self.session_id)

        try:
            await patiently(delete, self._lease)
        except ConversationNotFound:
            return

    async def _items(self, limit: int | None) -> list[Item]:
        if limit is None and self._max_tokens is not None:
            entries = await self._reader.read(max_tokens=self._max_tokens)
            return fitting(entries, self._counter, max_tokens=self._max_tokens)
        groups = placed(await self._reader.read()) if limit is None else await self._newest(limit)
        items = [item for group in groups for item in group.items]
        return items if limit is None else items[max(len(items) - limit, 0) :]

    async def _is_written(self, texts: list[str]) -> bool:
        """Tell whether these items were written by the last call, which nobody has acknowledged."""
        doubt, self._in_doubt = self._in_doubt, None
        if doubt is None or doubt[0] != texts:
            return False
        return await self._store.locate(self.session_id, doubt[1]) is not None

    async def _written(self, lease: Lease, items: Sequence[Item]) -> Writing:
        """Return what is to be written of these items."""
        turn = await self._open_turn(lease)
        unknown = await self._unknown(items, turn)
        writing = Writing(seq=lease.seq, turn=turn, unknown=unknown, counter=self._counter)
        writing.add(items)
        return writing

    async def _exists(self) -> bool:
        try:
            return len(await self._store.read(self.session_id, limit=1)) > 0
        except ConversationNotFound:
            return False

    async def _newest(self, limit: int) -> list[Placed]:
        """Return what stands at the end of the journal, with at least `limit` items if there are so many."""
        entries: list[Measured] = []
        groups: list[Placed] = []
        count = 0
        while count < limit:
            before = entries[0].seq if entries else None
            page = await self._reader.read(before=before, limit=2 * (limit - count) + 8)
            if not page:
                break
            entries = [*page, *entries]
            if not begins_inside(entries):
                groups = placed(entries)
                count = sum(len(group.items) for group in groups)
        return groups

    async def _open_turn(self, lease: Lease) -> OpenTurn | None:
        """Return the turn of the SDK that is not finished. Raises what keeps others from writing now."""
        entries = await self._unfinished(lease.seq)
        if not entries or is_ours(entries[0].entry):
            return open_turn_of(entries) if entries else None
        if lease.state == "waiting":
            raise ApprovalPending(self.session_id, waiting_calls(entries))
        if lease.state == "parked":
            last = [measured.entry.reason for measured in entries if isinstance(measured.entry, TurnFinished)]
            raise TurnParked(self.session_id, last[-1])
        raise ConversationBusy(self.session_id, self._lease.ttl)

    async def _unfinished(self, seq: int) -> Sequence[Measured]:
        """Return the entries of the turn that is not finished at a record; none if there is none."""
        begun = await self._reader.begun(seq + 1)
        if not begun:
            return ()
        found = await self._reader.read(after=begun[0].seq - 1, before=seq + 1)
        entries = [measured for measured in found if measured.entry.turn == begun[0].entry.turn]
        return () if is_over(entries) else entries

    async def _unknown(self, items: Sequence[Item], turn: OpenTurn | None) -> Mapping[str, ToolFinished]:
        """Return the calls of unknown outcome, by their id, whose results are among these items."""
        here = {str(item.get("call_id")) for item in items if item.get("type") == "function_call"}
        here |= {call.call_id for call in turn.calls} if turn is not None else set()
        results = {str(item["call_id"]) for item in items if role_of(item) == "result"} - here
        found = {call_id: await self._reader.unknown_call(call_id) for call_id in results}
        return {call_id: call for call_id, call in found.items() if call is not None}

    async def _go_back(self, lease: Lease, newest: Placed, before: list[Placed]) -> None:
        """Let the journal end before the last item of `newest`."""
        kept = newest.items[:-1]
        to = newest.first - 1
        if not kept and before and is_made_up(before[-1]):
            to = before[-1].first - 1
        if not await self._is_ours(newest.first):
            await delete_belongings((self._store,), lease, after=to, reason=_TAKEN_BACK)
        await self._store.rewind(lease, to=to)
        entries = await self._unfinished(to)
        turn = open_turn_of(entries) if entries else None
        writing = Writing(seq=to, turn=turn, unknown={}, counter=self._counter)
        writing.add(kept)
        if entries and not is_ours(entries[0].entry):
            writing.end("cancelled", _TAKEN_BACK)  # else a worker would recover it
        await self._append(lease, to, writing)

    async def _is_ours(self, seq: int) -> bool:
        begun = await self._reader.begun(seq + 1)
        return bool(begun) and is_ours(begun[0].entry)

    async def _append(self, lease: Lease, seq: int, writing: Writing) -> None:
        """Write and give the lease up. What may have been written already is offered again, and written once."""
        turn = writing.turn
        write = Append(
            lease=lease,
            expected_seq=seq,
            records=writing.records,
            state="idle" if turn is None else "open",
            open_turn=None if turn is None else turn.seq,
            release=True,
        )
        await insisting(lambda: self._store.append(write))
