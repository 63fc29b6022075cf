"""What a journal holds: the facts of a conversation, in the order in which they became true."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from assistant_kit.messages import DeveloperMessage, Outcome, OutputItem, Part, UserMessage
from assistant_kit.tool_spec import Effect
from assistant_kit.usage import Usage

FORMAT_VERSION = 1

RECALL = "recall"
"""The key, in its turn, of what was recalled."""
FIRST_STEP = "1"
"""The key, in its turn, of the model's first answer."""

TurnOutcome: TypeAlias = Literal["completed", "failed", "cancelled", "waiting", "parked"]
FinishReason: TypeAlias = Literal["stop", "tool_calls", "length", "content_filter", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A user's input was accepted. `assistant` is the name of the assistant that answers it."""

    kind: Literal["turn_started"] = "turn_started"
    turn: str
    input: UserMessage
    request_id: str | None = None
    assistant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoriesRecalled:
    """What was recalled for the turn's question: the ids of memories, and the message in which the model reads them.

    It is recorded, so that later requests begin with the same bytes.
    """

    kind: Literal["memories_recalled"] = "memories_recalled"
    turn: str
    memories: tuple[str, ...]
    message: UserMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoriesExtracted:
    """What was learned from the turns up to record `until`: the ids of memories that are new or were changed."""

    kind: Literal["memories_extracted"] = "memories_extracted"
    turn: str
    until: int
    memories: tuple[str, ...]
    model: str = ""
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResponded:
    """A model answered step `step` of the turn. `prompt` is what the run told the model just before, if anything."""

    kind: Literal["model_responded"] = "model_responded"
    turn: str
    step: int
    model: str
    items: tuple[OutputItem, ...]
    finish: FinishReason = "stop"
    usage: Usage
    prompt: DeveloperMessage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted:
    """A tool is about to be called; durable before it is. `key` is `step.index` of the call in its turn."""

    kind: Literal["tool_started"] = "tool_started"
    turn: str
    key: str
    call_id: str
    tool: str
    arguments_hash: str
    effect: Effect
    idempotency_key: str
    attempt: int = 1
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished:
    """What became of a call. `content` is what the model reads.

    Of an overlong result that is the beginning and the end; `kept` then names the whole text, which is kept beside the
    journal and read in pages. `untrusted`: it was written by others, such as the server that the tool belongs to.
    """

    kind: Literal["tool_finished"] = "tool_finished"
    turn: str
    key: str
    call_id: str
    tool: str
    outcome: Outcome
    content: tuple[Part, ...]
    kept: str = ""
    untrusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecided:
    """Somebody decided on a call that needed approval; bound to the tool and the arguments that were shown."""

    kind: Literal["approval_decided"] = "approval_decided"
    turn: str
    key: str = ""
    call_id: str
    arguments_hash: str
    approved: bool
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolNoted:
    """What a running call wants to be known after a crash: the id of a task on a server, of a payment."""

    kind: Literal["tool_noted"] = "tool_noted"
    turn: str
    key: str
    call_id: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResolved:
    """What was found out later about a call whose outcome was recorded as unknown. It takes the place of that record.

    `by` says who or what found out: a person, `late result`, a hook of the application.
    """

    kind: Literal["call_resolved"] = "call_resolved"
    turn: str
    key: str
    call_id: str
    tool: str
    outcome: Literal["ok", "error"]
    content: tuple[Part, ...]
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResumed:
    """A worker goes on with a turn that was interrupted. `attempt` counts from 2: the first was the run itself."""

    kind: Literal["turn_resumed"] = "turn_resumed"
    turn: str
    attempt: int
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSuspended:
    """A worker that went on with an interrupted turn had to leave it for a later attempt; `reason` says why."""

    kind: Literal["turn_suspended"] = "turn_suspended"
    turn: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A text that stands in for turns: those of the records `first` to `last`.

    One of level 0 sums up turns, one of level 1 summaries of level 0, and so on.
    """

    text: str
    first: int
    last: int
    level: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """From here on, requests show less of the conversation. The journal itself keeps everything.

    Turns that begin before record `before` are left out; `summaries`, the oldest first, stand in for all or some of
    them. Overlong tool results are cleared in turns before `cleared_turn`, in that turn in steps before `cleared_step`,
    and in that step those of the first `cleared_calls` calls. From step 1 on, answers of that turn that were not
    accepted are left out, too. `key` is unique in its turn. `strategy` names what decided this, and `usage` is what it
    took.
    """

    kind: Literal["compacted"] = "compacted"
    turn: str
    key: str
    before: int
    summaries: tuple[Summary, ...] = ()
    cleared_turn: str = ""
    cleared_step: int = 0
    cleared_calls: int = 0
    strategy: str
    model: str = ""
    usage: Usage

    @property
    def record_id(self) -> str:
        """The id of its record."""
        return f"{self.turn}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished:
    """The end of a turn; or a pause until somebody decides on a call (`waiting`) or looks at it (`parked`).

    `compacted` names the newest `Compacted` of the conversation by the id of its record, so that it is found without a
    search.
    """

    kind: Literal["turn_finished"] = "turn_finished"
    turn: str
    outcome: TurnOutcome
    usage: Usage
    reason: str = ""
    compacted: str = ""


Entry: TypeAlias = (
    TurnStarted
    | MemoriesRecalled
    | ModelResponded
    | ToolStarted
    | ToolNoted
    | ToolFinished
    | CallResolved
    | ApprovalDecided
    | TurnResumed
    | TurnSuspended
    | Compacted
    | MemoriesExtracted
    | TurnFinished
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An entry with the tokens that it adds to a request, by the counter `counted_by`.

    `seq` and `at` (the store's time, in seconds since 1970) are 0 until it is stored.
    """

    entry: Entry
    tokens: int
    counted_by: str
    seq: int = 0
    at: float = 0.0
