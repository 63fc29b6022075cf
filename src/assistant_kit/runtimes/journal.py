"""A turn recorded in a store, entry by entry, under a lease."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from anyio import CancelScope, Lock
from anyio.lowlevel import checkpoint

from assistant_kit.entries import ApprovalDecided, Entry, Measured, ToolFinished, ToolStarted, TurnFinished
from assistant_kit.errors import ConversationConflict, LeaseLost, StoreError
from assistant_kit.journal_json import encode
from assistant_kit.protocols.runtime import Claim
from assistant_kit.protocols.store import Append, Lease, NewRecord, TurnState, UserStore
from assistant_kit.replay import Record, verdict
from assistant_kit.tool_spec import may_repeat


class Journal:
    """Writes what one turn does, and answers from `record` what was done before a crash.

    Entries are collected and written together: a model's response in the same commit as the intents of the calls
    that it asks for, results that arrive together in one. An intent is durable before its call is made. A call that
    may simply be made again (`read`, `idempotent`) needs none: recovery makes it again whether it was begun or not.
    Results are durable before a model sees them.
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
        self._begun = time.monotonic()
        self.released: bool = False
        self.state: TurnState = lease.state

    @property
    def seq(self) -> int:
        """The number of records that are known to be durable."""
        return self._seq

    async def begin(self, started: Measured, *, record_id: str) -> None:
        """Record that the turn has started; durable on return."""
        self._pending.append(new_record(started, record_id))
        self._open_turn = self._seq + 1
        await self._flush("open")

    async def step(self, key: str, run: Callable[[], Awaitable[Measured]]) -> Measured:
        """Return what is recorded under `key`, or run and record it; results of tools are durable on return."""
        if self._record is not None and (recorded := self._record.steps.get(key)):
            return recorded
        measured = await run()
        self._pending.append(new_record(measured, _record_id(measured.entry)))
        if isinstance(measured.entry, ToolFinished):
            self._running -= 1
            if self._running > 0:
                # Calls that end at the same time share a write.
                await checkpoint()
            await self._flush("open")
        return measured

    async def claim(self, calls: Sequence[ToolStarted]) -> Sequence[Claim]:
        """Record that these tools are about to be called, if that matters; durable on return."""
        claims = [self._claim(call) for call in calls]
        begun = [claim.started for claim in claims if claim.standing == "run" and not may_repeat(claim.started.effect)]
        self._running = len(claims)
        if begun:
            self._pending += [new_record(Measured(entry=e, tokens=0, counted_by=""), _record_id(e)) for e in begun]
            await self._flush("open")
        return claims

    def _claim(self, call: ToolStarted) -> Claim:
        if self._record is None:
            return Claim(standing="run", started=call)
        if done := self._record.steps.get(call.key):
            assert isinstance(done.entry, ToolFinished)  # noqa: S101  (keys of calls and of steps differ in form)
            return Claim(standing="finished", started=call, finished=done.entry)
        earlier = self._record.claims.get(call.key)
        if earlier is None:
            return Claim(standing="run", started=call)
        assert isinstance(earlier.entry, ToolStarted)  # noqa: S101  (record_of sorts by type)
        # The store's clock, carried on by this machine's: clocks that differ between workers do no harm.
        now = self._lease.at + time.monotonic() - self._begun
        if verdict(earlier.entry, claimed_at=earlier.at, now=now) == "lost":
            return Claim(standing="lost", started=earlier.entry)
        return Claim(standing="run", started=replace(earlier.entry, attempt=earlier.entry.attempt + 1))

    def decision(self, call_id: str, arguments_hash: str) -> ApprovalDecided | None:
        """Return the decision on this call with these arguments."""
        decided = self._record.decisions.get(call_id) if self._record is not None else None
        return decided if decided is not None and decided.arguments_hash == arguments_hash else None

    async def finish(self, entry: TurnFinished) -> None:
        """Record the end of the turn, or its pause; durable on return."""
        waiting = entry.outcome == "waiting"
        record_id = f"{entry.turn}/waiting/{self._seq}" if waiting else _record_id(entry)
        self._pending.append(new_record(Measured(entry=entry, tokens=0, counted_by=""), record_id))
        await self._flush("waiting" if waiting else "idle", release=self._release)

    async def decide(self, decision: ApprovalDecided) -> None:
        """Record a decision on a call of a turn that waits, and give the lease up; durable on return."""
        self._pending.append(new_record(Measured(entry=decision, tokens=0, counted_by=""), _record_id(decision)))
        await self._flush("waiting", release=True)

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
                    open_turn = None if state == "idle" else self._open_turn
                    await self._write(
                        Append(
                            lease=self._lease,
                            expected_seq=self._seq,
                            records=records,
                            state=state,
                            open_turn=open_turn,
                            release=release,
                        )
                    )

    async def _write(self, append: Append) -> None:
        self._unconfirmed = append
        try:
            await self._store.append(append)
        except (LeaseLost, ConversationConflict):
            self._unconfirmed = None
            raise
        except StoreError:
            # Nobody knows whether it was written: the same records are offered again before anything else.
            raise
        self._unconfirmed = None
        self._seq += len(append.records)
        self.state = append.state
        self.released = self.released or append.release


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
        case "approval_decided":
            return f"{entry.turn}/{entry.call_id}/decided"
        case _:
            return f"{entry.turn}/{entry.kind}"
