"""Runs on a stored conversation: claimed, whatever was left unfinished before it finished first, then recorded."""

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

import anyio

from assistant_kit.conversation import Turn, measure, said_before, turns_of
from assistant_kit.entries import ApprovalDecided, Measured, TurnFinished, TurnStarted
from assistant_kit.errors import (
    ApprovalPending,
    AssistantKitError,
    ConversationBusy,
    InputError,
    Interrupted,
    StoreError,
)
from assistant_kit.events import Complete, Event, Token
from assistant_kit.journal_json import decode
from assistant_kit.messages import UserMessage
from assistant_kit.protocols.store import Lease, NewRecord, Record, UserStore
from assistant_kit.replay import record_of
from assistant_kit.run.background import Background
from assistant_kit.run.conduct import conduct
from assistant_kit.run.emitter import ignore
from assistant_kit.run.history import HistoryTurn, history_of
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.run.loop import recorded_result
from assistant_kit.run.result import Result, calls_of
from assistant_kit.run.tool_calls import call_digest
from assistant_kit.run.turn import Circumstances, TurnRun
from assistant_kit.runtimes.ephemeral import Ephemeral
from assistant_kit.runtimes.journal import Journal, new_record
from assistant_kit.usage import Usage

_log = logging.getLogger("assistant_kit.run")
_PAGE = 64
_WORKER = os.urandom(8).hex()
_RUNS = count(1)
T = TypeVar("T")


@dataclass(slots=True)
class Holding:
    """A lease in use, and whether it has been given up already."""

    lease: Lease
    journal: Journal | None = None


