"""Bugs of decisions on calls."""

from collections.abc import Sequence
from typing import Any

from assistant_kit import handle
from assistant_kit.run import tool_calls
from assistant_kit.runtimes.journal import Journal
from tests.simulation.mutants.planting import Swap, always, mutant, of


@mutant
def approval_not_bound_to_the_arguments() -> Sequence[Swap]:
    """A decision on a call counts, whatever was shown to whoever decided."""

    def decision(self: Any, key: str, arguments_hash: str) -> Any:
        del arguments_hash
        return self._record.decisions.get(key) if self._record is not None else None

    return [(Journal, "decision", decision)]


@mutant
def approval_not_bound_to_the_call() -> Sequence[Swap]:
    """A decision on one call of a turn counts for all."""

    def decision(self: Any, key: str, arguments_hash: str) -> Any:
        del key, arguments_hash
        found = list(self._record.decisions.values()) if self._record is not None else []
        return found[0] if found else None

    return [(Journal, "decision", decision)]


@mutant
def digest_of_an_approval_not_compared() -> Sequence[Swap]:
    """Whoever approves a call approves what it is, not what was shown."""
    decide = of(handle, "decide")

    async def decided(session: Any, call_id: str, **how: Any) -> None:
        await decide(session, call_id, **{**how, "digest": None})

    return [(handle, "decide", decided)]


@mutant
def denied_call_made() -> Sequence[Swap]:
    """A decision lets a call be made, whichever it was."""
    return [(tool_calls, "_denied", always(None))]


@mutant
def approval_never_asked() -> Sequence[Swap]:
    """Calls that need approval are made at once."""
    return [(tool_calls, "_waits", always(value=False))]
