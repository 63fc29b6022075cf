"""The contract of what stands around a call: retries, breakers, limits, fallbacks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from assistant_kit.deadline import Deadline
from assistant_kit.events import Delta, Event
from assistant_kit.messages import Json
from assistant_kit.protocols.model import Model, Progress
from assistant_kit.tool_spec import Effect
from assistant_kit.usage import Usage

T = TypeVar("T")

CallKind: TypeAlias = Literal["model", "tool", "other"]

Priority: TypeAlias = Literal["interactive", "background"]
"""Whether somebody waits for the answer. Under load, what nobody waits for is shed first."""


def _nobody(_: Event) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as policies see it. One that changes something for those inside passes a changed copy on.

    `name` is what is called: a model's name, a tool's. `upstream` is what fails and is limited as one: calls with the
    same `upstream` share a breaker and a rate limit (default: the name; for a tool of a server, the server).
    `prompt_tokens` and `output_tokens` are what a model call takes at most; 0 where nobody has counted.
    `user` and `run` say whose call it is, and in which run, `call_id` which of the model's tool calls.

    `model` is who is asked in a model call; another one may be put in its place. `streams` tells whether its answer
    comes in pieces, `emit` is where they go, and `progress` what is known of it: once `progress.started`, the reader
    has seen a part of the answer, and a failed call is not simply made again. `notify` tells the reader of a run
    anything else.
    `usage` reads from the result what the call has used; None where that has no meaning.
    """

    kind: CallKind = "other"
    name: str
    upstream: str = ""
    effect: Effect = "once"
    deadline: Deadline = field(default_factory=Deadline)
    priority: Priority = "interactive"
    user: str | None = None
    run: str = ""
    call_id: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    model: Model | None = None
    streams: bool = False
    emit: Callable[[Delta], None] = _nobody
    notify: Callable[[Event], None] = _nobody
    progress: Progress = field(default_factory=Progress)
    usage: Callable[[Any], Usage] | None = None

    @property
    def key(self) -> str:
        """The name of what fails and is limited as one, such as `model:openai:gpt-5.6-luna`."""
        return f"{self.kind}:{self.upstream or self.name}"


Proceed: TypeAlias = Callable[[Call], Awaitable[T]]
"""Makes a call, through the policies that stand farther inside."""


class Policy(Protocol):
    """Something that stands around a call."""

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call by `proceed(call)` and return its result, by whatever rule this policy has."""
        ...


@runtime_checkable
class ExplainedPolicy(Protocol):
    """A policy that can say what it does."""

    def explain(self, call: Call) -> str:
        """Return in one line what applies to a call; "" when nothing does."""
        ...


@runtime_checkable
class WatchedPolicy(Protocol):
    """A policy with a state that an operator wants to see."""

    def health(self) -> Mapping[str, "Condition"]:
        """Return the state of each thing it watches, by its name."""
        ...


@runtime_checkable
class ReportingPolicy(Protocol):
    """A policy that tells of changes of what its `health()` shows, as they happen."""

    def report_to(self, hear: "Hear") -> None:
        """Tell `hear` from now on of each change of a condition's `state`; asked twice, it is told once."""
        ...


@runtime_checkable
class ClosingPolicy(Protocol):
    """A policy that holds something to be freed."""

    async def aclose(self) -> None:
        """Free what it has made; may be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The state of one thing: a breaker, a queue, a budget. `state` is a word, `data` has the figures behind it."""

    ok: bool
    state: str
    data: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionChanged:
    """The `state` of a condition was `before`, and is `after` now.

    `name` is the one in `health()`, `condition` the whole of how it is now. Where each user or tenant has one of their
    own, `owner` says whose it is.
    """

    name: str
    before: str
    after: str
    condition: Condition
    owner: str = ""


Hear: TypeAlias = Callable[[ConditionChanged], None]
"""Is told of changes, where and when they happen: it should be quick. What it raises is logged, and harms no call."""
