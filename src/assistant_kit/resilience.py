"""The policies of an assistant, and the one order in which they stand around each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assistant_kit.messages import Json
from assistant_kit.observers.observing import observed
from assistant_kit.policies.bulkhead import Bulkhead
from assistant_kit.policies.circuit_breaker import CircuitBreaker
from assistant_kit.policies.fallback import Fallback
from assistant_kit.policies.hedge import Hedge
from assistant_kit.policies.quota import Quotas
from assistant_kit.policies.rate_limit import RateLimit
from assistant_kit.policies.retry import Retry
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.prices import Prices
from assistant_kit.protocols.observer import Observer
from assistant_kit.protocols.policy import (
    Call,
    ClosingPolicy,
    Condition,
    ExplainedPolicy,
    Hear,
    Policy,
    ReportingPolicy,
    WatchedPolicy,
)
from assistant_kit.protocols.toolset import Toolset, ToolsetHealth, WatchedToolset


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What stands around the calls of an assistant; None leaves a policy out.

    From the outermost to the innermost: `quotas`, `bulkhead`, `fallback`, `hedge`, `retry`, `rate_limit`, `breaker`,
    `timeouts`. So a quota counts a call once, however often it is tried; a retry waits its turn in the rate limit and
    is seen by the breaker; a fallback goes on where retries have ended; a call that a breaker refuses costs nothing.
    `others` stand outside of all. By default there are retries within a budget, a breaker and timeouts; the others have
    a price, or need figures that only an application knows.

    A fallback is told by the breaker what is down, and a hedge draws on the budget of the retries, unless they were
    given others; a quota of money covers the models of the fallback.

    `on_condition` is told when the state of something that `Assistant.health()` shows has changed. `observers` are
    told of each run and call, with its cost by `prices` (default: those that come along).
    """

    quotas: Quotas | None = None
    bulkhead: Bulkhead | None = None
    fallback: Fallback | None = None
    hedge: Hedge | None = None
    retry: Retry | None = field(default_factory=Retry)
    rate_limit: RateLimit | None = None
    breaker: CircuitBreaker | None = field(default_factory=CircuitBreaker)
    timeouts: Timeouts | None = field(default_factory=Timeouts)
    others: Sequence[Policy] = ()
    on_condition: Hear | None = None
    observers: Sequence[Observer] = ()
    prices: Prices | None = None

    def chain(self) -> tuple[Policy, ...]:
        """Return the policies, the outermost first. From now on they tell `on_condition`."""
        fallback, hedge, quotas = self.fallback, self.hedge, self.quotas
        if fallback is not None and quotas is not None:
            quotas = quotas.covering(fallback.names)
        if fallback is not None and self.breaker is not None:
            fallback = fallback.knowing(self.breaker.is_open)
        if hedge is not None and self.retry is not None:
            hedge = hedge.drawing_on(self.retry.budget)
        inside = (
            quotas,
            self.bulkhead,
            fallback,
            hedge,
            self.retry,
            self.rate_limit,
            self.breaker,
        )
        inner = () if self.timeouts is None else (self.timeouts,)
        policies: Sequence[Policy] = (*self.others, *(policy for policy in inside if policy is not None))
        if self.observers:
            policies = observed(policies, *self.observers, inner=inner, prices=self.prices)
        else:
            policies = (*policies, *inner)
        if self.on_condition is not None:
            report(policies, self.on_condition)
        return tuple(policies)


def chain_of(policies: Policies | Sequence[Policy] | None) -> tuple[Policy, ...]:
    """Return policies in their order: the usual ones for None, and a sequence as it is."""
    if policies is None:
        return Policies().chain()
    return policies.chain() if isinstance(policies, Policies) else tuple(policies)


def explain(policies: Sequence[Policy], call: Call) -> str:
    """Return what applies to a call, a line for each policy, the outermost first."""
    lines = [f"{call.key} ({call.effect})"]
    for policy in policies:
        line = policy.explain(call) if isinstance(policy, ExplainedPolicy) else type(policy).__name__
        lines += [f"  {line}"] if line else []
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How things stand, each by its name: breakers, queues, limits, budgets, and toolsets that may be down."""

    conditions: Mapping[str, Condition]

    @property
    def ok(self) -> bool:
        """Whether all of them are well."""
        return all(condition.ok for condition in self.conditions.values())


def health_of(policies: Sequence[Policy], toolsets: Sequence[Toolset] = ()) -> Health:
    """Return how things stand now. Nothing is asked of any server."""
    found = {f"toolset {one.name}": _condition(one.health()) for one in toolsets if isinstance(one, WatchedToolset)}
    for policy in policies:
        if isinstance(policy, WatchedPolicy):
            found.update(policy.health())
    return Health(conditions=found)


def _condition(health: ToolsetHealth) -> Condition:
    data: dict[str, Json] = {
        "reason": health.reason,
        "retry_in": health.retry_in,
        "notes": list(health.notes),
        "connections": health.connections,
    }
    return Condition(ok=health.available, state="available" if health.available else "down", data=data)


def report(policies: Sequence[Policy], hear: Hear) -> None:
    """Let policies tell of changes of their conditions from now on."""
    for policy in policies:
        if isinstance(policy, ReportingPolicy):
            policy.report_to(hear)


async def close_policies(policies: Sequence[Policy]) -> None:
    """Free what policies have made."""
    for policy in policies:
        if isinstance(policy, ClosingPolicy):
            await policy.aclose()
