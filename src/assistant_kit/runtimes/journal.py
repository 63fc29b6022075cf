"""A turn recorded in a store, entry by entry, under a lease."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from anyio import CancelScope, Lock, current_time
from anyio.lowlevel import checkpoint

from assistant_kit.entries import (
    ApprovalDecided,
    Entry,
    Measured,
    ToolFinished,
    ToolNoted,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnSuspended,
)
from assistant_kit.errors import ConversationConflict, InputError, LeaseLost, StoreError
from assistant_kit.journal_json import encode
from assistant_kit.protocols.runtime import Claim
from assistant_kit.protocols.store import Append, Lease, NewRecord, TurnState, UserStore
from assistant_kit.replay import Record, repeatable_until, verdict
from assistant_kit.tool_spec import Keyed, may_repeat


class Journal:
    """Writes what one turn does, and answers from `record` what was done before a crash.

    Entries are collected and written together: a model's response in the same commit as the intents of the calls
    that it asks for, results that arrive together in one. An intent is durable before its call is made. A call that
    may simply be made again (`read`, `idempotent`) needs none: recovery makes it again whether it was begun or not;
    but unless it only reads, the response that asks for it is durable. Results are durable before a model sees them.
    """

    def __init__(self, store: UserStore, lease: Lease, *, record: Record | None = None, release: bool = True) -> None:
        """Record under `lease`; with `record`, go on with that turn. `release` frees the lease at the end."""
        self._store = store
        self._lease = lease
        self._record = record
        self._release = release
        self._seq = lease.seq
        self._open_turn = lease.open_turn
        self._pending: list[NewRecord] = []
        self._unconfirmed: Append | None = None
        self._running = 0
        self._lock = Lock(fast_acquire=True)
        self._claimed_at = current_time()
        self._noted = 0
        self._ended: dict[str, Measured] = {}
        self.released: bool = False
        self.last_record: str = ""
        self.state: TurnState = lease.state

    @property
    def now(self) -> float:
        """The store's time: that of the claim, carried on by this machine's clock.

        Clocks that differ between workers do no harm.
        """
        return self._lease.at + current_time() - self._claimed_at

    @property
    def seq(self) -> int:
        """The number of records that are known to be durable."""
        return self._seq

    @property
    def fence(self) -> int:
        """The fence under which it writes."""
        return self._lease.fence

    async def begin(self, started: Measured, *, record_id: str) -> None:
        """Record that the turn has started; durable on return."""
        self._pending.append(new_record(started, record_id))
        self._open_turn = self._seq + 1
        await self._flush("open")

    async def resume(self, entry: TurnResumed) -> None:
        """Record that this worker goes on with the turn, before it does anything; durable on return."""
        self._add(entry, f"{entry.turn}/resumed/{self._seq}")
        await self._flush("open")

    async def step(self, key: str, run: Callable[[], Awaitable[Measured]]) -> Measured:
        """Return what is recorded under `key`, or run and record it; results of tools are durable on return."""
        if self._record is not None and (recorded := self._record.steps.get(key)):
            return recorded
        if key in self._ended:  # it waits to be written: a store had failed, and now the turn ends
            return self._ended[key]
        measured = await run()
        self._pending.append(new_record(measured, _record_id(measured.entry)))
        if isinstance(measured.entry, ToolFinished):
            self._ended[key] = measured
            self._running -= 1
            if self._running > 0:
                # Calls that end at the same time share a write. A run that is left here has its result already.
                with CancelScope(shield=True):
                    await checkpoint()
            await self._flush("open")
        return measured

    def recorded(self, key: str) -> bool:
        """Tell whether an earlier worker has recorded this step."""
        return self._record is not None and key in self._record.steps

    async def claim(self, calls: Sequence[ToolStarted]) -> Sequence[Claim]:
        """Record that these tools are about to be called, if that matters; durable on return."""
        claims = [self._timed(self._claim(call)) for call in calls]
        made = [claim.started for claim in claims if claim.standing == "run"]
        self._running = len(claims)
        for entry in made:
            if not may_repeat(entry.effect):
                self._add(entry, _record_id(entry))
        if any(entry.effect not in _NOTHING_OUTSIDE for entry in made):
            # With an idempotent call, too: asked again, the model may not ask for what has been done.
            await self._flush("open")
        return claims

    def _timed(self, claim: Claim) -> Claim:
        if claim.standing != "run" or not isinstance(claim.started.effect, Keyed):
            return claim
        first = self._record.claims.get(claim.started.key) if self._record is not None else None
        first_at = self.now if first is None else first.at
        left = repeatable_until(claim.started.effect, first_at) - self.now
        return replace(claim, repeatable_until=current_time() + left)

    def _claim(self, call: ToolStarted) -> Claim:
        if self._record is None:
            return Claim(standing="run", started=call)
        if done := self._record.steps.get(call.key):
            assert isinstance(done.entry, ToolFinished)  # noqa: S101  (keys of calls and of steps differ in form)
            return Claim(standing="finished", started=call, finished=done.entry)
        notes = self._record.notes.get(call.key, ())
        earlier = self._record.claims.get(call.key)
        if earlier is None:
            return Claim(standing="run", started=call, notes=notes)
        assert isinstance(earlier.entry, ToolStarted)  # noqa: S101  (record_of sorts by type)
        if verdict(earlier.entry, claimed_at=earlier.at, now=self.now) == "lost":
            return Claim(standing="lost", started=earlier.entry, notes=notes)
        again = replace(earlier.entry, attempt=earlier.entry.attempt + 1)
        return Claim(standing="run", started=again, notes=notes)

    async def transact(self, key: str, run: Callable[[Any], Awaitable[Measured]]) -> Measured:
        """Run a step in the transaction in which its result is recorded; nothing of it lasts unless that does."""
        if self._record is not None and (recorded := self._record.steps.get(key)):
            return recorded
        done: list[Measured] = []
        async with self._lock:
            if self._unconfirmed is not None:
                await self._write(self._unconfirmed)
            pending, self._pending = self._pending, []

            async def work(connection: Any) -> Append:
                measured = await run(connection)
                done.append(measured)
                return self._append([*pending, new_record(measured, _record_id(measured.entry))], "open")

            try:
                await self._store.transact(self._lease, work)
            except BaseException:
                self._pending[:0] = pending
                raise
            self._running -= 1
            self._seq += len(pending) + 1
        return done[0]

    async def note(self, entry: ToolNoted) -> None:
        """Record what a running call wants to be known after a crash; durable on return."""
        self._noted += 1
        self._add(entry, f"{entry.turn}/{entry.key}/note/{self._lease.fence}/{self._noted}")
        await self._flush("open")

    def begun(self, key: str) -> bool:
        """Tell whether an earlier worker has started this call, without a record of its end."""
        return self._record is not None and key in self._record.claims and key not in self._record.steps

    def in_doubt(self) -> Sequence[ToolStarted]:
        """Return the calls that an earlier worker has started and whose end is not recorded up to now."""
        if self._record is None:
            return ()
        claims = [
            claim.entry for key, claim in self._record.claims.items() if self.begun(key) and key not in self._ended
        ]
        return [claim for claim in claims if isinstance(claim, ToolStarted)]

    def decision(self, key: str, arguments_hash: str) -> ApprovalDecided | None:
        """Return the decision on this call with these arguments."""
        decided = self._record.decisions.get(key) if self._record is not None else None
        return decided if decided is not None and decided.arguments_hash == arguments_hash else None

    async def finish(self, entry: TurnFinished) -> None:
        """Record the end of the turn, or its pause; durable on return."""
        state = _STATES.get(entry.outcome, "idle")
        self._add(entry, _record_id(entry) if state == "idle" else f"{entry.turn}/{entry.outcome}/{self._seq}")
        await self._flush(state, release=self._release)

    async def suspend(self, entry: TurnSuspended) -> None:
        """Record that this worker leaves the turn for a later attempt; durable on return."""
        self._add(entry, f"{entry.turn}/suspended/{self._seq}")
        await self._flush("open", release=self._release)

    async def decide(self, decision: ApprovalDecided) -> None:
        """Record a decision on a call of a turn that waits, and give the lease up; durable on return."""
        self._add(decision, f"{decision.turn}/{decision.key}/decided/{self._seq}")
        await self._flush("waiting", release=True)

    async def resolve(self, resolution: Measured) -> None:
        """Record what was found out, whatever the conversation does now, and give the lease up."""
        self._pending.append(new_record(resolution, _record_id(resolution.entry)))
        await self._flush(self._lease.state, release=True)

    def _add(self, entry: Entry, record_id: str) -> None:
        self._pending.append(new_record(Measured(entry=entry, tokens=0, counted_by=""), record_id))

    async def _flush(self, state: TurnState, *, release: bool = False) -> None:
        if not (self._pending or self._unconfirmed or release):
            return
        # Shielded: a write that has begun is waited for, so that it is never in doubt for lack of patience.
        with CancelScope(shield=True):
            async with self._lock:
                if self._unconfirmed is not None:
                    await self._write(self._unconfirmed)
                if self._pending or release:
                    records, self._pending = self._pending, []
                    await self._write(self._append(records, state, release=release))

    def _append(self, records: Sequence[NewRecord], state: TurnState, *, release: bool = False) -> Append:
        return Append(
            lease=self._lease,
            expected_seq=self._seq,
            records=records,
            state=state,
            open_turn=None if state == "idle" else self._open_turn,
            release=release,
        )

    async def _write(self, append: Append) -> None:
        self._unconfirmed = append
        try:
            await self._store.append(append)
        except (LeaseLost, ConversationConflict, InputError):
            self._unconfirmed = None  # refused: nothing was written, and nothing of it ever will be
            raise
        except StoreError:
            # Nobody knows whether it was written: the same records are offered again before anything else.
            raise
        self._unconfirmed = None
        self._seq += len(append.records)
        self.last_record = append.records[-1].record_id if append.records else self.last_record
        self.state = append.state
        self.released = self.released or append.release


_NOTHING_OUTSIDE = ("read", "transactional")
"""Effects of calls that leave nothing outside the journal's own transactions."""

_STATES: dict[str, TurnState] = {"waiting": "waiting", "parked": "parked"}


def resolution_id(turn: str, key: str) -> str:
    """Return the id of the record that says what was found out about a call."""
    return f"{turn}/{key}/resolved"


def new_record(measured: Measured, record_id: str) -> NewRecord:
    """Return an entry as a store takes it."""
    return NewRecord(record_id=record_id, kind=measured.entry.kind, body=encode(measured), tokens=measured.tokens)


def _record_id(entry: Entry) -> str:
    match entry.kind:
        case "model_responded":
            return f"{entry.turn}/{entry.step}"
        case "tool_started":
            return f"{entry.turn}/{entry.key}/started/{entry.attempt}"
        case "tool_finished":
            return f"{entry.turn}/{entry.key}"
        case "call_resolved":
            return resolution_id(entry.turn, entry.key)
        case "compacted":
            return entry.record_id
        case "memories_extracted":
            return f"{entry.turn}/memories_extracted/{entry.until}"
        case _:
            return f"{entry.turn}/{entry.kind}"
