"""Runs on a stored conversation: claimed, whatever was left unfinished before it finished first, then recorded."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

import anyio

from assistant_kit.background import Background
from assistant_kit.conversation import measure, said_before, turns_of
from assistant_kit.entries import Compacted, Measured, TurnFinished, TurnResumed, TurnStarted
from assistant_kit.errors import (
    ApprovalPending,
    AssistantKitError,
    ConversationBusy,
    InputError,
    Interrupted,
    StoreError,
    TurnParked,
)
from assistant_kit.events import Complete, Event, Token
from assistant_kit.journal_reader import JournalReader, undecided, waiting_calls
from assistant_kit.messages import UserMessage
from assistant_kit.protocols.store import Lease, NewRecord, UserStore
from assistant_kit.replay import Record, due_at, given_up, record_of
from assistant_kit.run.conduct import conduct
from assistant_kit.run.emitter import ignore
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.run.loop import paused_result, recorded_result
from assistant_kit.run.result import Result
from assistant_kit.run.turn import Circumstances, Past, TurnRun
from assistant_kit.run.view_cache import KeptView
from assistant_kit.runtimes.ephemeral import Ephemeral
from assistant_kit.runtimes.journal import Journal, new_record
from assistant_kit.turns import Turn
from assistant_kit.usage import Usage
from assistant_kit.view import View, continued, view_of
from assistant_kit.when_free import when_free

_log = logging.getLogger("assistant_kit.run")
T = TypeVar("T")

Recovered: TypeAlias = Literal["completed", "failed", "waiting", "parked", "suspended", "busy", "left"]
"""What became of an attempt to recover a turn. `left`: there was nothing to do, or not yet, or not for this
assistant."""


@dataclass(slots=True)
class Holding:
    """A lease in use, and whether it has been given up already."""

    lease: Lease
    journal: Journal | None = None


class Session:
    """One user's conversation, for one run.

    `keeper` keeps leases and runs already; `line` is entered for the time of the run (a queue of runs).
    """

    def __init__(
        self,
        store: UserStore,
        about: Circumstances,
        conversation: str,
        keeper: LeaseKeeper | None = None,
        line: AbstractAsyncContextManager[object] | None = None,
    ) -> None:
        """Take the store's handle for the user and what a run needs to know."""
        self.store = store
        self.about = about
        self.conversation = conversation
        self.journal: JournalReader = JournalReader(store, conversation)
        self._place = (about.user or "", conversation)
        self._settings = about.parts.settings.lease
        self._keeper = keeper or LeaseKeeper(self._settings.ttl)
        self._beside = nullcontext() if keeper else Background(self._keeper.run)
        self._line = line or nullcontext()
        # Random for each run: workers that were forked from one process must not look like one owner.
        self._owner = os.urandom(12).hex()

    async def run(self, message: UserMessage, request_id: str | None) -> Result[Any]:
        """Run a turn. A `request_id` that is on record gives the recorded result.

        Raises ConversationBusy, ApprovalPending, TurnParked, Interrupted and all that ends a run.
        """
        turn = os.urandom(16).hex()
        begun = TurnStarted(turn=turn, input=message, request_id=request_id, assistant=self.about.parts.settings.name)
        started = measure(begun, self.about.counter)
        run = TurnRun(self.about, runtime=Ephemeral(), started=started)
        # What cannot be sent at all is refused before it is stored.
        self.about.window.pack(self.about.least_overhead, run.past.view, run.shown())
        record_id = _record_id(turn, request_id)

        async def work(holding: Holding) -> Result[Any]:
            if not holding.lease.begun:
                if request_id is not None:
                    recorded = await self._recorded(holding, request_id)
                    if recorded is not None:
                        return recorded
                await self._settle(holding)
                holding.journal = journal = Journal(self.store, holding.lease)
                await journal.begin(started, record_id=record_id)
            else:
                holding.journal = journal = Journal(self.store, holding.lease)
            return await self._conduct(run, journal)

        return await self.leased(work, begin=new_record(started, record_id))

    async def resume(self) -> Result[Any]:
        """Go on with the turn that was interrupted or waited for a decision.

        Raises InputError if there is none, TurnParked.
        """

        async def work(holding: Holding) -> Result[Any]:
            if holding.lease.state == "idle":
                raise InputError(f"conversation {self.conversation!r} has no unfinished turn")
            if holding.lease.state == "parked":
                raise await self._parked(holding.lease)
            return await self._go_on(holding, self.about.emit)

        return await self.leased(work)

    async def retry(self) -> Result[Any]:
        """Go on with a turn that was parked. Raises InputError if there is none."""

        async def work(holding: Holding) -> Result[Any]:
            if holding.lease.state != "parked":
                raise InputError(f"conversation {self.conversation!r} has no parked turn")
            return await self._go_on(holding, self.about.emit)

        return await self.leased(work)

    async def recover(self) -> Recovered:
        """Finish a turn that a dead worker has left, if there is one, it is time, and it is this assistant's.

        A failure that may pass (a provider that is down) leaves the turn for a later attempt. Raises StoreError.
        """

        async def work(holding: Holding) -> Recovered:
            lease = holding.lease
            if lease.state != "open":
                return "left"
            entries = await self.journal.open_turn(lease)
            record = record_of(entries)
            if not self._is_mine(record) or due_at(record, self.about.parts.settings.recovery) > lease.at:
                return "left"
            return await self._try_again(holding, entries)

        try:
            return await self.leased(work)
        except ConversationBusy:
            return "busy"

    async def _try_again(self, holding: Holding, entries: list[Measured]) -> Recovered:
        try:
            result = await self._go_on(holding, ignore, entries=entries, leave=True)
        except StoreError:
            raise
        except AssistantKitError as error:
            journal = holding.journal
            ended = journal is None or journal.state != "open"
            became, words = "ended" if ended else "left for later", self.about.logged(error)
            _log.warning("a turn of %r was %s: %s", self.conversation, became, words)
            if isinstance(error, TurnParked):
                return "parked"
            return "failed" if ended else "suspended"
        return result.status

    async def _conduct(self, run: TurnRun, journal: Journal) -> Result[Any]:
        """Run a turn that has just begun. There is no pause before `conduct`: whatever happens, it closes the turn."""
        place = journal.seq
        run.continue_with(journal, Past(seq=place))

        async def remember() -> None:
            run.continue_with(journal, await self.past(place, fence=journal.fence))

        result = await conduct(run, remember if place > 1 else None)
        turn = replace(run.current, seq=run.past.seq)
        self.keep(continued(run.past.view, [turn], self.about.counter), journal)
        return result

    async def _settle(self, holding: Holding) -> None:
        """Finish a turn that a crash has left open, so that turns stay in order.

        It is somebody else's: what is over for this run (its time, its being wanted) does not end it. Raises what
        keeps it from being finished now.
        """
        if holding.lease.state == "open":
            try:
                await self._go_on(holding, ignore, release=False, leave=True)
            except AssistantKitError as error:
                if holding.journal is None or holding.journal.state != "idle":
                    raise
                words = self.about.logged(error)
                _log.warning("an interrupted turn of %r has ended: %s", self.conversation, words)
            assert holding.journal is not None  # noqa: S101  (set by _go_on)
            seq, state = holding.journal.seq, holding.journal.state
            open_turn = None if state == "idle" else holding.lease.open_turn
            holding.lease = replace(holding.lease, seq=seq, state=state, open_turn=open_turn)
        if holding.lease.state == "waiting":
            raise ApprovalPending(self.conversation, waiting_calls(await self.journal.open_turn(holding.lease)))
        if holding.lease.state == "parked":
            raise await self._parked(holding.lease)

    async def _go_on(
        self,
        holding: Holding,
        emit: Callable[[Event], None],
        *,
        entries: list[Measured] | None = None,
        release: bool = True,
        leave: bool = False,
    ) -> Result[Any]:
        """Run the open turn again over its record. With `leave`, a failure that may pass leaves it open.

        Raises TurnParked when it was tried too often, ConversationBusy when it is another assistant's.
        """
        lease = holding.lease
        if entries is None:
            entries = await self.journal.open_turn(lease)
        record = record_of(entries)
        if not self._is_mine(record):
            raise ConversationBusy(self.conversation, self._settings.ttl)
        journal = holding.journal = Journal(self.store, lease, record=record, release=release)
        turn = record.started.entry.turn
        if lease.state == "open":
            reason = given_up(record, self.about.parts.settings.recovery, now=lease.at)
            if reason is not None:
                await journal.finish(TurnFinished(turn=turn, outcome="parked", usage=Usage(), reason=reason))
                raise TurnParked(self.conversation, reason)
        if lease.state == "waiting" and self._still_waits(entries, record):
            return paused_result(self._recorded_run(entries, emit))
        run = TurnRun(self.about, runtime=journal, started=record.started)
        run.emit = emit

        async def remember() -> None:
            if lease.state != "waiting":
                await journal.resume(TurnResumed(turn=turn, attempt=2 + record.resumed, worker=self._owner))
            assert lease.open_turn is not None  # noqa: S101  (a turn is open)
            run.continue_with(journal, await self.past(lease.open_turn, recorded=entries))
            run.add(*(measured for measured in entries if isinstance(measured.entry, Compacted)))

        return await conduct(run, remember, leave=journal.suspend if leave else None)

    def _still_waits(self, entries: Sequence[Measured], record: Record) -> bool:
        """Tell whether a turn that was paused is paused still: asking again must not make its journal grow."""
        waiting = waiting_calls(entries)
        return len(waiting) == len(undecided(entries, record.decisions)) > 0

    def _recorded_run(self, entries: Sequence[Measured], emit: Callable[[Event], None]) -> TurnRun:
        run = TurnRun(self.about, runtime=Ephemeral(), started=entries[0])
        run.emit = emit
        run.add(*entries[1:])
        return run

    def _is_mine(self, record: Record) -> bool:
        started = record.started.entry
        assert isinstance(started, TurnStarted)  # noqa: S101  (record_of begins with it)
        return started.assistant == self.about.parts.settings.name

    async def _parked(self, lease: Lease) -> TurnParked:
        paused = record_of(await self.journal.open_turn(lease)).paused
        assert paused is not None  # noqa: S101  (it was parked by this entry)
        assert isinstance(paused.entry, TurnFinished)  # noqa: S101  (the same)
        return TurnParked(self.conversation, paused.entry.reason)

    async def _recorded(self, holding: Holding, request_id: str) -> Result[Any] | None:
        seq = await self.store.locate(self.conversation, _record_id("", request_id))
        if seq is None:
            return None
        if seq == holding.lease.open_turn:
            if holding.lease.state == "parked":
                raise await self._parked(holding.lease)
            return await self._go_on(holding, self.about.emit)
        entries = await self.journal.turn_at(seq)
        record = record_of(entries)
        assert record.finished is not None  # noqa: S101  (only the last turn can be open, and that is open_turn)
        if record.finished.outcome != "completed":
            raise Interrupted(request_id, record.finished.outcome, record.finished.reason)
        result = await recorded_result(self._recorded_run(entries, self.about.emit))
        self.about.emit(Token(result.text))
        self.about.emit(Complete(output=result.output, status=result.status, usage=result.usage))
        return result

    async def past(self, before: int, *, fence: int | None = None, recorded: Sequence[Measured] = ()) -> Past:
        """Return what was said before the turn that begins at record `before`.

        With the `fence` of a claim, what this process knows already is used, if nobody has written since. `recorded`
        are entries of the turn itself: it may have been compacted before a crash.
        """
        about = self.about
        if fence is not None and (known := await self._known(before - 1, fence)) is not None:
            return Past(view=known, seq=before, newest=known.turns[-1:])
        tail = await self.journal.tail(before=before, max_tokens=about.window.budget)
        mine = [measured.entry for measured in recorded if isinstance(measured.entry, Compacted)]
        compacted = mine[-1] if mine else tail.compacted
        turns = said_before(turns_of(tail.entries, about.counter))
        now = recorded[0].entry.turn if recorded else ""
        view = view_of(turns, about.counter, compacted=compacted, cut=tail.cut and not mine, now=now)
        first = 1 if compacted is None else max(1, compacted.before)
        end = turns[0].seq if turns else before

        async def earlier() -> AsyncIterator[Sequence[Turn]]:
            async for page in self.journal.pages(first, end):
                yield said_before(turns_of(page, about.counter))

        newest = turns[-1:] or turns_of(await self.journal.begun(before) if tail.cut else (), about.counter)
        return Past(view=view, seq=before, newest=newest, earlier=earlier)

    async def _known(self, seq: int, fence: int) -> View | None:
        """Return what this process knows of a conversation that has `seq` records, if it still holds."""
        kept = self.about.views.take(*self._place, seq=seq, counted_by=self.about.counter.name)
        if kept is None or kept.stands(fence):
            return None if kept is None else kept.view
        last = await self.store.read(self.conversation, after=seq - 1, before=seq + 1)
        return kept.view if [record.record_id for record in last] == [kept.record_id] else None

    def keep(self, view: View, journal: Journal) -> None:
        """Keep what is shown of the conversation for the next turn in this process, when all is written."""
        if journal.released and journal.state == "idle":
            kept = KeptView(
                view=view,
                fence=journal.fence,
                seq=journal.seq,
                record_id=journal.last_record,
                counted_by=self.about.counter.name,
            )
            self.about.views.keep(*self._place, kept)

    async def leased(self, work: Callable[[Holding], Awaitable[T]], *, begin: NewRecord | None = None) -> T:
        """Do work under a lease that is renewed meanwhile and given up afterwards; without it the work stops.

        Unless it begins a turn, there must be such a conversation: raises ConversationNotFound.
        """
        if begin is None:
            await self.store.read(self.conversation, limit=1)  # a claim would make it
        async with self._line, self._beside:
            holding = Holding(await self._claim(begin))
            outcome: list[T] = []
            try:
                # No pause between the claim, which may have begun a turn, and the work, which closes it.
                with self._keeper.keeping(self.store, holding.lease) as kept:
                    outcome.append(await work(holding))
            finally:
                if holding.journal is None or not holding.journal.released:
                    await self._give_up(holding.lease)
            if outcome:
                return outcome[0]  # what it wrote was accepted, also when the lease was lost by giving it up
            assert kept.lost is not None  # noqa: S101  (nothing else swallows the end of the work)
            raise kept.lost

    async def _claim(self, begin: NewRecord | None) -> Lease:
        about = self.about
        return await when_free(
            lambda: self._claim_now(begin), on_busy=about.on_busy, wait=self._settings.wait, until=about.deadline.at
        )

    async def _claim_now(self, begin: NewRecord | None) -> Lease:
        # One short write, waited for: a turn that it begins must not be left without somebody who closes it.
        claimed: list[Lease] = []
        with anyio.CancelScope(shield=True):
            lease = await self.store.claim(self.conversation, owner=self._owner, ttl=self._settings.ttl, begin=begin)
            claimed.append(lease)
        return claimed[0]

    async def _give_up(self, lease: Lease) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self.store.release(lease)
            except StoreError as error:
                _log.warning("the lease on %r ends by itself: %s", self.conversation, error)


async def run_alone(about: Circumstances, message: UserMessage) -> Result[Any]:
    """Run a turn that leaves no record."""
    started = measure(TurnStarted(turn=os.urandom(16).hex(), input=message), about.counter)
    return await conduct(TurnRun(about, runtime=Ephemeral(), started=started))


def _record_id(turn: str, request_id: str | None) -> str:
    return f"{turn}/turn_started" if request_id is None else f"request/{request_id}"
