"""Run a turn to its end, whatever that is: in time, recorded, and with the reader told."""

import logging
from typing import Any

import anyio

from assistant_kit.entries import TurnFinished
from assistant_kit.errors import AssistantKitError, DeadlineExceeded, StoreError
from assistant_kit.run.loop import close_turn, run_turn
from assistant_kit.run.result import Result, usage_of
from assistant_kit.run.turn import TurnRun

_log = logging.getLogger("assistant_kit.run")


async def conduct(run: TurnRun) -> Result[Any]:
    """Run a turn; raise what ends it, after its end is recorded."""
    try:
        result = await _in_time(run)
    except AssistantKitError as error:
        await _fail(run, str(error))
        raise
    except BaseException as error:
        if isinstance(error, anyio.get_cancelled_exc_class()):
            await _end(run, TurnFinished(turn=run.id, outcome="cancelled", usage=usage_of(run.entries)))
        else:
            await _fail(run, f"{type(error).__name__} (see the application's log)")
        raise
    return await close_turn(run, result)


async def _in_time(run: TurnRun) -> Result[Any]:
    with anyio.CancelScope(deadline=run.about.deadline.at):
        return await run_turn(run)
    raise DeadlineExceeded(run.during, timeout=run.about.timeout)


async def _fail(run: TurnRun, reason: str) -> None:
    await _end(run, TurnFinished(turn=run.id, outcome="failed", usage=usage_of(run.entries), reason=reason))


async def _end(run: TurnRun, end: TurnFinished) -> None:
    # The first failure is the one to report; a store that cannot record the end leaves the turn to recovery.
    with anyio.CancelScope(shield=True):
        try:
            await run.runtime.finish(end)
        except StoreError as error:
            _log.warning("the end of turn %s is not recorded: %s", run.id, error)
