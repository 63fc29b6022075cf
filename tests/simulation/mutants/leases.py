"""Bugs of turns and their leases."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from assistant_kit import recovery, session
from assistant_kit.entries import TurnFinished
from assistant_kit.run import conduct
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.session import Holding, Session
from tests.simulation.mutants.planting import Swap, always, always_soon, mutant, of


@mutant
def left_stream_leaves_the_turn_open() -> Sequence[Swap]:
    """A run that is cancelled records no end."""
    close = of(conduct, "_close")

    async def closed(run: Any, end: TurnFinished) -> None:
        if end.outcome != "cancelled":
            await close(run, end)

    return [(conduct, "_close", closed)]


@mutant
def lease_not_released_by_the_run() -> Sequence[Swap]:
    """A run that ends without a record of its end keeps the lease until it ends by itself."""
    return [(Session, "_give_up", always_soon(None))]


@mutant
def lease_not_renewed() -> Sequence[Swap]:
    """Nobody renews leases."""

    async def renew_due(self: Any, now: float) -> None:
        for kept in [kept for kept in self._kept if kept.due <= now]:
            del self._kept[kept]

    return [(LeaseKeeper, "_renew_due", renew_due)]


@mutant
def open_turn_not_settled() -> Sequence[Swap]:
    """A new turn begins although the last one is open."""

    async def settle(self: Session, holding: Holding) -> None:
        del self
        holding.lease = replace(holding.lease, state="idle", open_turn=None)

    return [(Session, "_settle", settle)]


@mutant
def recovery_skips_turns() -> Sequence[Swap]:
    """Recovery does nothing."""
    return [(recovery, "_recovered", always_soon("left"))]


@mutant
def never_parked() -> Sequence[Swap]:
    """A turn that takes its worker down is tried for ever."""
    return [(session, "given_up", always(None))]
