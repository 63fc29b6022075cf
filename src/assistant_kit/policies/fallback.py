"""Ask another model when one cannot answer."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, cast

from assistant_kit import registry
from assistant_kit.errors import (
    AssistantKitError,
    CircuitOpen,
    ConfigurationError,
    ContextOverflow,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnauthorized,
    Overloaded,
    QuotaExceeded,
    RateLimitReached,
)
from assistant_kit.events import FailureKind, FellBack, RefusalToken, Token
from assistant_kit.messages import AssistantMessage
from assistant_kit.policies._retraction import retract
from assistant_kit.protocols.model import Model, ModelResponse, upstream_of
from assistant_kit.protocols.policy import Call, Proceed, T

_KINDS: tuple[tuple[tuple[type[AssistantKitError], ...], FailureKind], ...] = (
    ((ModelRateLimited, RateLimitReached), "rate_limit"),
    ((ContextOverflow,), "overflow"),
    ((ModelUnauthorized, ConfigurationError), "unauthorized"),
    ((ModelRejected,), "rejected"),
    ((QuotaExceeded,), "quota"),
    ((ModelError, CircuitOpen, Overloaded), "outage"),
)
USUAL: frozenset[FailureKind] = frozenset({"rate_limit", "overflow", "outage"})
"""Failures that another model may not have: neither a wrong key, which somebody should see, nor a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A model that stands in. `max_tokens` is its context window: what does not fit is not sent to it."""

    model: Model
    max_tokens: int | None = None

    def takes(self, call: Call) -> bool:
        """Tell whether a request fits."""
        return self.max_tokens is None or call.prompt_tokens + call.output_tokens <= self.max_tokens


Choose: TypeAlias = Callable[[FailureKind], Sequence[Model | Backup]]
"""Says who is asked after a failure of this kind, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome(Generic[T]):
    """What came of asking a model. `failure` is None when it answered; a refusal has a result, too."""

    failure: FailureKind | None = None
    error: AssistantKitError | None = None
    result: T | None = None


def _never(_: str) -> bool:
    """Know of nothing that is down."""
    return False


class Fallback:
    """Asks other models, in order, when the model of a run cannot answer.

    `Fallback("openai:gpt-5.6-mini", backup)` asks these; `choose` names others by the kind of failure; `on` are the
    kinds of failure of the run's own model after which another one is asked. What the reader has seen of the answer is
    retracted first. Tool calls that were made stay made: they are in the conversation that the other model reads. When
    no model answers, the error of the first one is raised, with notes on the others; a refusal is given rather than an
    error. `is_open` tells of the key of a call that it is known to be down: then others are asked before.
    """

    def __init__(
        self,
        *models: str | Model | Backup,
        choose: Choose | None = None,
        on: Collection[FailureKind] = USUAL,
        is_open: Callable[[str], bool] = _never,
    ) -> None:
        """Name the models. Raises ConfigurationError when there is none, UnknownModel."""
        if not models and choose is None:
            raise ConfigurationError("Fallback: name at least one model, or pass choose=…")
        self._made: list[Model] = []
        self._backups = tuple(map(self._backup, models))
        self._choose = choose
        self._on = frozenset(on)
        self._is_open = is_open

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the models that are asked in order; not of those that are chosen."""
        return tuple(backup.model.name for backup in self._backups)

    def knowing(self, is_open: Callable[[str], bool]) -> "Fallback":
        """Return the same with a breaker that is asked first, unless it has one."""
        if self._is_open is not _never:
            return self
        knowing = Fallback(*self._backups, choose=self._choose, on=self._on, is_open=is_open)
        knowing._made = self._made  # whichever is closed closes them
        return knowing

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call, and make it with other models when that one cannot answer."""
        if call.kind != "model" or call.model is None:
            return await proceed(call)
        outcome: _Outcome[T] = _Outcome(failure="outage")
        if not self._is_open(call.key):
            outcome = await self._ask(call, proceed)
        outcomes, asked = [outcome], call
        for backup in self._candidates(call, outcome.failure):
            if outcome.failure is None:
                break
            other = replace(call, name=backup.model.name, upstream=upstream_of(backup.model), model=backup.model)
            retract(call)
            call.notify(FellBack(model=asked.name, to=other.name, reason=outcome.failure, error=outcome.error))
            asked, outcome = other, await self._ask(other, proceed)
            outcomes.append(outcome)
        if outcome.result is not None:  # an answer, or a refusal behind which nobody was left
            return outcome.result
        return await self._given_up(call, proceed, outcomes)

    async def _ask(self, call: Call, proceed: Proceed[T]) -> _Outcome[T]:
        try:
            result = await proceed(call)
        except AssistantKitError as error:
            failure = kind_of(error)
            if failure is None:
                raise
            return _Outcome(failure=failure, error=error)
        refused = "refusal" in self._on and _refuses(result)
        return _Outcome(failure="refusal" if refused else None, result=result)

    async def _given_up(self, call: Call, proceed: Proceed[T], outcomes: Sequence[_Outcome[T]]) -> T:
        """Give the first refusal, or raise the error of the first model, which is asked now if it was passed over."""
        for outcome in outcomes:
            if outcome.result is not None:
                retract(call)
                _show(call, outcome.result)
                return outcome.result
        error = outcomes[0].error
        if error is None:
            return await proceed(call)
        for other in outcomes[1:]:
            error.add_note(f"after that: {other.error}")
        raise error

    def _candidates(self, call: Call, failure: FailureKind | None) -> Sequence[Backup]:
        """Return who is asked after a failure: whose window is large enough; last those that are known to be down."""
        if failure is None or failure not in self._on:
            return ()
        named = self._backups if self._choose is None else tuple(map(self._backup, self._choose(failure)))
        fitting = [backup for backup in named if backup.takes(call)]
        return sorted(fitting, key=lambda backup: self._is_open(f"model:{upstream_of(backup.model)}"))

    def _backup(self, model: str | Model | Backup) -> Backup:
        if isinstance(model, Backup):
            return model
        if isinstance(model, str):
            model = cast("Model", registry.make_model(model))
            self._made.append(model)
        return Backup(model=model)

    async def aclose(self) -> None:
        """Close the models that were given by name."""
        for model in self._made:
            await model.aclose()

    def explain(self, call: Call) -> str:
        """Return what applies to a call."""
        if call.kind != "model":
            return ""
        names = "as chosen" if self._choose is not None else ", ".join(self.names)
        return f"fallback: after {', '.join(sorted(self._on))}: {names}"


def kind_of(error: AssistantKitError) -> FailureKind | None:
    """Return the kind of failure that an error is; None for one that no other model would mend."""
    for errors, kind in _KINDS:
        if isinstance(error, errors):
            return kind
    return None


def _refuses(result: object) -> bool:
    """Tell whether an answer is a refusal: by the model itself, or by its provider's filter."""
    if not isinstance(result, ModelResponse) or result.tool_calls:
        return False
    said = [item for item in result.items if isinstance(item, AssistantMessage)]
    return any(item.refusal for item in said) or (result.finish == "content_filter" and not result.text)


def _show(call: Call, result: object) -> None:
    """Show an answer again that was retracted."""
    if not call.streams or not isinstance(result, ModelResponse):
        return
    for item in [item for item in result.items if isinstance(item, AssistantMessage)]:
        for delta in (Token(item.text), RefusalToken(item.refusal or "")):
            if delta.text:
                call.emit(delta)
