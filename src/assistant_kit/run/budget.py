"""The budget of a run: what it may use is looked at before it is used, by what the journal says was used so far."""

from collections.abc import Sequence

from assistant_kit.entries import Compacted, ModelResponded
from assistant_kit.errors import BudgetExceeded
from assistant_kit.prices import Prices
from assistant_kit.run.result import calls_of, usage_of
from assistant_kit.run.turn import TurnRun


def check_request(run: TurnRun, prompt_tokens: int, output_tokens: int) -> None:
    """See that a request may be made, the worst case counted. Raises BudgetExceeded, ConfigurationError."""
    limits = run.parts.settings.limits
    if limits.max_tokens is not None:
        used = usage_of(run.entries).total_tokens
        _check("tokens", prompt_tokens + output_tokens, used, limits.max_tokens)
    if limits.max_money is not None:
        prices = limits.prices or Prices()
        worst = prices.worst(run.parts.model.name, prompt_tokens, output_tokens)
        _check("nanodollars", worst, money_of(run, prices), limits.max_money)


def check_calls(run: TurnRun, calls: Sequence[object]) -> None:
    """See that tool calls may be made; the run's entries have them already. Raises BudgetExceeded."""
    limit = run.parts.settings.limits.max_tool_calls
    if limit is not None:
        made = len(calls_of(run.entries)) - len(calls)
        _check("tool calls", len(calls), made, limit)


def money_of(run: TurnRun, prices: Prices) -> int:
    """Return the nanodollars that a run has cost so far; a model nobody has a price for counts as the run's own."""
    own = run.parts.model.name
    return sum(
        prices.cost(entry.model if prices.find(entry.model) else own, entry.usage)
        for entry in (measured.entry for measured in run.entries)
        if isinstance(entry, ModelResponded | Compacted) and entry.model
    )


def _check(unit: str, needed: int, used: int, limit: int) -> None:
    if used + needed > limit:
        raise BudgetExceeded(unit=unit, needed=needed, used=used, limit=limit)
