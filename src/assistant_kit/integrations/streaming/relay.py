"""Runs turns beside their readers, who may come, leave and come back, at any worker."""

import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from random import shuffle
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar, cast
from weakref import WeakSet

import anyio
from anyio.abc import TaskGroup

from assistant_kit.assistant import Assistant
from assistant_kit.background import Background
from assistant_kit.errors import (
    AssistantKitError,
    ConfigurationError,
    ConversationBusy,
    Interrupted,
    StoreError,
)
from assistant_kit.integrations.streaming.engine import Engine
from assistant_kit.integrations.streaming.failures import Tell, failure_of
from assistant_kit.integrations.streaming.following import Following, place_of
from assistant_kit.integrations.streaming.keeping import masked_extra
from assistant_kit.integrations.streaming.narrator import Narrator, joined
from assistant_kit.integrations.streaming.relayed_session import Add, RelayedSession
from assistant_kit.integrations.streaming.relayed_turn import RelaySettings, Started, Turn
from assistant_kit.integrations.streaming.shown import MESSAGE, Said, message_data
from assistant_kit.integrations.streaming.wire import data_of
from assistant_kit.messages import JsonObject, UserInput, user_message
from assistant_kit.protocols.event_log import RESET, Entry, EventLog
from assistant_kit.protocols.policy import Priority
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.run.masking import masked_input
from assistant_kit.run.result import Result
from assistant_kit.when_free import when_free

_log = logging.getLogger("assistant_kit.streaming")
OutputT = TypeVar("OutputT")
T = TypeVar("T")
_FOUND: Final = 100  # unfinished turns that are looked at in one round
_Work: TypeAlias = Callable[[RelayedSession], Awaitable[object]]


