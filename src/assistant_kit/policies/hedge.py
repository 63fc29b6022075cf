"""Ask a second time when the first answer takes unusually long, and take the answer that begins first."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import anyio

from assistant_kit.errors import ConfigurationError
from assistant_kit.policies._budget import BudgetReport, condition_of
from assistant_kit.policies._latency import Latencies, rank
from assistant_kit.policies._race import Race
from assistant_kit.policies._reports import Reports
from assistant_kit.protocols.model import ModelResponse
from assistant_kit.protocols.policy import Call, CallKind, Condition, Hear, Proceed, T
from assistant_kit.retry_budget import RetryBudget
from assistant_kit.tool_spec import may_repeat
from assistant_kit.usage import Usage

_MOST_NAMES = 1_000
"""How many things are watched; of more, those that were met first are forgotten."""


@dataclass(slots=True, kw_only=True)
class _Watched:
    """What is known of the calls of one name: how long they take, the hedges made, and those that were faster.

    `ready` tells whether there was a delay when it was looked at last.
    """

    latencies: Latencies
    ready: bool = False
    made: int = 0
    won: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Makes a call a second time when no answer has begun after `delay`, and cancels the attempt that is slower.

    The delay is the time to the first delta, or to the result where nothing is streamed, under which a share of
    `percentile` of the latest `window` calls of the same key stayed; until `min_calls` are known there are no hedges.
    Or it is `after` seconds. Answers of a model that are streamed and those that are not are watched apart.

    Only `kinds` of calls are hedged, only those that may be made twice (`read`, `idempotent`), never one whose answer
    has begun, and none for which the delay does not end before the deadline. A hedge takes from the `budget` what a
    retry takes. A budget that is given is shared with a `Retry`, which fills it as well; without one, the hedge has its
    own and fills it by the calls that needed no second attempt.

    Nothing of the loser reaches the reader. In the usage of a model's answer it counts as one request that has read
    its whole prompt (`Call.prompt_tokens`), and `reported` is false: nobody knows what a cancelled request costs. What
    watches the pace of an answer, such as an idle timeout, stands inside.
    Sources: Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013; gRPC proposal A6.
    Raises ConfigurationError for figures by which no hedge could ever be made.
    """

    percentile: float = 0.95
    after: float | None = None
    window: int = 100
    min_calls: int = 20
    budget: RetryBudget | None = None
    kinds: tuple[CallKind, ...] = ("model",)
    _own: RetryBudget = field(init=False, repr=False, compare=False, default_factory=RetryBudget)
    _watched: dict[str, _Watched] = field(init=False, repr=False, compare=False, default_factory=dict[str, _Watched])

    _reports: Reports = field(init=False, repr=False, compare=False, default_factory=Reports)

    def __post_init__(self) -> None:
        """Check that there can be a delay."""
        if self.after is not None:
            if not self.after >= 0:
                raise ConfigurationError("Hedge: after is a number of seconds")
        elif not 0 < self.percentile < 1:
            raise ConfigurationError("Hedge: percentile lies between 0 and 1, such as 0.95")
        elif not 1 <= self.min_calls <= self.window or rank(self.percentile, self.window) > self.window:
            raise ConfigurationError(
                f"Hedge: a window of {self.window} calls has no {self.percentile} percentile, or fewer than min_calls"
            )

    def drawing_on(self, budget: RetryBudget) -> "Hedge":
        """Return the same with this budget, unless it has one: what it has learned and who is told are in common."""
        if self.budget is not None:
            return self
        hedge = replace(self, budget=budget)
        object.__setattr__(hedge, "_watched", self._watched)
        object.__setattr__(hedge, "_reports", self._reports)
        return hedge

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call, twice if it has to be."""
        if not self._applies(call) or call.progress.started:
            return await proceed(call)
        watched = self._watch(_name(call))
        delay = self._delay(watched)
        if delay is not None and not call.deadline.allows(delay, now=anyio.current_time()):
            delay = None
        # How long a first attempt takes is known up to the moment the race is decided: either it answers then, or it is
        # cancelled and would have taken longer. That moment lies after the delay whenever there was a hedge, so a first
        # attempt counts as slower than the delay exactly if it is. The share of those is what the percentile sets, and
        # hedging does not change it: neither by the quick second attempts, which do not count, nor by slow first ones
        # that are cut off, which count as slow. What failed, or was left by its caller, tells nothing.
        race = Race(call, proceed, may_hedge=lambda: self._spend(call.key, watched), decided=watched.latencies.add)
        result = await race.run(delay)
        self._learned(_name(call), watched)
        if race.second is None:
            self._own.earn(call.key)
            return result
        watched.won += race.winner is race.second
        return _with_loser(result, call, race)

    def explain(self, call: Call) -> str:
        """Return what applies to a call."""
        if call.kind not in self.kinds:
            return ""
        if not self._applies(call):
            return "hedge: never, as a second call might do harm"
        watched = self._watched.get(_name(call))
        if self.after is not None:
            return f"hedge: a second attempt when no answer has begun after {self.after:g} s"
        delay = None if watched is None else self._delay(watched)
        if delay is None:
            known = 0 if watched is None else len(watched.latencies)
            return f"hedge: none yet, {known} of {self.min_calls} calls are known"
        return (
            f"hedge: a second attempt when no answer has begun after {delay:.3g} s, as in {self.percentile:g} of calls"
        )

    def health(self) -> Mapping[str, Condition]:
        """Return for each name the hedges made, those that were faster, and the delay in seconds; and the budget."""
        return {"hedge budget": condition_of(self._purse)} | {
            f"hedge {name}": self._condition(known) for name, known in self._watched.items()
        }

    def report_to(self, hear: Hear) -> None:
        """Tell `hear` when the budget is used up and when it is not any more, and when a delay is known (`ready`)."""
        self._reports.add(hear)
        self._purse.watch(BudgetReport("hedge budget", self._purse, self._reports))

    @property
    def _purse(self) -> RetryBudget:
        return self.budget or self._own

    def _learned(self, name: str, watched: _Watched) -> None:
        """See whether a delay has become known by the end of a call."""
        if not watched.ready and self._delay(watched) is not None:
            watched.ready = True
            self._reports.tell(f"hedge {name}", "learning", self._condition(watched))

    def _condition(self, watched: _Watched) -> Condition:
        delay = self._delay(watched)
        data = {"made": watched.made, "won": watched.won, "delay": delay}
        return Condition(ok=True, state="learning" if delay is None else "ready", data=data)

    def _applies(self, call: Call) -> bool:
        return call.kind in self.kinds and may_repeat(call.effect)

    def _watch(self, name: str) -> _Watched:
        watched = self._watched.get(name)
        if watched is None:
            if len(self._watched) >= _MOST_NAMES:
                del self._watched[next(iter(self._watched))]
            watched = self._watched[name] = _Watched(latencies=Latencies(self.window), ready=self.after is not None)
        return watched

    def _delay(self, watched: _Watched) -> float | None:
        if self.after is not None:
            return self.after
        if len(watched.latencies) < self.min_calls:
            return None
        return watched.latencies.percentile(self.percentile)

    def _spend(self, key: str, watched: _Watched) -> bool:
        if not self._purse.spend(key):
            return False
        watched.made += 1
        return True


def _name(call: Call) -> str:
    return f"{call.key} (not streamed)" if call.kind == "model" and not call.streams else call.key


def _with_loser(result: T, call: Call, race: Race[T]) -> T:
    """Add to the usage of an answer what the attempt has used that was on its way and not heard."""
    loser = race.loser
    if loser is None or not isinstance(result, ModelResponse):
        return result
    used = Usage(requests=1, input_tokens=call.prompt_tokens, reported=False)
    if loser.result is not None and isinstance(loser.result[0], ModelResponse):
        used = loser.result[0].usage  # it answered before the cancellation came
    return cast("T", replace(result, usage=result.usage + used))
