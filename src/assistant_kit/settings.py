"""What an application may set: how the model answers, how far a run may go, how large a request may be."""

from dataclasses import dataclass, field
from math import inf
from typing import Literal, TypeAlias

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import Json, JsonObject

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
    """

    max_steps: int = 20
    timeout: float | None = 600.0
    parallel_tools: int = 16
    tool_timeout: float | None = 120.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError when no run could go by these limits."""
        if self.max_steps < 1 or self.parallel_tools < 1:
            raise ConfigurationError("RunLimits: max_steps and parallel_tools are at least 1")
        if any(limit is not None and not limit > 0 for limit in (self.timeout, self.tool_timeout)):
            raise ConfigurationError("RunLimits: a timeout is a positive number of seconds, or None for no limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSettings:
    """How large a request may be, in tokens.

    `max_tokens` is the model's context window; `reserved_output` is kept free for the answer. A request is at most
    `max_tokens - reserved_output`.
    """

    max_tokens: int = 128_000
    reserved_output: int = 8_192

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
