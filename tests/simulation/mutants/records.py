"""Bugs of what is recorded, and when."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from assistant_kit import session
from assistant_kit.entries import Measured, ToolFinished, ToolStarted
from assistant_kit.errors import LeaseLost
from assistant_kit.protocols.runtime import Claim
from assistant_kit.protocols.store import Append
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.runtimes import journal
from assistant_kit.runtimes.journal import Journal, new_record
from assistant_kit.stores.memory import MemoryStore
from tests.simulation.mutants.planting import Swap, always_soon, mutant, of

_record_id = of(journal, "_record_id")


@mutant
def no_intent() -> Sequence[Swap]:
    """Tools are called without a record that they are."""

    async def claim(self: Any, calls: Sequence[ToolStarted]) -> Sequence[Claim]:
        claims = [self._claim(call) for call in calls]
        self._running = len(claims)
        await self._flush("open")
        return claims

    return [(Journal, "claim", claim)]


@mutant
def intent_after_the_call() -> Sequence[Swap]:
    """The intent is written with the result."""
    claim = of(Journal, "claim")

    async def claims(self: Any, calls: Sequence[ToolStarted]) -> Sequence[Claim]:
        async def wait(state: str, *, release: bool = False) -> None:
            del state, release

        self._flush = wait
        try:
            return await claim(self, calls)
        finally:
            del self._flush

    return [(Journal, "claim", claims)]


@mutant
def result_not_durable_before_the_model_sees_it() -> Sequence[Swap]:
    """Results of tools are written at the end of the turn."""

    async def step(self: Any, key: str, run: Callable[[], Awaitable[Measured]]) -> Measured:
        if self._record is not None and (recorded := self._record.steps.get(key)):
            return recorded
        measured = await run()
        self._pending.append(new_record(measured, _record_id(measured.entry)))
        return measured

    return [(Journal, "step", step)]


@mutant
def acknowledged_before_the_commit() -> Sequence[Swap]:
    """The caller gets the answer, and the end of the turn is written when there is time."""
    return [(Journal, "finish", always_soon(None))]


@mutant
def lease_lost_ignored() -> Sequence[Swap]:
    """A run whose lease was lost goes on as if nothing had happened."""
    write = of(Journal, "_write")

    async def written(self: Any, append: Append) -> None:
        try:
            await write(self, append)
        except LeaseLost:
            self._seq += len(append.records)
            self.state = append.state

    async def renew_due(self: Any, now: float) -> None:
        for kept in [kept for kept in self._kept if kept.due <= now]:
            del self._kept[kept]
            kept.due = now + self._ttl / 3
            self._kept[kept] = None

    return [(Journal, "_write", written), (LeaseKeeper, "_renew_due", renew_due)]


@mutant
def parallel_calls_recorded_as_one() -> Sequence[Swap]:
    """Of calls that run side by side, the result of the last one is recorded."""

    async def step(self: Any, key: str, run: Callable[[], Awaitable[Measured]]) -> Measured:
        if self._record is not None and (recorded := self._record.steps.get(key)):
            return recorded
        measured = await run()
        if isinstance(measured.entry, ToolFinished):
            self._running -= 1
            if self._running > 0:
                return measured
        self._pending.append(new_record(measured, _record_id(measured.entry)))
        if isinstance(measured.entry, ToolFinished):
            await self._flush("open")
        return measured

    return [(Journal, "step", step)]


@mutant
def transactional_result_recorded_apart() -> Sequence[Swap]:
    """The result of a transactional tool is written after its transaction."""

    async def transact(self: Any, key: str, run: Callable[[Any], Awaitable[Measured]]) -> Measured:
        async def make() -> Measured:
            # The handle is that of a simulated worker; behind it is the store of the world.
            store: MemoryStore = self._store.__dict__["_faulty"].store
            return await run(store.tables)

        return await self.step(key, make)

    return [(Journal, "transact", transact)]


@mutant
def no_client_deduplication() -> Sequence[Swap]:
    """A repeated request is a new one."""

    def record_id(turn: str, request_id: str | None) -> str:
        del request_id
        return f"{turn}/turn_started"

    return [(session, "_record_id", record_id)]
