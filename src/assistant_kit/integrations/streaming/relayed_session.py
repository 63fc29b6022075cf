"""A session whose turns are told to readers, and are left to other workers when this one is stopped."""

import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Self, TypeAlias

import anyio

from assistant_kit.entries import Measured, TurnFinished, TurnOutcome, TurnStarted, TurnSuspended
from assistant_kit.errors import AssistantKitError, ConversationNotFound, LeaseLost
from assistant_kit.events import Event, Retrying
from assistant_kit.integrations.streaming.failures import Tell
from assistant_kit.integrations.streaming.narrator import Narrator
from assistant_kit.integrations.streaming.shown import request_of
from assistant_kit.integrations.streaming.wire import data_of, error_data
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.event_log import NewEvent
from assistant_kit.protocols.store import Lease, NewRecord
from assistant_kit.replay import record_of
from assistant_kit.run.conduct import conduct, settle_calls
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.run.result import Result, usage_of
from assistant_kit.run.turn import Past, TurnRun
from assistant_kit.runtimes.journal import Journal
from assistant_kit.session import Holding, Session
from assistant_kit.usage import Usage
from assistant_kit.view import continued

Add: TypeAlias = Callable[[Result[Any]], Awaitable[JsonObject]]
"""Returns what an application adds to the `complete` event of a run."""


