"""Turns whose worker has died, found and finished: several workers share the work, as each claims what it takes."""

import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import shuffle
from typing import Any

import anyio

from assistant_kit.assembly import Assembly
from assistant_kit.background import Background
from assistant_kit.errors import AssistantKitError, ConversationNotFound, LeaseLost, StoreError
from assistant_kit.run.masking import log_failure
from assistant_kit.session import Recovered

_log = logging.getLogger("assistant_kit.run")
_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What one look for unfinished turns has come to.

    Turns that were `completed` or `failed` for good, that `waiting` for an approval now, were `parked` after too many
    attempts, `suspended` for a later attempt, `busy` as others hold them, or `left`: not due yet, or another
    assistant's.
    """

    completed: int = 0
    failed: int = 0
    waiting: int = 0
    parked: int = 0
    suspended: int = 0
    busy: int = 0
    left: int = 0


async def recover(assembly: Assembly[Any], *, limit: int, parallel: int = 8) -> Recovery:
    """Finish turns that nobody holds, at most `limit`. Raises StoreError when the store cannot be asked."""
    found = list(await assembly.store().unfinished(limit=limit))
    shuffle(found)  # workers that look at the same time begin at different ends
    outcomes: Counter[Recovered] = Counter()
    slots = anyio.Semaphore(parallel)

    async def one(user: str, conversation: str) -> None:
        async with slots:
            outcomes[await _recovered(assembly, user, conversation)] += 1

    async with anyio.create_task_group() as group:
        for turn in found:
            group.start_soon(one, turn.user, turn.conversation)
    return Recovery(**{str(outcome): number for outcome, number in outcomes.items()})


async def _recovered(assembly: Assembly[Any], user: str, conversation: str) -> Recovered:
    try:
        session = await assembly.session(user, conversation, on_busy="fail", priority="background")
        return await session.recover()
    except (LeaseLost, ConversationNotFound):
        return "busy"  # another worker was faster, or the user has deleted it
    except AssistantKitError as error:
        _log.warning("conversation %r is not recovered: %s", conversation, error)
        return "left"
    except Exception as error:  # noqa: BLE001  (it must not keep others from being recovered, or end the service)
        log_failure(_log, error, assembly.masks(user), "conversation %r is not recovered", conversation)
        return "left"


@asynccontextmanager
async def recovering(assembly: Assembly[Any], *, every: float) -> AsyncGenerator[None]:
    """Look for unfinished turns every so many seconds, for as long as the block runs."""

    async def sweep() -> None:
        while True:
            try:
                await recover(assembly, limit=_BATCH)
            except StoreError as error:
                _log.warning("looking for unfinished turns failed: %s", error)
            await anyio.sleep(every)

    async with Background(sweep):
        yield
