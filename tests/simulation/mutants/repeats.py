"""Bugs of what is done again, after a failure or a crash."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

from assistant_kit import replay
from assistant_kit.entries import Measured, ToolFinished, ToolStarted
from assistant_kit.errors import AssistantKitError, OutcomeUnknown
from assistant_kit.policies import retry
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.runtime import Claim
from assistant_kit.replay import Record
from assistant_kit.run import one_call
from assistant_kit.runtimes import journal
from assistant_kit.runtimes.journal import Journal
from tests.simulation.mutants.planting import Swap, always, mutant, of


@mutant
def blind_retry_of_tools() -> Sequence[Swap]:
    """A failed call of any tool is tried again."""

    def next_delay(
        self: Retry, call: Call, error: AssistantKitError, *, attempt: int, now: float, pause: float = 0.0
    ) -> float | None:
        del call, now, pause
        passes = retry.passing(error) or isinstance(error, OutcomeUnknown)
        return 0.1 if attempt < self.attempts and passes else None

    return [(Retry, "next_delay", next_delay)]


@mutant
def intents_run_again_at_recovery() -> Sequence[Swap]:
    """A call that was started and has no end is made again, whatever it does."""
    return [(journal, "verdict", always("repeat"))]


@mutant
def finished_calls_run_again_at_recovery() -> Sequence[Swap]:
    """Recovery knows the answers of the model and not those of the tools."""
    sort = of(replay, "_sort")

    def sorted_in(measured: Measured, record: Record) -> None:
        if not isinstance(measured.entry, ToolFinished | ToolStarted):
            sort(measured, record)

    return [(replay, "_sort", sorted_in)]


@mutant
def keyed_repeated_after_its_life() -> Sequence[Swap]:
    """A keyed call is repeated however old its key is."""
    # At the claim, and again just before the call.
    return [(module, "repeatable_until", always(inf)) for module in (replay, journal)]


@mutant
def key_lives_from_its_last_use() -> Sequence[Swap]:
    """The life of a key is counted from the last attempt."""
    sort = of(replay, "_sort")

    def sorted_in(measured: Measured, record: Record) -> None:
        if isinstance(measured.entry, ToolStarted):
            record.claims[measured.entry.key] = measured
        else:
            sort(measured, record)

    return [(replay, "_sort", sorted_in)]


@mutant
def key_changes_with_each_attempt() -> Sequence[Swap]:
    """Each attempt at a keyed call has a key of its own."""
    claim = of(Journal, "_claim")

    def claimed(self: Journal, call: ToolStarted) -> Claim:
        found: Claim = claim(self, call)
        if found.standing == "run" and found.started.attempt > 1:
            key = f"{found.started.idempotency_key}{found.started.attempt}"
            return replace(found, started=replace(found.started, idempotency_key=key))
        return found

    return [(Journal, "_claim", claimed)]


@mutant
def reconcile_then_rerun() -> Sequence[Swap]:
    """A call that did not take effect, as far as can be seen, is made again."""
    settle, make, context = (of(one_call, name) for name in ("_settle", "_make", "_context"))

    async def settled(run: Any, one: Any, claim: Claim) -> Measured:
        toolset, spec, arguments = one.made_by
        if spec.reconciles:
            found = await toolset.reconcile(spec.name, arguments, context(run, one, claim))
            if found is None:
                return await make(run, one, claim)
        return await settle(run, one, claim)

    return [(one_call, "_settle", settled)]
