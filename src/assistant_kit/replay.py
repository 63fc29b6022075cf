"""What a crash leaves to do: pure decisions over the record of a turn that is not finished."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from assistant_kit.entries import (
    ApprovalDecided,
    Measured,
    ModelResponded,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from assistant_kit.tool_spec import Keyed, may_repeat

KEY_MARGIN = 0.1
"""The part of an idempotency key's life that is not counted on, so that a repeat still finds the key alive."""

Verdict: TypeAlias = Literal["repeat", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is recorded of one turn, by the keys under which the loop asks for it.

    A claim is that of the newest attempt, with the time of the first one.
    """

    started: Measured
    steps: dict[str, Measured]
    claims: dict[str, Measured]
    decisions: dict[str, ApprovalDecided]
    finished: TurnFinished | None


def record_of(entries: Iterable[Measured]) -> Record:
    """Sort the entries of one turn. The first must be its TurnStarted; raises ValueError if it is not."""
    ordered = list(entries)
    if not ordered or not isinstance(ordered[0].entry, TurnStarted):
        message = "the record of a turn begins with its turn_started entry"
        raise ValueError(message)
    record = Record(started=ordered[0], steps={}, claims={}, decisions={}, finished=None)
    finished: TurnFinished | None = None
    for measured in ordered[1:]:
        match measured.entry:
            case ModelResponded(step=step):
                record.steps[str(step)] = measured
            case ToolFinished(key=key):
                record.steps[key] = measured
            case ToolStarted(key=key):
                # The life of an idempotency key is counted from its first use, not from the last repeat.
                first = record.claims.get(key, measured)
                record.claims[key] = replace(measured, at=first.at)
            case ApprovalDecided(call_id=call_id) as decision:
                record.decisions[call_id] = decision
            case TurnFinished() as end if end.outcome != "waiting":
                finished = end
            case _:
                pass
    return Record(
        started=record.started,
        steps=record.steps,
        claims=record.claims,
        decisions=record.decisions,
        finished=finished,
    )


def verdict(claim: ToolStarted, *, claimed_at: float, now: float) -> Verdict:
    """Decide on a call that was started and not finished: run it again, or report that its outcome is unknown.

    Times are in seconds on the store's clock. A keyed call is repeated while its key lives, less a margin.
    """
    match claim.effect:
        case Keyed(ttl=ttl):
            return "repeat" if now < claimed_at + ttl * (1 - KEY_MARGIN) else "lost"
        case effect:
            return "repeat" if may_repeat(effect) else "lost"