class Relay(Generic[OutputT]):
    """Runs turns of an assistant in the background of this process, and tells what happens to an event log.

    Use it as `async with Relay(assistant, log) as relay:` inside of `async with assistant`. `tell` says what readers
    are told of errors, `add` what goes into `complete` events beside their own fields, and `said` what `message` events
    show of what a user said. Leaving the block leaves turns that are under way to another worker.
    """

    def __init__(
        self,
        assistant: Assistant[OutputT],
        log: EventLog,
        *,
        settings: RelaySettings | None = None,
        tell: Tell = failure_of,
        add: Add | None = None,
        said: Said | None = None,
    ) -> None:
        """Relay the turns of an assistant that has a store. Raises ConfigurationError."""
        self._engine = Engine(assistant)
        self._log = log
        self._settings = RelaySettings() if settings is None else settings
        self._tell = tell
        self._add = add
        self._said = said
        self._keeper = LeaseKeeper(self._engine.settings.lease.ttl)
        self._turns: dict[tuple[str, str], Turn] = {}
        self._followings: WeakSet[Following] = WeakSet()
        self._unended: dict[tuple[str, str], int] = {}
        self._lingering: dict[anyio.CancelScope, tuple[str, str]] = {}
        self._recovering = 0
        self._group: TaskGroup | None = None
        self._beside = AsyncExitStack()
        self._closing = False

    async def __aenter__(self) -> Self:
        """Begin to look for turns whose worker has died."""
        if self._group is not None:
            message = "this relay is open already: enter it once, and use it from as many tasks as you like"
            raise ConfigurationError(message)
        await self._beside.enter_async_context(Background(self._keeper.run))
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._sweep)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the turns that are under way to another worker."""
        assert self._group is not None  # noqa: S101  (entered)
        self._closing = True
        # Turns are shielded from it: they are ended one by one, in order.
        self._group.cancel_scope.cancel()
        for turn in list(self._turns.values()):
            turn.scope.cancel()
        for scope in self._lingering:
            scope.deadline = min(scope.deadline, anyio.current_time() + self._settings.closing)
        # The group is told of no error, so that one raised in the block is not wrapped in a group.
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            await self._beside.aclose()

    async def start(
        self,
        message: UserInput,
        *,
        user: str,
        conversation: str,
        request_id: str | None = None,
        extra: JsonObject | None = None,
    ) -> Started:
        """Begin a turn, and return when it is under way: recorded in the journal, and its `message` in the log.

        A `request_id` that has been used joins the turn that it has begun, here or at another worker. `extra` is added
        to the `message` event. Raises what `run` raises before a turn begins (ConversationBusy, InputError),
        and for a request whose turn did not come to an answer: Interrupted.
        """
        said, request = user_message(message), request_id or os.urandom(16).hex()

        async def work(session: RelayedSession) -> object:
            masks = session.about.masks
            masked, session.extra = await masked_input(masks, said), await masked_extra(masks, extra)
            return await session.run(masked, request)

        async def attempt() -> Started:
            running = self._turns.get((user, conversation))
            if running is not None and running.request_id != request:
                raise ConversationBusy(conversation, self._engine.settings.lease.ttl)
            turn = running or self._begin(user, conversation, request, work)
            await turn.ready.wait()
            if turn.reached.is_set():
                return Started(request_id=request, after=turn.narrator.after, joined=running is not None)
            if turn.error is None:
                if turn.result is not None:
                    return await self._replayed(turn, request)
                self._running_in()  # it is closed now
                raise Interrupted(request, "cancelled", "stopped before it began")
            if isinstance(turn.error, ConversationBusy) and (joined := await self._joined(turn, request)):
                return joined
            raise turn.error

        return await self._when_free(attempt)

    async def resume(self, *, user: str, conversation: str) -> None:
        """Go on with a turn that waited for a decision, or was left, and return when it is under way.

        Raises InputError when there is none, TurnParked, ConversationBusy.
        """

        async def attempt() -> None:
            running = self._turns.get((user, conversation))
            turn = running or self._begin(user, conversation, None, lambda session: session.resume())
            await turn.ready.wait()
            if running is not None and (running.narrator.has_ended or not running.reached.is_set()):
                raise ConversationBusy(conversation, self._engine.settings.lease.ttl)  # it is not free yet
            if turn.error is not None and not turn.reached.is_set():
                raise turn.error

        await self._when_free(attempt)

    async def stop(self, *, user: str, conversation: str) -> None:
        """End the turn of a conversation without an answer, wherever it runs; nothing happens when there is none.

        Raises StoreError when that cannot be told to others.
        """
        turn = self._turns.get((user, conversation))
        if turn is not None:
            turn.stop()
        if turn is None or not turn.reached.is_set():  # what is only tried here may run elsewhere
            await self._log.for_user(user).ask_stop(conversation)
        if turn is not None:
            return
        # Nobody may be there to hear it: the turn waits for a decision, or its worker has died.
        turn = self._begin(user, conversation, None, lambda session: session.end_stopped())
        await turn.ready.wait()
        if turn.error is not None and not isinstance(turn.error, ConversationBusy):
            raise turn.error

    def follow(self, *, user: str, conversation: str, after: int | str | None = None) -> Following:
        """Return what happens in a conversation after an id: first what is kept, then what comes. It does not end.

        An entry `reset` says that events are missing: load the conversation from the journal, and go on from its id.
        Raises InputError; reading raises StoreError when the log cannot be read: follow again from the last id.
        """
        reader = self._log.for_user(user).follow(conversation, after=place_of(after))
        return self._followed(Following(reader, self._engine.masks(user), place=(user, conversation)))

    def events(self, started: Started, *, user: str, conversation: str) -> Following:
        """Return what happens in a turn, from its `message` up to its `complete` or `error`."""
        reader = self._log.for_user(user).follow(conversation, after=started.after)
        request = started.request_id
        place, masks = (user, conversation), self._engine.masks(user)
        return self._followed(Following(reader, masks, request_id=request, recorded=started.recorded, place=place))

    def _followed(self, following: Following) -> Following:
        self._followings.add(following)
        return following

    async def last_id(self, *, user: str, conversation: str) -> int:
        """Return the id from which a reader goes on who has loaded the conversation from the journal.

        While a turn is not finished, it is the one before its `message`: the reader sees that turn anew. 0 when the
        log knows nothing. Raises StoreError.
        """
        return (await self._log.for_user(user).standing(conversation)).mark

    async def is_running(self, *, user: str, conversation: str) -> bool:
        """Tell whether a turn is under way, here or elsewhere, or was left by a worker. Raises StoreError."""
        if (user, conversation) in self._turns:
            return True
        return await self._engine.is_unfinished(user, conversation)

    async def _when_free(self, attempt: Callable[[], Awaitable[T]]) -> T:
        lease = self._engine.settings.lease
        return await when_free(attempt, on_busy=self._settings.on_busy or lease.on_busy, wait=lease.wait)

    def _begin(self, user: str, conversation: str, request_id: str | None, work: _Work) -> Turn:
        group = self._running_in()
        turn = self._turn(user, conversation, request_id)
        group.start_soon(self._run, turn, work, "interactive")
        return turn

    def _turn(self, user: str, conversation: str, request_id: str | None) -> Turn:
        turn = Turn(user, conversation, request_id)
        turn.narrator = Narrator(
            self._log.for_user(user),
            conversation,
            tell=self._tell,
            still_held=turn.still_held,
            masks=self._engine.masks(user),
            said=self._said,
        )
        self._turns[user, conversation] = turn
        return turn

    def _running_in(self) -> TaskGroup:
        if self._group is None or self._closing:
            message = "this relay is not open: async with Relay(…) as relay"
            raise ConfigurationError(message)
        return self._group

    async def _run(self, turn: Turn, work: _Work, priority: Priority) -> None:
        """Run a turn and write its events, until both are over."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._watch, turn)
                beside.start_soon(_tell_ready, turn)
                async with Background(turn.narrator.run) as writing:
                    del writing
                    try:
                        await self._work(turn, work, priority)
                    finally:
                        del self._turns[turn.user, turn.conversation]
                    turn.narrator.close()
                    await self._written(turn)
                beside.cancel_scope.cancel()
        turn.ready.set()

    async def _work(self, turn: Turn, work: _Work, priority: Priority) -> None:
        try:
            with turn.scope:
                session = await self._session(turn, priority)
                turn.result = await work(session)
                self._engine.after_turn(turn.user, turn.conversation)
            if turn.stopped and turn.session is not None:
                await turn.session.end_stopped()
        except AssistantKitError as error:
            turn.error = error
            _log.info("a turn of %r has ended: %s", turn.conversation, type(error).__name__)
        except Exception as error:  # noqa: BLE001  (a tool's or a hook's failure must not end the turns beside it)
            turn.error = error
            # Its text may quote what the masker has taken out.
            known = self._engine.masks(turn.user) is None
            _log.error("a turn of %r has failed: %s", turn.conversation, type(error).__name__, exc_info=known)

    async def _session(self, turn: Turn, priority: Priority) -> RelayedSession:
        made = await self._engine.session(turn.user, turn.conversation, turn.narrator.hear, priority)
        session = RelayedSession.of(
            made, narrator=turn.narrator, keeper=self._keeper, tell=self._tell, reached=turn.reach
        )
        session.add, session.stopped = self._add, lambda: turn.stopped
        turn.session = session
        return session

    async def _written(self, turn: Turn) -> None:
        """Wait until the events of a turn are written, but not for ever."""
        patience = self._settings.closing if self._closing else self._settings.linger
        with anyio.move_on_after(patience) as scope:
            self._lingering[scope] = (turn.user, turn.conversation)
            try:
                await turn.narrator.written()
            finally:
                del self._lingering[scope]
        if scope.cancelled_caught:
            _log.warning("events of %r are lost: the log cannot be written", turn.conversation)

    async def _watch(self, turn: Turn) -> None:
        await turn.narrator.stop_asked()
        turn.stop()

    async def _replayed(self, turn: Turn, request: str) -> Started:
        """Return a turn that was over before."""
        after = await self._find(turn.user, turn.conversation, request)
        if after is not None:
            return Started(request_id=request, after=after, joined=True)
        started = await self._engine.started(turn.user, turn.conversation, request)
        told = [(MESSAGE, message_data(started, self._said))]
        told += [(event.name, event.data) for event in joined(turn.narrator.early)]
        complete = turn.narrator.complete
        assert complete is not None  # noqa: S101  (every run that has a result tells so)
        result = cast("Result[Any] | None", turn.result)
        added: JsonObject = await self._add(result) if self._add is not None and result is not None else {}
        told.append((complete.kind, {**data_of(complete, tell=self._tell), "request_id": request, **added}))
        last = await self._last_known(turn)
        recorded = tuple(Entry(id=last, name=name, data=data) for name, data in told)
        return Started(request_id=request, after=None, joined=True, recorded=recorded)

    async def _last_known(self, turn: Turn) -> int:
        try:
            return await self.last_id(user=turn.user, conversation=turn.conversation)
        except StoreError:
            return 0

    async def _joined(self, turn: Turn, request: str) -> Started | None:
        """Return the turn that a request has begun elsewhere, if it has."""
        if await self._engine.user_store(turn.user).locate(turn.conversation, f"request/{request}") is None:
            return None
        after = await self._find(turn.user, turn.conversation, request)
        return Started(request_id=request, after=after, joined=True)

    async def _find(self, user: str, conversation: str, request: str) -> int | None:
        """Return the id before the `message` of a request; None when the log does not have it."""
        log, after = self._log.for_user(user), None
        found: int | None = None
        try:
            while (page := await log.read(conversation, after=after)) and page[0].name != RESET:
                found = next(
                    (e.id - 1 for e in page if e.name == MESSAGE and e.data.get("request_id") == request), found
                )
                after = page[-1].id
        except StoreError as error:
            _log.warning("the events of %r cannot be read: %s", conversation, error)
        return found

    async def _sweep(self) -> None:
        """Go on with turns whose worker has died, until cancelled."""
        while True:
            try:
                found = list(await self._engine.store.unfinished(limit=_FOUND))
            except StoreError as error:
                _log.warning("looking for unfinished turns failed: %s", error)
                found = []
            shuffle(found)  # workers that look at the same time begin at different ends
            for left in found:
                if (left.user, left.conversation) not in self._turns and self._recovering < self._settings.parallel:
                    self._recovering += 1
                    self._running_in().start_soon(self._recover, self._turn(left.user, left.conversation, None))
            await self._mend()
            await anyio.sleep(self._settings.every)

    async def _mend(self) -> None:
        """Look after conversations that are read here and whose last turn may never be told to its end."""
        before, self._unended = self._unended, {}
        for user, conversation in {following.place for following in self._followings} - self._turns.keys():
            if (user, conversation) in self._lingering.values():
                continue  # it is being told
            try:
                standing = await self._log.for_user(user).standing(conversation)
            except StoreError:
                return  # the log is down: readers are told
            if standing.mark == standing.last:
                continue
            self._unended[user, conversation] = standing.last
            # One that stands as it did in the last round is not just about to be told.
            if before.get((user, conversation)) == standing.last and (user, conversation) not in self._turns:
                turn = self._turn(user, conversation, None)
                self._running_in().start_soon(self._run, turn, RelayedSession.mend, "background")

    async def _recover(self, turn: Turn) -> None:
        try:
            await self._run(turn, lambda session: session.recover(), "background")
        finally:
            self._recovering -= 1


async def _tell_ready(turn: Turn) -> None:
    """Say that a turn is under way, when it is and readers have been told, or cannot be."""
    await turn.reached.wait()
    await turn.narrator.tried()
    turn.ready.set()
