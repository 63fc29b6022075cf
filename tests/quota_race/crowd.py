"""Calls that all want a part of one quota at once."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import anyio

from assistant_kit.errors import QuotaExceeded
from assistant_kit.policies.quota import Quota, Quotas
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.shared_state import SharedState

WINDOW = 1_000_000_000
"""Seconds of a window that does not end while anybody looks: the next one begins in 2033."""

CALL_SECONDS = 0.02
SPREAD_SECONDS = 0.1
"""Calls begin within this time, so that those of all workers meet."""

STATES = {"sqlite": "SQLiteState", "postgres": "PostgresState", "redis": "RedisState"}


@dataclass(slots=True)
class Outcome:
    """What became of calls; any other error than a refusal ends the crowd."""

    admitted: int = 0
    refused: int = 0


def opened(store: str, where: str) -> SharedState:
    """The shared place of this name: a file, or a server's address."""
    return getattr(import_module(f"assistant_kit.shared_states.{store}"), STATES[store])(where)


def quotas(state: SharedState, name: str, limit: int, lease: float) -> Quotas:
    """A quota of requests that all share."""
    return Quotas(Quota(name, limit=limit, unit="requests", window=WINDOW, per="all"), state=state, lease=lease)


async def crowd(shared: Quotas, runs: int, *, decided: Callable[[Outcome], None], end: anyio.Event | None) -> Outcome:
    """Make calls at once and return what became of them.

    `decided` is told as soon as each is admitted or refused; who is admitted takes a moment, or stays until `end`.
    """
    outcome = Outcome()

    def count() -> None:
        if outcome.admitted + outcome.refused == runs:
            decided(outcome)

    async def proceed(_: Call) -> None:
        outcome.admitted += 1
        count()
        await (anyio.sleep(CALL_SECONDS) if end is None else end.wait())

    async def one() -> None:
        await anyio.sleep(random.random() * SPREAD_SECONDS)
        try:
            await shared.around(Call(kind="model", name="m"), proceed)
        except QuotaExceeded:
            outcome.refused += 1
            count()

    async with anyio.create_task_group() as group:
        for _ in range(runs):
            group.start_soon(one)
    return outcome
