"""What the reader of a run sees. `kind` is the event's name on the wire."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from assistant_kit.errors import AssistantKitError
from assistant_kit.messages import JsonObject, Outcome, Part, text_of
from assistant_kit.usage import Usage

FailureKind: TypeAlias = Literal["rate_limit", "overflow", "refusal", "outage", "unauthorized", "rejected", "quota"]
"""Why a model gives no answer: its limits, a request too long for it, its own refusal, its being down or broken, a
wrong key, a request that it does not take, a quota of the application that is used up."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text, as it comes."""

    text: str
    kind: Literal["token"] = "token"


@dataclass(frozen=True, slots=True)
class ReasoningToken:
    """A piece of the model's reasoning, where the provider shows it."""

    text: str
    kind: Literal["reasoning_token"] = "reasoning_token"


@dataclass(frozen=True, slots=True)
class RefusalToken:
    """A piece of a refusal: the model says that it will not answer."""

    text: str
    kind: Literal["refusal_token"] = "refusal_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCompacted:
    """From here on the model is shown less of the conversation, which was too long for its window.

    `strategy` says how: what was dropped, cleared or summed up. Sizes are the tokens of the conversation before and
    after.
    """

    kind: Literal["compacted"] = "compacted"
    strategy: str
    dropped_turns: int
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """The model asks for a tool call. `arguments` is the parsed JSON object; None when it is not one."""

    kind: Literal["tool_request"] = "tool_request"
    call_id: str
    tool: str
    arguments: JsonObject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolProgress:
    """How far a running tool call is, as the tool itself says: `progress` of `total`, in a unit of its own.

    `total` is None where nobody knows it. The words of a tool of a server are the server's.
    """

    kind: Literal["tool_progress"] = "tool_progress"
    call_id: str
    tool: str
    progress: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What became of a tool call. `untrusted`: the content was written by others, such as the tool's server."""

    kind: Literal["tool_result"] = "tool_result"
    call_id: str
    tool: str
    outcome: Outcome
    content: tuple[Part, ...]
    untrusted: bool = False

    @property
    def text(self) -> str:
        """The text of the result."""
        return text_of(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequired:
    """A tool call waits for a decision; the run ends as `waiting`.

    `digest` stands for the tool and the arguments: give it back with the approval, so that nothing else is approved.
    """

    kind: Literal["approval_required"] = "approval_required"
    call_id: str
    tool: str
    arguments: JsonObject | None
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRetracted:
    """The text of the answer so far (`text`) does not count any more; what follows replaces it."""

    kind: Literal["text_retracted"] = "text_retracted"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """A call failed and is made again after `delay` seconds; `attempt` counts from 2."""

    kind: Literal["retrying"] = "retrying"
    attempt: int
    delay: float
    error: AssistantKitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """A call waits for its turn, and goes on by itself.

    `call` is the kind of what is called, `name` its name. `reason` says why: all places of a bulkhead are taken, or a
    rate limit lets it through later. `expected` is for how many seconds, if nothing else comes between; None while
    nobody can tell.
    """

    kind: Literal["delayed"] = "delayed"
    call: Literal["model", "tool", "other"]
    name: str
    reason: Literal["queue", "rate_limit"]
    expected: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack:
    """A model could not answer (`error`, or it refused), and another one is asked in its place.

    `reason` is the kind of failure; `model` and `to` are names. What the reader has been shown of the answer was
    retracted before.
    """

    kind: Literal["fell_back"] = "fell_back"
    model: str
    to: str
    reason: FailureKind
    error: AssistantKitError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsetUnavailable:
    """The tools of a toolset are missing in this run, which goes on without them; `reason` says why."""

    kind: Literal["toolset_unavailable"] = "toolset_unavailable"
    toolset: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The run is over and has an output; the last event of a run that succeeds or waits."""

    kind: Literal["complete"] = "complete"
    output: Any
    status: Literal["completed", "waiting"]
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """The run has failed; the last event of a run that does."""

    kind: Literal["error"] = "error"
    error: AssistantKitError


Delta: TypeAlias = Token | ReasoningToken | RefusalToken
"""What a model emits while it answers."""

Event: TypeAlias = (
    Delta
    | ToolRequest
    | ToolProgress
    | ToolResult
    | ApprovalRequired
    | TextRetracted
    | Retrying
    | Delayed
    | FellBack
    | ToolsetUnavailable
    | ContextCompacted
    | Complete
    | Error
)
"""The closed union of what a reader sees."""
