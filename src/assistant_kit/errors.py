"""Everything this library raises. Errors carry data; their text says what happened, where, and what to do.

AssistantKitError
├── ConfigurationError            the program is set up wrong; nothing was sent
│   ├── UnknownModel              a model string that names no known provider
│   ├── UnknownStore              a store address with a scheme that is not known
│   ├── DuplicateTool             two tools with one name
│   ├── InvalidTool               a function that cannot be made a tool
│   ├── MissingDependency         an optional package is not installed
│   ├── NotTransactional          a transactional tool and a store without transactions
│   ├── StoreVolatile             the store would lose what it has acknowledged
│   └── IndexMismatch             the vectors of an index come from another embedder
├── InputError                    what the caller passed to a run cannot be used; nothing was sent
│   ├── CannotFit                 a part of the request is larger than the window allows
│   └── DocumentUnreadable        a document is damaged, encrypted, too large, or of a format that is not known
├── ModelError                    the provider or the way to it failed
│   ├── ModelUnreachable          no connection, or it broke before an answer began
│   ├── ModelTimeout              no answer in time
│   ├── ModelUnauthorized         wrong key, or no permission
│   ├── ModelRateLimited          too many requests or no quota left; `retry_after` seconds
│   ├── ModelRejected             the provider refuses the request as it is
│   │   └── ContextOverflow       because it is longer than the model's context window
│   ├── ModelUnavailable          the provider failed on its side
│   └── ModelBroke                an answer that is no answer: cut off, malformed, reported as failed
├── RunError                      the run cannot go on
│   ├── DeadlineExceeded          the time for the run is over
│   ├── StepLimitExceeded         more model calls than the run may make
│   ├── OutputInvalid             structured output that does not validate; carries the text
│   ├── ApprovalPending           the conversation waits for a decision on a tool call
│   ├── TurnParked                the last turn was given up on after several attempts; somebody has to look
│   └── Interrupted               a recorded turn ended without an answer
├── ToolError                     raised by tools: its text is for the model to read
│   ├── InvalidArguments          the arguments of a call do not fit the tool
│   └── OutcomeUnknown            the call was sent and nobody can tell whether it took effect
├── ToolsetError                  a source of tools cannot be used
└── StoreError                    a journal or a search index cannot be read or written
    ├── StoreUnavailable          no such place, no permission, no connection
    ├── StoreBusy                 another process holds the store for too long; try again
    ├── StoreCorrupt              what is there is not a store, or is damaged
    ├── StoreTooNew               written by a newer version of this library
    ├── UnreadableEntry           one journal entry cannot be read; names it
    ├── DecryptionFailed          an encrypted record does not open: wrong key, or changed
    ├── ConversationExists        this user has a conversation of this name already
    ├── ConversationNotFound      this user has no such conversation
    ├── ConversationBusy          another run holds the conversation
    ├── ConversationConflict      somebody else has written meanwhile
    └── LeaseLost                 the right to write has passed to another run
"""

import re
from collections.abc import Sequence
from typing import Any


class AssistantKitError(Exception):
    """The root of all errors of this library. They can be pickled, to cross from one process to another."""

    def __reduce__(self) -> Any:
        """Say how to make an equal error; `args` holds the finished text, not what a constructor takes."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[AssistantKitError], args: tuple[Any, ...], data: dict[str, Any]) -> AssistantKitError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(data)
    return error


class ConfigurationError(AssistantKitError):
    """The program is set up wrong; nothing was sent."""


class UnknownModel(ConfigurationError):
    """A model string that names no known provider."""

    def __init__(self, model: str, known: Sequence[str]) -> None:
        super().__init__(
            f"unknown model {model!r}: write 'provider:name' with one of the providers {', '.join(sorted(known))}, "
            "for example 'openai:gpt-5.6-luna', or pass a Model object"
        )
        self.model = model


class UnknownStore(ConfigurationError):
    """A store address with a scheme that is not known; `address` is given without its password."""

    def __init__(self, address: str, known: Sequence[str]) -> None:
        address = re.sub(r"(//[^/@:]*:).*@", r"\1…@", address)
        super().__init__(
            f"unknown store {address!r}: an address begins with one of {', '.join(sorted(known))}, "
            "for example 'sqlite:///chat.db', or pass a Store object"
        )
        self.address = address


class DuplicateTool(ConfigurationError):
    """Two tools have one name; `origins` says where each comes from."""

    def __init__(self, name: str, origins: Sequence[str]) -> None:
        super().__init__(f"two tools are named {name!r}: {' and '.join(origins)}; rename one of them")
        self.name = name
        self.origins: tuple[str, ...] = tuple(origins)


class InvalidTool(ConfigurationError):
    """A function that cannot be made a tool."""

    def __init__(self, tool: str, problem: str) -> None:
        super().__init__(f"{tool} cannot be a tool: {problem}")
        self.tool = tool
        self.problem = problem


class MissingDependency(ConfigurationError):
    """An optional package is not installed; `extra` brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'assistant-kit[{extra}]'")
        self.package = package
        self.extra = extra


class NotTransactional(ConfigurationError):
    """A tool wants to write in the journal's transaction, and there is none."""

    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(f"tool {tool!r} is transactional, and {reason}: use SQLite or Postgres, or another effect")
        self.tool = tool