class Session:
    """One user's conversation, for one run."""

    def __init__(
        self, store: UserStore, about: Circumstances, conversation: str, keeper: LeaseKeeper | None = None
    ) -> None:
        """Take the store's handle for the user, what a run needs to know, and a keeper that is running already."""
        self._store = store
        self._about = about
        self._conversation = conversation
        self._settings = about.parts.settings.lease
        self._keeper = keeper or LeaseKeeper(self._settings.ttl)
        self._beside = nullcontext() if keeper else Background(self._keeper.run)
        self._owner = f"{_WORKER}/{next(_RUNS)}"

    async def run(self, message: UserMessage, request_id: str | None) -> Result[Any]:
        """Run a turn. A `request_id` that is on record gives the recorded result.

        Raises ConversationBusy, ApprovalPending, Interrupted and all that ends a run.
        """
        turn = os.urandom(16).hex()
        started = measure(TurnStarted(turn=turn, input=message, request_id=request_id), self._about.counter)
        run = TurnRun(self._about, runtime=Ephemeral(), started=started)
        # What cannot be sent at all is refused before it is stored.
        run.pack()
        record_id = _record_id(turn, request_id)

        async def work(holding: Holding) -> Result[Any]:
            if not holding.lease.begun:
                if request_id is not None:
                    recorded = await self._recorded(holding, request_id)
                    if recorded is not None:
                        return recorded
                await self._settle(holding)
                holding.journal = journal = Journal(self._store, holding.lease)
                await journal.begin(started, record_id=record_id)
            else:
                holding.journal = journal = Journal(self._store, holding.lease)
            return await self._conduct(run, journal)

        return await self._leased(work, begin=new_record(started, record_id))

    async def resume(self) -> Result[Any]:
        """Go on with the turn that was interrupted or waited for a decision. Raises InputError if there is none."""

        async def work(holding: Holding) -> Result[Any]:
            if holding.lease.state == "idle":
                message = f"conversation {self._conversation!r} has no unfinished turn"
                raise InputError(message)
            return await self._go_on(holding, self._about.emit, release=True)

        return await self._leased(work)

    async def decide(self, call_id: str, *, approved: bool, by: str) -> None:
        """Record a decision on a call that waits for approval. Raises InputError when no such call waits."""

        async def work(holding: Holding) -> None:
            entries = await self._open_turn(holding.lease)
            waiting = {call.call_id: call for call in calls_of(entries) if call.outcome is None}
            decided = record_of(entries).decisions if entries else {}
            if holding.lease.state != "waiting" or call_id not in waiting or call_id in decided:
                message = f"no call {call_id!r} of conversation {self._conversation!r} waits for approval"
                raise InputError(message)
            call = waiting[call_id]
            holding.journal = Journal(self._store, holding.lease)
            await holding.journal.decide(
                ApprovalDecided(
                    turn=entries[0].entry.turn,
                    call_id=call_id,
                    arguments_hash=call_digest(call.tool, call.arguments),
                    approved=approved,
                    by=by,
                )
            )

        await self._leased(work)

    async def _conduct(self, run: TurnRun, journal: Journal) -> Result[Any]:
        """Run a turn that has just begun."""
        try:
            history = await self._history(journal.seq) if journal.seq > 1 else ()
        except AssistantKitError as error:
            await journal.finish(TurnFinished(turn=run.id, outcome="failed", usage=Usage(), reason=str(error)))
            raise
        run.continue_with(journal, history)
        return await conduct(run)

    async def _settle(self, holding: Holding) -> None:
        """Finish a turn that a crash has left open, so that turns stay in order."""
        if holding.lease.state == "open":
            try:
                await self._go_on(holding, ignore, release=False)
            except StoreError:
                raise
            except AssistantKitError as error:
                _log.warning("an interrupted turn of %r has ended: %s", self._conversation, error)
            assert holding.journal is not None  # noqa: S101  (set by _go_on)
            seq, state = holding.journal.seq, holding.journal.state
            open_turn = None if state == "idle" else holding.lease.open_turn
            holding.lease = replace(holding.lease, seq=seq, state=state, open_turn=open_turn)
        if holding.lease.state == "waiting":
            calls = calls_of(await self._open_turn(holding.lease))
            raise ApprovalPending(self._conversation, [call.call_id for call in calls if call.outcome is None])

    async def _go_on(self, holding: Holding, emit: Callable[[Event], None], *, release: bool) -> Result[Any]:
        lease = holding.lease
        entries = await self._open_turn(lease)
        record = record_of(entries)
        journal = holding.journal = Journal(self._store, lease, record=record, release=release)
        history = await self._history(lease.open_turn)
        run = TurnRun(self._about, runtime=journal, history=history, started=record.started)
        run.emit = emit
        return await conduct(run)

    async def _recorded(self, holding: Holding, request_id: str) -> Result[Any] | None:
        seq = await self._store.locate(self._conversation, _record_id("", request_id))
        if seq is None:
            return None
        if seq == holding.lease.open_turn:
            return await self._go_on(holding, self._about.emit, release=True)
        entries = await self._turn_at(seq)
        record = record_of(entries)
        assert record.finished is not None  # noqa: S101  (only the last turn can be open, and that is open_turn)
        if record.finished.outcome != "completed":
            raise Interrupted(request_id, record.finished.outcome, record.finished.reason)
        run = TurnRun(self._about, runtime=Ephemeral(), started=record.started)
        run.add(*entries[1:])
        result = recorded_result(run)
        self._about.emit(Token(result.text))
        self._about.emit(Complete(output=result.output, status=result.status, usage=result.usage))
        return result

    async def _turn_at(self, seq: int) -> list[Measured]:
        """Return the entries of the finished turn that begins at `seq`."""
        entries: list[Measured] = []
        while not entries or entries[-1].entry.kind != "turn_finished" or entries[-1].entry.outcome == "waiting":
            after = seq - 1 + len(entries)
            for measured in await self._read(after=after, before=after + 1 + _PAGE):
                entries.append(measured)
                if measured.entry.kind == "turn_finished" and measured.entry.outcome != "waiting":
                    break
        return entries

    async def _open_turn(self, lease: Lease) -> list[Measured]:
        return [] if lease.open_turn is None else await self._read(after=lease.open_turn - 1)

    async def _history(self, before: int | None) -> Sequence[Turn]:
        budget = self._about.parts.settings.window.budget
        return said_before(turns_of(await self._read(before=before, max_tokens=budget), self._about.counter))

    async def _read(
        self, *, after: int = 0, before: int | None = None, max_tokens: int | None = None
    ) -> list[Measured]:
        records = await self._store.read(self._conversation, after=after, before=before, max_tokens=max_tokens)
        return [_decoded(record, self._conversation) for record in records]

    async def _leased(self, work: Callable[[Holding], Awaitable[T]], *, begin: NewRecord | None = None) -> T:
        """Do work under a lease that is renewed meanwhile and given up afterwards; without it the work stops."""
        holding = Holding(await self._claim(begin))
        outcome: list[T] = []
        try:
            async with self._beside:
                with self._keeper.keeping(self._store, holding.lease) as kept:
                    outcome.append(await work(holding))
        finally:
            if holding.journal is None or not holding.journal.released:
                await self._give_up(holding.lease)
        if kept.lost is not None:
            raise kept.lost
        return outcome[0]

    async def _claim(self, begin: NewRecord | None) -> Lease:
        give_up: float | None = None
        delay = 0.02
        while True:
            try:
                return await self._store.claim(
                    self._conversation, owner=self._owner, ttl=self._settings.ttl, begin=begin
                )
            except ConversationBusy as busy:
                now = anyio.current_time()
                if give_up is None:
                    give_up = min(now + self._settings.wait, self._about.deadline.at)
                if now >= give_up:
                    raise
                pause = min(delay, max(busy.retry_after, 0.001), give_up - now)
            await anyio.sleep(pause)
            delay = min(2 * delay, 0.5)

    async def _give_up(self, lease: Lease) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._store.release(lease)
            except StoreError as error:
                _log.warning("the lease on %r ends by itself: %s", self._conversation, error)


async def run_alone(about: Circumstances, message: UserMessage) -> Result[Any]:
    """Run a turn that leaves no record."""
    started = measure(TurnStarted(turn=os.urandom(16).hex(), input=message), about.counter)
    return await conduct(TurnRun(about, runtime=Ephemeral(), started=started))


async def read_history(store: UserStore, conversation: str) -> Sequence[HistoryTurn]:
    """Return all turns of a conversation. Raises ConversationNotFound, UnreadableEntry."""
    return history_of([_decoded(record, conversation) for record in await store.read(conversation)])


def _decoded(record: Record, conversation: str) -> Measured:
    return decode(record.body, conversation=conversation, seq=record.seq, tokens=record.tokens, at=record.at)


def _record_id(turn: str, request_id: str | None) -> str:
    return f"{turn}/turn_started" if request_id is None else f"request/{request_id}"
