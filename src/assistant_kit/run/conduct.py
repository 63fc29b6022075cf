"""Run a turn to its end, whatever that is: in time, recorded, and with the reader told."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio

from assistant_kit.entries import TurnFinished, TurnStarted, TurnSuspended
from assistant_kit.errors import (
    AssistantKitError,
    BudgetExceeded,
    CallRefused,
    ConfigurationError,
    DeadlineExceeded,
    DecryptionFailed,
    ModelError,
    ModelRejected,
    StoreError,
    ToolsetError,
    UnreadableEntry,
)
from assistant_kit.protocols.observer import RunBegan
from assistant_kit.run.loop import close_turn, run_turn
from assistant_kit.run.one_call import unknown_end
from assistant_kit.run.result import Result
from assistant_kit.run.turn import TurnRun, record

_log = logging.getLogger("assistant_kit.run")

Prepare: TypeAlias = Callable[[], Awaitable[None]]
Leave: TypeAlias = Callable[[TurnSuspended], Awaitable[None]]


async def conduct(run: TurnRun, prepare: Prepare | None = None, *, leave: Leave | None = None) -> Result[Any]:
    """Run a turn, after `prepare`; raise what ends it, after its end is recorded.

    With `leave`, for whoever goes on with the turn of somebody else, what may pass (a provider that is down, this
    worker being stopped or out of time) does not end the turn: `leave` records that it is left for a later attempt.
    Observers are told, if there are any.
    """
    watching = run.parts.watching
    if watching is None:
        return await _conducted(run, prepare, leave)
    with watching.watch_run(_began(run), is_tool=lambda name: run.tool(name) is not None) as watched:
        run.hear = watched.hear
        result = await _conducted(run, prepare, leave)
        watched.ended(result.status, result.messages)
        return result


def _began(run: TurnRun) -> RunBegan:
    about, started = run.about, run.entries[0].entry
    return RunBegan(
        span=0,
        run=run.id,
        assistant=run.parts.settings.name,
        model=run.parts.model.name,
        user=about.user,
        conversation=about.conversation,
        streams=about.stream,
        priority=about.priority,
        messages=(started.input,) if isinstance(started, TurnStarted) else (),
    )


async def _conducted(run: TurnRun, prepare: Prepare | None, leave: Leave | None) -> Result[Any]:
    try:
        result = await _in_time(run, prepare)
    except AssistantKitError as error:
        if _leaves_in_doubt(error):
            raise  # what is recorded is not known: the turn stays open, for a repeated call or recovery to go on with
        if leave is not None and _may_pass(error):
            failure = await _recorded(run, leave(TurnSuspended(turn=run.id, reason=run.about.logged(error))))
        else:
            failure = await _fail(run, run.about.logged(error))
        if failure is not None:
            raise failure from error  # the turn is still open, whatever else has happened
        raise
    except BaseException as error:
        if not isinstance(error, anyio.get_cancelled_exc_class()):
            await _fail(run, f"{type(error).__name__} (see the application's log)")
        elif leave is not None:
            await _recorded(run, leave(TurnSuspended(turn=run.id, reason="its worker was stopped")))
        else:
            await _close(run, run.end("cancelled"))
        raise
    return await close_turn(run, result)


def _may_pass(error: AssistantKitError) -> bool:
    """Tell whether another attempt, later or by another worker, may go better."""
    if isinstance(error, ModelError):
        return not isinstance(error, ModelRejected)
    if isinstance(error, CallRefused):
        return not isinstance(error, BudgetExceeded)
    return isinstance(error, ToolsetError | ConfigurationError | DeadlineExceeded)


def _leaves_in_doubt(error: AssistantKitError) -> bool:
    """Tell whether a store has failed; what cannot be read will never be, and ends the turn."""
    return isinstance(error, StoreError) and not isinstance(error, UnreadableEntry | DecryptionFailed)


async def _in_time(run: TurnRun, prepare: Prepare | None) -> Result[Any]:
    with anyio.CancelScope(deadline=run.about.deadline.at):
        if prepare is not None:
            await prepare()
        return await run_turn(run)
    raise DeadlineExceeded(run.during, timeout=run.about.timeout)


async def _fail(run: TurnRun, reason: str) -> StoreError | None:
    return await _close(run, run.end("failed", reason))


async def settle_calls(run: TurnRun) -> None:
    """Record how the calls end that the end of their turn cuts off.

    Raises StoreError when a store has failed, and what is recorded is in doubt.
    """
    for call in run.unanswered:
        await record(run, call)
    for started in run.runtime.in_doubt():
        await record(run, unknown_end(started))
    if run.doubt is not None:
        raise run.doubt


async def _close(run: TurnRun, end: TurnFinished) -> StoreError | None:
    try:
        await settle_calls(run)
    except StoreError as doubt:
        return doubt
    return await _recorded(run, run.runtime.finish(end))


async def _recorded(run: TurnRun, recording: Awaitable[None]) -> StoreError | None:
    """Record something, whatever happens meanwhile; return why that failed: then the turn is left to recovery."""
    with anyio.CancelScope(shield=True):
        try:
            await recording
        except StoreError as error:
            _log.warning("the end of turn %s is not recorded: %s", run.id, error)
            return error
    return None
