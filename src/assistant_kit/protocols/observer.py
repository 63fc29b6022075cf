"""The contract of what looks on while an assistant works: logs, traces, metrics."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from assistant_kit.entries import FinishReason
from assistant_kit.events import Event, FailureKind
from assistant_kit.messages import Item, Outcome, Part
from assistant_kit.protocols.policy import CallKind, ConditionChanged, Priority
from assistant_kit.tool_spec import Effect
from assistant_kit.usage import Usage

RunStatus: TypeAlias = Literal["completed", "waiting", "failed", "cancelled"]
CallStatus: TypeAlias = Literal["ok", "error", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBegan:
    """A turn begins, or goes on: the model will be asked. `run` is the turn's id, `model` whom it asks first.

    `user` and `conversation` are None in a one-off run. `messages` is what the user said.
    """

    kind: Literal["run_began"] = "run_began"
    span: int
    run: str
    assistant: str
    model: str
    user: str | None = None
    conversation: str | None = None
    streams: bool = False
    priority: Priority = "interactive"
    messages: Sequence[Item] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """The turn has ended, or waits for a decision. Its calls were told before.

    `usage` and `cost` are of the model calls that were told, so that those of one turn that waited are not counted
    twice; `cost` is in nanodollars, None when nobody knows a price. `first_token` is in how many seconds from the
    beginning the reader saw a first piece of the answer, `added` how many of these were not the model's own.
    `error` is the class of what was raised. `messages` are those of the turn.
    """

    kind: Literal["run_ended"] = "run_ended"
    began: RunBegan
    status: RunStatus
    seconds: float
    usage: Usage
    cost: int | None = None
    first_token: float | None = None
    added: float | None = None
    error: str = ""
    messages: Sequence[Item] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallBegan:
    """A model is asked. One request: what is made again, or sent to another model, is another call.

    `upstream` says where it is asked; tokens are what the request takes, and the most that the answer may take.
    """

    kind: Literal["model_call_began"] = "model_call_began"
    span: int
    run: str
    user: str | None
    model: str
    upstream: str
    streams: bool
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallEnded:
    """The model has answered, or failed, or was given up: `cancelled`, by a hedge or with its run.

    `first_token` is in how many seconds a streamed answer began. What only an answer tells is None without one:
    `usage`, `finish`, and `response_model`, the name that the server gave. `cost` is in nanodollars, None when nobody
    knows the price. `messages` is the answer.
    """

    kind: Literal["model_call_ended"] = "model_call_ended"
    began: ModelCallBegan
    status: CallStatus
    seconds: float
    first_token: float | None = None
    response_model: str | None = None
    finish: FinishReason | None = None
    usage: Usage | None = None
    cost: int | None = None
    error: str = ""
    messages: Sequence[Item] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallBegan:
    """A tool is called. `upstream` is the server that it belongs to, "" for a function.

    `call_id` is the model's id of the call, "" where it is not known.
    """

    kind: Literal["tool_call_began"] = "tool_call_began"
    span: int
    run: str
    user: str | None
    tool: str
    upstream: str
    effect: Effect
    call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallEnded:
    """The call of a tool has ended, as far as the call itself can tell. `content` is the result."""

    kind: Literal["tool_call_ended"] = "tool_call_ended"
    began: ToolCallBegan
    outcome: Outcome
    seconds: float
    error: str = ""
    content: Sequence[Part] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswered:
    """What the model is told of a call that it asked for, made or not: once for each, as it is recorded.

    `tool` is "" when there is no such tool: a name that a model has made up is content.
    """

    kind: Literal["tool_answered"] = "tool_answered"
    run: str
    tool: str
    call_id: str
    outcome: Outcome
    content: Sequence[Part] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """A tool call waits for a person's decision."""

    kind: Literal["approval_asked"] = "approval_asked"
    run: str
    tool: str
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRetried:
    """A call has failed with `error` and is made again after `delay` seconds; `attempt` counts from 2."""

    kind: Literal["call_retried"] = "call_retried"
    run: str
    call: CallKind
    name: str
    attempt: int
    delay: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDelayed:
    """A call waits in a queue, or for a rate limit; `expected` seconds, None while nobody can tell."""

    kind: Literal["call_delayed"] = "call_delayed"
    run: str
    call: CallKind
    name: str
    reason: Literal["queue", "rate_limit"]
    expected: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplaced:
    """A model could not answer, and `to` is asked in its place."""

    kind: Literal["model_replaced"] = "model_replaced"
    run: str
    model: str
    to: str
    reason: FailureKind
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """From here on the model is shown less of the conversation. Sizes are tokens of the conversation."""

    kind: Literal["compacted"] = "compacted"
    run: str
    strategy: str
    dropped_turns: int
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionNoted:
    """The state of a breaker, a queue, a limit or a budget is another one now."""

    kind: Literal["condition_noted"] = "condition_noted"
    change: ConditionChanged


Notice: TypeAlias = (
    RunBegan
    | RunEnded
    | ModelCallBegan
    | ModelCallEnded
    | ToolCallBegan
    | ToolCallEnded
    | ToolAnswered
    | ApprovalAsked
    | CallRetried
    | CallDelayed
    | ModelReplaced
    | Compacted
    | ConditionNoted
)
"""The closed union of what observers are told. Errors are named by their class, as their texts may quote content."""


class Observer(Protocol):
    """Something that is told what happens.

    A run is `run_began` … `run_ended`, a call within it `…_call_began` … `…_call_ended`; each beginning has exactly
    one end, which holds it as `began` and has its `span`, a number that no other one of this process has. Both are told
    in the same task, and within a task they nest: a context variable that is set at the beginning holds for the work,
    and is to be reset at the end. Calls in several tasks of a run overlap. Of several observers each beginning is told
    to the first one first, and each end to the last one first. Tokens are not told one by one.

    Fields with content (`messages`, `content`) are None, unless the observer is a `ReadingObserver`.
    """

    def observe(self, notice: Notice) -> None:
        """Take a notice. It is called where and when it happens, also by several threads, and holds up the run.

        So it is quick, and never waits: what is slow belongs in a thread of the observer's own. What it raises is
        logged once of each kind, and costs no run.
        """
        ...


@runtime_checkable
class ReadingObserver(Protocol):
    """An observer that may ask for content."""

    @property
    def reads_content(self) -> bool:
        """Whether what users, models and tools say is told as well. It stays the same."""
        ...


class WatchedRun(Protocol):
    """A run that observers are told of, while it goes on."""

    def hear(self, event: Event) -> None:
        """Take an event that no policy has made: the result of a tool call, an approval that is asked, a compaction."""
        ...

    def ended(self, status: RunStatus, messages: Sequence[Item] = ()) -> None:
        """Take how the run has ended, if nothing is raised."""
        ...


@runtime_checkable
class WatchingPolicy(Protocol):
    """A policy that tells observers of the runs of an assistant, beside its calls."""

    def watch_run(self, began: RunBegan, *, is_tool: Callable[[str], bool]) -> AbstractContextManager[WatchedRun]:
        """Return what tells of a run that is made in its block, with what is raised there.

        `began.span` is set by the policy. `is_tool` tells whether there is a tool of a name.
        """
        ...
