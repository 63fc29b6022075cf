"""What an application may set: how the model answers, how far a run may go, how large a request may be."""

from dataclasses import dataclass, field
from math import inf
from typing import Literal, TypeAlias

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import Json, JsonObject
from assistant_kit.prices import Prices

OnBusy: TypeAlias = Literal["wait", "fail", "queue"]
"""What a run does that finds its conversation held by another: wait for a while, fail at once, or stand in a queue
until its own deadline. Runs of one assistant object get their turn in the order in which they came."""

ToolChoice: TypeAlias = Literal["auto", "required", "none"] | str
"""How the model may use tools; any other text is the name of the one tool it must call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How the model answers. None leaves a choice to the provider; `extra` is merged into the request as it is."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: str | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    extra: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """How far a run may go.

    `max_steps` model calls; `timeout` seconds for the whole run (None: no limit); `parallel_tools` calls at once;
    `tool_timeout` seconds for a tool that sets none of its own.

    The budget of a turn, over all its attempts (None: no limit): `max_tool_calls`, `max_tokens` in and out, `max_money`
    in billionths of a US dollar by `prices` (default: those that come along). A request whose worst case would pass it
    is not made: the run ends with BudgetExceeded.
    """

    max_steps: int = 20
    timeout: float | None = 600.0
    parallel_tools: int = 16
    tool_timeout: float | None = 120.0
    max_tool_calls: int | None = None
    max_tokens: int | None = None
    max_money: int | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError when no run could go by these limits."""
        if self.max_steps < 1 or self.parallel_tools < 1:
            raise ConfigurationError("RunLimits: max_steps and parallel_tools are at least 1")
        if any(limit is not None and limit < 0 for limit in (self.max_tool_calls, self.max_tokens, self.max_money)):
            raise ConfigurationError("RunLimits: a budget is a whole number that is not negative, or None for no limit")
        if any(limit is not None and not limit > 0 for limit in (self.timeout, self.tool_timeout)):
            raise ConfigurationError("RunLimits: a timeout is a positive number of seconds, or None for no limit")


SHORTEST_RESULT = 64
"""Tokens of a tool result that a window shows in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSettings:
    """How large a request may be, in tokens.

    `max_tokens` is the model's context window; `reserved_output` is kept free for the answer. A request is at most
    `max_tokens - reserved_output`.

    When a conversation no longer fits, room is made until it takes `low_watermark` of what instructions and tools
    leave; so requests begin with the same bytes for many turns, which is what a provider's prompt cache wants. A
    compactor that works in the background begins when a turn has ended above `high_watermark`.

    A tool result of more than `max_result_tokens` is cut to its beginning and end, and the model reads the rest in
    pages (None: an eighth of the budget). When the descriptions of all tools take more than `tool_share` of the
    budget, tools are chosen for each turn. Of the windows that were used last, so many that they hold `cached_tokens`
    together are kept in this process, so that a turn need not read its conversation again; 0 keeps none.
    """

    max_tokens: int = 128_000
    reserved_output: int = 8_192
    low_watermark: float = 0.5
    high_watermark: float = 0.75
    max_result_tokens: int | None = None
    tool_share: float = 0.5
    cached_tokens: int = 1_000_000

    def __post_init__(self) -> None:
        """Raise ConfigurationError when no request could be made, or no room."""
        if not 0 <= self.reserved_output < self.max_tokens:
            message = f"{self} leaves no room for a request: max_tokens has to be more than reserved_output"
            raise ConfigurationError(message)
        if not 0 < self.low_watermark <= self.high_watermark <= 1 or not 0 < self.tool_share <= 1:
            raise ConfigurationError(
                "WindowSettings: 0 < low_watermark <= high_watermark <= 1, and tool_share is more than 0 and at most 1"
            )
        if self.cached_tokens < 0 or (self.max_result_tokens is not None and self.max_result_tokens < SHORTEST_RESULT):
            raise ConfigurationError(
                f"WindowSettings: cached_tokens is not negative, max_result_tokens at least {SHORTEST_RESULT}"
            )

    @property
    def result_tokens(self) -> int:
        """Tokens from which on a tool result is cut."""
        return max(self.budget // 8, SHORTEST_RESULT) if self.max_result_tokens is None else self.max_result_tokens

    @property
    def budget(self) -> int:
        """Tokens that a request may have."""
        return self.max_tokens - self.reserved_output


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """How a conversation is claimed, in seconds.

    A claim holds for `ttl` and is renewed at a third of it. `on_busy` says what a run does when another one holds the
    conversation, unless the run says otherwise; with `"wait"` it waits for `wait` seconds before it fails with
    `ConversationBusy`.
    """

    ttl: float = 30.0
    wait: float = 30.0
    on_busy: OnBusy = "wait"

    def __post_init__(self) -> None:
        """Raise ConfigurationError when a lease could not last."""
        if not 0 < self.ttl < inf or not self.wait >= 0:
            raise ConfigurationError("LeaseSettings: ttl is a positive number of seconds, wait is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySettings:
    """How turns are finished whose worker has died. Times are in seconds.

    A turn whose worker has died `max_attempts` times, the first run included, is parked with its cause until somebody
    looks at it. When an attempt finds the provider or a toolset down, the turn waits for another one, from `backoff`
    on doubling up to 300; `patience` after its beginning it is parked.
    """

    max_attempts: int = 5
    backoff: float = 10.0
    patience: float = 3600.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError when no turn would ever be recovered."""
        if self.max_attempts <= 1:
            raise ConfigurationError("RecoverySettings: max_attempts is at least 2, as the first run counts")
        if not self.backoff >= 0 or not self.patience >= 0:
            raise ConfigurationError("RecoverySettings: backoff and patience are not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSettings:
    """How much is recalled for a turn: at most `limit` memories, of `max_tokens` together.

    They take at most half of what the user's message leaves of the window. Only those with a `score` of at least
    `min_score` are shown, when that is set.
    """

    limit: int = 8
    max_tokens: int = 600
    min_score: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError when nothing could be recalled."""
        if self.limit < 1 or self.max_tokens < 1:
            raise ConfigurationError("RecallSettings: limit and max_tokens are at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of an assistant.

    `name` stands in journals: where several assistants share a store, each recovers the turns of its own name.
    """

    name: str = "assistant"
    model: ModelSettings = field(default_factory=ModelSettings)
    limits: RunLimits = field(default_factory=RunLimits)
    window: WindowSettings = field(default_factory=WindowSettings)
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    recall: RecallSettings = field(default_factory=RecallSettings)
