"""Users who ask while a provider is ill: what they see, and what the provider has to bear."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import quantiles

import anyio

from assistant_kit.assistant import Assistant
from assistant_kit.errors import AssistantKitError
from assistant_kit.policies.circuit_breaker import CircuitBreaker
from assistant_kit.policies.fallback import Fallback
from assistant_kit.policies.rate_limit import RateLimit
from assistant_kit.policies.retry import Retry
from assistant_kit.policies.timeouts import Timeouts
from assistant_kit.protocols.policy import Policy
from assistant_kit.resilience import Policies
from assistant_kit.retry_budget import RetryBudget
from assistant_kit.testing.simulation.virtual_loop import VirtualLoop
from tests.outage.provider import BEGINS, ENDS, Illness, Provider

LASTS = 300.0
"""Seconds of virtual time in which users ask."""
PATIENCE = 30.0
"""Seconds that a user waits."""

Choice = Callable[[Random, Provider], Policies | Sequence[Policy]]


def _bare(random: Random, _: Provider) -> Sequence[Policy]:
    """Three attempts with exponential pauses, as retry decorators and SDKs make them: no budget, no breaker."""
    endless = RetryBudget(capacity=10**9, cost=1)
    return [Retry(attempts=3, base=0.5, cap=8.0, budget=endless, uniform=random.random)]


def _usual(random: Random, _: Provider) -> Policies:
    return Policies(retry=Retry(uniform=random.random), breaker=CircuitBreaker(uniform=random.random))


def _backed(random: Random, backup: Provider) -> Policies:
    return Policies(
        retry=Retry(uniform=random.random),
        breaker=CircuitBreaker(slow_rate=0.5, slow_after=8.0, uniform=random.random),
        timeouts=Timeouts(attempt=10.0),
        rate_limit=RateLimit(max_wait=2.0),
        fallback=Fallback(backup),
    )


CHOICES: Mapping[str, Choice] = {
    "none": lambda _random, _backup: [],
    "bare retries": _bare,
    "default": _usual,
    "with a backup": _backed,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one world has come to. Shares are of the runs asked for while the provider was ill; times are in seconds."""

    illness: Illness
    policies: str
    asked: int
    asked_ill: int
    sent_ill: int
    errors: float
    p99: float
    p99_error: float
    most: int

    @property
    def added(self) -> float:
        """The load that was added to what users asked for, while the provider was ill."""
        return self.sent_ill / self.asked_ill - 1


def play(illness: Illness, policies: str, *, users: int, requests: int, seed: int) -> Outcome:
    """Let users ask through a world in which a provider falls ill and recovers."""
    seen: list[tuple[float, float, bool]] = []
    random = Random(f"{seed} {illness}")  # the same users and the same times for all policies
    asking = sorted(random.uniform(0, LASTS) for _ in range(users * requests))
    allowed = 0.5 * users * requests / LASTS
    provider = Provider(illness=illness, random=Random(seed), allowed=allowed)
    backup = Provider(illness=None, random=Random(seed + 1), allowed=allowed, name="backup")

    async def main() -> None:
        assistant = Assistant(provider, policies=CHOICES[policies](Random(seed + 2), backup))

        async def ask(at: float) -> None:
            await anyio.sleep(at - anyio.current_time())
            try:
                await assistant.run("x", timeout=PATIENCE)
            except AssistantKitError:
                seen.append((at, anyio.current_time() - at, False))
            else:
                seen.append((at, anyio.current_time() - at, True))

        async with anyio.create_task_group() as group:
            for at in asking:
                group.start_soon(ask, at)

    anyio.run(main, backend_options={"loop_factory": lambda: VirtualLoop(seed)})
    ill = [(took, well) for at, took, well in seen if BEGINS <= at < ENDS]
    return Outcome(
        illness=illness,
        policies=policies,
        asked=len(seen),
        asked_ill=len(ill),
        sent_ill=provider.sent_ill,
        errors=sum(not well for _, well in ill) / len(ill),
        p99=_p99([took for took, well in ill if well]),
        p99_error=_p99([took for took, well in ill if not well]),
        most=provider.most,
    )


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100)[98] if len(times) > 1 else 0.0
