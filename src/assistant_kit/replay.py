"""What a crash leaves to do: pure decisions over the record of a turn that is not finished."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, TypeAlias

from assistant_kit.entries import (
    RECALL,
    ApprovalDecided,
    Compacted,
    Measured,
    MemoriesRecalled,
    ModelResponded,
    ToolFinished,
    ToolNoted,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnStarted,
    TurnSuspended,
)
from assistant_kit.settings import RecoverySettings
from assistant_kit.tool_spec import Effect, Keyed, may_repeat

KEY_MARGIN = 0.1
"""The part of an idempotency key's life that is not counted on, so that a repeat still finds the key alive."""

MAX_BACKOFF = 300.0
"""Seconds between two attempts at a turn that could not be finished for now, at most."""

Verdict: TypeAlias = Literal["repeat", "lost"]


@dataclass(slots=True, kw_only=True)
class Record:
    """What is recorded of one turn, by the keys under which the loop asks for it.

    A claim is that of the newest attempt, with the time of the first one. `finished` is the end of the turn, not a
    pause. `resumed` counts the attempts after the first, and `suspended` those of them that left the turn for later;
    both begin anew when the turn is parked, as does the time `since` when somebody has tried. `paused` is the newest
    record of a pause or of an attempt that left the turn for later.
    """

    started: Measured
    steps: dict[str, Measured] = field(default_factory=dict[str, Measured])
    claims: dict[str, Measured] = field(default_factory=dict[str, Measured])
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    decisions: dict[str, ApprovalDecided] = field(default_factory=dict[str, ApprovalDecided])
    finished: TurnFinished | None = None
    paused: Measured | None = None
    since: float = 0.0
    resumed: int = 0
    suspended: int = 0


def record_of(entries: Iterable[Measured]) -> Record:
    """Sort the entries of one turn. The first must be its TurnStarted; raises ValueError if it is not."""
    ordered = iter(entries)
    first = next(ordered, None)
    if first is None or not isinstance(first.entry, TurnStarted):
        message = "the record of a turn begins with its turn_started entry"
        raise ValueError(message)
    record = Record(started=first, since=first.at)
    for measured in ordered:
        if measured.entry.turn == first.entry.turn:
            _sort(measured, record)
    return record


def _sort(measured: Measured, record: Record) -> None:
    match measured.entry:
        case ModelResponded(step=step):
            record.steps[str(step)] = measured
        case ToolFinished(key=key) | Compacted(key=key):
            record.steps[key] = measured
        case MemoriesRecalled():
            record.steps[RECALL] = measured
        case ToolStarted(key=key):
            # The life of an idempotency key is counted from its first use, not from the last repeat.
            first = record.claims.get(key, measured)
            record.claims[key] = replace(measured, at=first.at)
        case ToolNoted(key=key, note=note):
            record.notes[key] = (*record.notes.get(key, ()), note)
        case ApprovalDecided(key=key) as decision:
            record.decisions[key] = decision
        case _:
            _sort_of_the_turn(measured, record)


def _sort_of_the_turn(measured: Measured, record: Record) -> None:
    match measured.entry:
        case TurnResumed():
            record.resumed += 1
        case TurnSuspended():
            record.suspended += 1
            record.paused = measured
        case TurnFinished(outcome="waiting"):
            record.paused = measured
        case TurnFinished(outcome="parked"):
            record.paused = measured
            record.since = measured.at
            record.resumed = record.suspended = 0
        case TurnFinished() as end:
            record.finished = end
        case _:
            pass


def given_up(record: Record, settings: RecoverySettings, *, now: float) -> str | None:
    """Return why a turn that is open should not be tried once more; None if it should. `now` is the store's time."""
    died = 1 + record.resumed - record.suspended
    if died >= settings.max_attempts:
        return f"it was tried {died} times, and no attempt came to an end"
    paused = record.paused
    if paused is not None and isinstance(paused.entry, TurnSuspended) and now > record.since + settings.patience:
        return f"it could not be finished within {settings.patience:.0f} s: {paused.entry.reason}"
    return None


def due_at(record: Record, settings: RecoverySettings) -> float:
    """Return the store's time from which on an open turn may be tried again."""
    if record.paused is None or not isinstance(record.paused.entry, TurnSuspended):
        return 0.0
    doublings = min(record.suspended - 1, 16)  # far beyond the maximum, and far from what a float cannot hold
    return record.paused.at + min(settings.backoff * 2**doublings, MAX_BACKOFF)


def verdict(claim: ToolStarted, *, claimed_at: float, now: float) -> Verdict:
    """Decide on a call that was started and not finished: run it again, or report that its outcome is unknown.

    Times are in seconds on the store's clock. A keyed call is repeated while its key lives, less a margin.
    """
    if isinstance(claim.effect, Keyed):
        return "repeat" if now < repeatable_until(claim.effect, claimed_at) else "lost"
    return "repeat" if may_repeat(claim.effect) else "lost"


def repeatable_until(effect: Effect, claimed_at: float) -> float:
    """Return the time until which a call may be repeated that was first made at `claimed_at`; infinity for no end."""
    return claimed_at + effect.ttl * (1 - KEY_MARGIN) if isinstance(effect, Keyed) else inf