class StoreVolatile(ConfigurationError):
    """The store would lose what it has acknowledged; nothing was written."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place} would lose acknowledged writes: {problem}")
        self.place = place
        self.problem = problem


class IndexMismatch(ConfigurationError):
    """An index has vectors of another embedder; `kept` and `given` name both, with the length of their vectors."""

    def __init__(self, place: str, *, kept: str, given: str) -> None:
        super().__init__(f"{place} holds vectors of {kept}, not of {given}: use that embedder, or make a new index")
        self.place = place
        self.kept = kept
        self.given = given


class InputError(AssistantKitError):
    """What the caller passed to a run cannot be used; nothing was sent."""


class CannotFit(InputError):
    """A part of the request is larger than the window allows. Sizes are in tokens."""

    def __init__(self, part: str, *, needed: int, available: int) -> None:
        super().__init__(
            f"{part} needs {needed} tokens and {available} are available: shorten it, offer fewer tools, "
            "or use a model with a larger context window"
        )
        self.part = part
        self.needed = needed
        self.available = available


class DocumentUnreadable(InputError):
    """A document is damaged, encrypted, too large, or of a format that is not known. Nothing of it was kept."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(f"document {source!r} cannot be read: {problem}")
        self.source = source
        self.problem = problem


class ModelError(AssistantKitError):
    """The provider of a model, or the way to it, failed.

    `status` is the HTTP status if there was one, `code` the provider's own error code, `request_id` the provider's
    name for the request, `retry_after` the seconds the provider asks to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        model: str,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(f"{model}: {message}")
        self.model = model
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.should_retry = should_retry


class ModelUnreachable(ModelError):
    """No connection, or it broke before an answer began."""


class ModelTimeout(ModelError):
    """No answer in time."""


class ModelUnauthorized(ModelError):
    """Wrong key, or no permission."""


class ModelRateLimited(ModelError):
    """Too many requests, or no quota left."""


class ModelRejected(ModelError):
    """The provider refuses the request as it is; the same request will fail again."""


class ContextOverflow(ModelRejected):
    """The request is longer than the model's context window."""


class ModelUnavailable(ModelError):
    """The provider failed on its side."""


class ModelBroke(ModelError):
    """An answer that is no answer: cut off, malformed, or reported as failed."""


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


class ToolsetError(AssistantKitError):
    """A source of tools cannot be used; `toolset` names it."""

    def __init__(self, toolset: str, message: str) -> None:
        super().__init__(f"{toolset}: {message}")
        self.toolset = toolset


class StoreError(AssistantKitError):
    """The journal cannot be read or written."""


class StoreUnavailable(StoreError):
    """There is no such place, no permission, or no connection."""


class StoreBusy(StoreError):
    """Another process holds the store for too long; trying again is safe."""


class StoreCorrupt(StoreError):
    """What is there is not a store of this library, or it is damaged."""


class StoreTooNew(StoreError):
    """Written by a newer version of this library."""

    def __init__(self, place: str, *, found: int, supported: int) -> None:
        super().__init__(f"{place} has schema version {found}, and this assistant_kit knows {supported}: upgrade it")
        self.place = place
        self.found = found
        self.supported = supported


class UnreadableEntry(StoreError):
    """One journal entry cannot be read."""

    def __init__(self, conversation: str, seq: int, problem: str) -> None:
        super().__init__(f"entry {seq} of conversation {conversation!r} cannot be read: {problem}")
        self.conversation = conversation
        self.seq = seq
        self.problem = problem


class DecryptionFailed(StoreError):
    """An encrypted record does not open; nothing was changed. `seq` is None when it is no record of the journal."""

    def __init__(self, conversation: str, seq: int | None, problem: str) -> None:
        place = f"conversation {conversation!r}" if seq is None else f"record {seq} of conversation {conversation!r}"
        super().__init__(f"{place} cannot be decrypted: {problem}")
        self.conversation = conversation
        self.seq = seq
        self.problem = problem


class ConversationExists(StoreError):
    """This user has a conversation of this name already."""

    def __init__(self, conversation: str) -> None:
        super().__init__(f"this user has a conversation {conversation!r} already: give another name, or delete it")
        self.conversation = conversation


class ConversationNotFound(StoreError):
    """This user has no such conversation."""

    def __init__(self, conversation: str) -> None:
        super().__init__(f"this user has no conversation {conversation!r}")
        self.conversation = conversation


class ConversationBusy(StoreError):
    """Another run holds the conversation, for `retry_after` seconds at most."""

    def __init__(self, conversation: str, retry_after: float) -> None:
        super().__init__(f"another run holds {conversation!r} for up to {retry_after:.1f} s: see LeaseSettings(wait=…)")
        self.conversation = conversation
        self.retry_after = retry_after


class ConversationConflict(StoreError):
    """Somebody else has written to the conversation meanwhile: entry `expected` is not the next one."""

    def __init__(self, conversation: str, *, expected: int, found: int) -> None:
        super().__init__(f"conversation {conversation!r} has {found} entries and not {expected}: read it again")
        self.conversation = conversation
        self.expected = expected
        self.found = found


class LeaseLost(StoreError):
    """The right to write to the conversation has passed to another run."""

    def __init__(self, conversation: str) -> None:
        super().__init__(f"the lease on conversation {conversation!r} was lost: the run stopped before its next effect")
        self.conversation = conversation