class RelayedSession(Session):
    """Tells turns to `narrator`. `extra` goes into the `message` event of the turn that it begins, as it is.

    When it is cancelled, the turn is left to another worker; unless it is `stopped`, as a user wants it to end.
    """

    narrator: Narrator
    tell: Tell
    reached: Callable[[str], None]
    add: Add | None = None
    extra: JsonObject | None = None
    stopped: Callable[[], bool]
    _lease: Lease | None = None

    @classmethod
    def of(
        cls, session: Session, *, narrator: Narrator, keeper: LeaseKeeper, tell: Tell, reached: Callable[[str], None]
    ) -> Self:
        """Return one for the same conversation and the same run. `reached` is told of the request that is run."""
        made = cls(session.store, session.about, session.conversation, keeper)
        made.narrator = narrator
        made.tell = tell
        made.reached = reached
        return made

    async def still_held(self) -> None:
        """Renew the lease on the journal. Raises LeaseLost when somebody else has it, StoreError."""
        assert self._lease is not None  # noqa: S101  (there is something to tell under it)
        await self.store.renew(self._lease, ttl=self._settings.ttl)

    async def _claim_now(self, begin: NewRecord | None) -> Lease:
        self._lease = await super()._claim_now(begin)
        return self._lease

    async def _conduct(self, run: TurnRun, journal: Journal) -> Result[Any]:
        """Run a turn that has just begun."""
        started = run.entries[0].entry
        assert isinstance(started, TurnStarted)  # noqa: S101  (a turn begins with it)
        self.narrator.begin(started, self.extra, fence=journal.fence)
        self.reached(request_of(started))
        place = journal.seq
        run.continue_with(journal, Past(seq=place))

        async def remember() -> None:
            run.continue_with(journal, await self.past(place, fence=journal.fence))

        async def conducted() -> Result[Any]:
            result = await conduct(run, remember if place > 1 else None, leave=self._leaving(run, journal))
            turn = replace(run.current, seq=run.past.seq)
            self.keep(continued(run.past.view, [turn], self.about.counter), journal)
            return result

        return await self._told(conducted, started, lambda: journal, lambda: usage_of(run.entries))

    def _leaving(self, run: TurnRun, journal: Journal) -> Callable[[TurnSuspended], Coroutine[Any, Any, None]]:
        """Return what records that a turn is left: for good, unless it is because this worker is stopped."""

        def leave(suspended: TurnSuspended) -> Coroutine[Any, Any, None]:
            # It is called where the error is handled that ends the work.
            cancelled = isinstance(sys.exception(), anyio.get_cancelled_exc_class())
            if cancelled and not self.stopped():
                return journal.suspend(suspended)
            return _closed(run, journal, "cancelled" if cancelled else "failed", "" if cancelled else suspended.reason)

        return leave

    async def _go_on(
        self,
        holding: Holding,
        emit: Callable[[Event], None],
        *,
        entries: list[Measured] | None = None,
        release: bool = True,
        leave: bool = False,
    ) -> Result[Any]:
        """Run the open turn again over its record, and tell readers of it."""
        del leave, emit  # what may pass never ends a turn that readers wait for, and they are told of all
        if entries is None:
            entries = await self.journal.open_turn(holding.lease)
        started = record_of(entries).started.entry
        assert isinstance(started, TurnStarted)  # noqa: S101  (a turn begins with it)
        going_on = partial(super()._go_on, holding, self.narrator.hear, entries=entries, release=release, leave=True)
        if started.assistant != self.about.parts.settings.name:
            return await going_on()  # it raises: the turn is another assistant's
        self.narrator.go_on(entries, fence=holding.lease.fence)
        self.reached(request_of(started))
        return await self._told(going_on, started, lambda: holding.journal)

    async def mend(self) -> None:
        """Tell readers to load the journal when a turn is over whose worker died before it could say so."""

        async def work(holding: Holding) -> None:
            if holding.lease.state == "idle":
                await self.narrator.mend(fence=holding.lease.fence)

        await self.leased(work)

    async def end_stopped(self) -> None:
        """End the turn that nobody runs, if there is one, because the user wants that. Raises ConversationBusy."""

        async def work(holding: Holding) -> None:
            entries = await self.journal.open_turn(holding.lease)
            if entries:
                started = entries[0].entry
                assert isinstance(started, TurnStarted)  # noqa: S101  (a turn begins with it)
                self.narrator.go_on(entries, fence=holding.lease.fence)
                holding.journal = Journal(self.store, holding.lease)
                end = TurnFinished(turn=started.turn, outcome="cancelled", usage=usage_of(entries), reason="stopped")
                await holding.journal.finish(end)
                self.tell_stopped(request_of(started), end.usage)

        with suppress(ConversationNotFound):  # nothing was said yet
            await self.leased(work)

    async def _told(
        self,
        running: Callable[[], Awaitable[Result[Any]]],
        started: TurnStarted,
        journal: Callable[[], Journal | None],
        usage: Callable[[], Usage] = Usage,
    ) -> Result[Any]:
        """Tell how a run ends."""
        request = request_of(started)

        def state() -> str:
            written = journal()
            return "open" if written is None else written.state

        try:
            result = await running()
            added: JsonObject = await self.add(result) if self.add is not None else {}
        except AssistantKitError as error:
            self._tell_failure(error, request, state())
            raise
        except Exception as error:
            self._tell_error(error, request, over=state() == "idle")
            raise
        except BaseException:
            if state() == "idle":
                self.tell_stopped(request, usage())
            raise
        complete = self.narrator.complete
        assert complete is not None  # noqa: S101  (every run that has a result tells so)
        data = {**data_of(complete, tell=self.tell), "request_id": request, **added}
        self.narrator.end(NewEvent(name="complete", data=data), over=result.status == "completed")
        return result

    def tell_stopped(self, request: str, usage: Usage) -> None:
        """Say that the turn has ended because somebody wanted it to."""
        data: JsonObject = {"output": None, "status": "cancelled", "usage": asdict(usage), "request_id": request}
        self.narrator.end(NewEvent(name="complete", data=data), over=True)

    def _tell_failure(self, error: AssistantKitError, request: str, state: str) -> None:
        if isinstance(error, LeaseLost):
            return  # another worker tells the rest
        if state in ("idle", "parked"):
            self._tell_error(error, request, over=True)
        else:
            delay = self.about.parts.settings.recovery.backoff
            self.narrator.hear(Retrying(attempt=2, delay=delay, error=error))

    def _tell_error(self, error: Exception, request: str, *, over: bool) -> None:
        data = {"error": error_data(error, tell=self.tell), "request_id": request}
        self.narrator.end(NewEvent(name="error", data=data), over=over)


async def _closed(run: TurnRun, journal: Journal, outcome: TurnOutcome, reason: str) -> None:
    """End a turn as `conduct` does that leaves nothing for later. Raises StoreError."""
    await settle_calls(run)
    await journal.finish(run.end(outcome, reason))
