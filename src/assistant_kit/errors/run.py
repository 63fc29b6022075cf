"""What ends a run, or a tool call."""

from collections.abc import Sequence
from typing import Literal

from assistant_kit.errors.root import AssistantKitError


class RunError(AssistantKitError):
    """The run cannot go on."""


class DeadlineExceeded(RunError):
    """The time for the run is over; `during` says what it was doing."""

    def __init__(self, during: str, *, timeout: float | None = None) -> None:
        limit = "" if timeout is None else f" of {timeout:g} s"
        super().__init__(f"the time limit{limit} was over during {during}: allow more time with RunLimits(timeout=…)")
        self.during = during
        self.timeout = timeout


class StepLimitExceeded(RunError):
    """More model calls than the run may make."""

    def __init__(self, max_steps: int) -> None:
        super().__init__(f"no answer after {max_steps} model calls: look at the tools, or set RunLimits(max_steps=…)")
        self.max_steps = max_steps


class OutputInvalid(RunError):
    """Structured output that does not validate, after one attempt to repair it. `text` is what the model wrote."""

    def __init__(self, text: str, problems: str) -> None:
        super().__init__(f"the model's answer does not fit output_type: {problems}")
        self.text = text
        self.problems = problems


class ApprovalPending(RunError):
    """The conversation waits for a decision on tool calls; `call_ids` names them."""

    def __init__(self, conversation: str, call_ids: Sequence[str]) -> None:
        super().__init__(f"conversation {conversation!r} waits: approve or deny {', '.join(call_ids)}, then resume")
        self.conversation = conversation
        self.call_ids: tuple[str, ...] = tuple(call_ids)


class TurnParked(RunError):
    """The last turn of the conversation was given up on after several attempts; `reason` is the cause."""

    def __init__(self, conversation: str, reason: str) -> None:
        super().__init__(f"the last turn of conversation {conversation!r} is parked: {reason}: retry() or close() it")
        self.conversation = conversation
        self.reason = reason


class Interrupted(RunError):
    """A turn that was recorded under this request id ended without an answer; `outcome` says how."""

    def __init__(self, request_id: str, outcome: str, reason: str) -> None:
        super().__init__(f"request {request_id!r} has ended as {outcome}: {reason or 'no reason recorded'}")
        self.request_id = request_id
        self.outcome = outcome


class ToolError(AssistantKitError):
    """Raise it in a tool to tell the model what went wrong: the text becomes the result of the call."""


class InvalidArguments(ToolError):
    """The arguments of a call do not fit the tool."""


class OutcomeUnknown(ToolError):
    """The call was sent, and nobody can tell whether it took effect."""


class CannotAsk(ToolError):
    """The caller of a served tool takes no questions of this `kind`; nothing was asked."""

    def __init__(self, kind: Literal["form", "page", "sample", "roots"]) -> None:
        super().__init__(f"the tool has a question to its caller (kind: {kind}), and the caller takes no such ones")
        self.kind: Literal["form", "page", "sample", "roots"] = kind


class NoAnswer(ToolError):
    """The caller of a served tool was asked and gives no answer; `question` names what it was asked."""

    def __init__(self, question: str, problem: str) -> None:
        super().__init__(f"the caller has not answered the question {question!r}: {problem}")
        self.question = question
        self.problem = problem


class ToolsetError(AssistantKitError):
    """A source of tools cannot be used; `toolset` names it."""

    def __init__(self, toolset: str, message: str) -> None:
        super().__init__(f"{toolset}: {message}")
        self.toolset = toolset
