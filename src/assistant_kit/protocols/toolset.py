"""The contract of a source of tools."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import anyio.from_thread

from assistant_kit.deadline import Deadline
from assistant_kit.messages import JsonObject, Part
from assistant_kit.tool_spec import ToolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may know of the call it serves.

    `user` and `conversation` are None in a one-off run. `idempotency_key` stays the same when the call is repeated
    by a retry or by another worker. A tool is cancelled when `deadline` has passed or the run is left; a synchronous
    one, whose thread nobody can stop, asks with `check_cancelled()`.
    """

    user: str | None
    conversation: str | None
    call_id: str
    tool: str
    idempotency_key: str
    deadline: Deadline = field(default_factory=Deadline)

    def check_cancelled(self) -> None:
        """Raise the event loop's cancellation error when this call is cancelled; for synchronous tools in their thread.

        Let it pass through: it ends the thread. Its result is not awaited any more.
        """
        anyio.from_thread.check_cancelled()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """What a tool answers. `is_error` marks an answer that reports a failure."""

    content: tuple[Part, ...]
    is_error: bool = False


class Toolset(Protocol):
    """A source of tools. It is entered before its first use and left in the same task."""

    @property
    def name(self) -> str:
        """The name in errors and logs."""
        ...

    async def __aenter__(self) -> Self:
        """Connect. Raises ToolsetError when that fails."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, in bounded time."""
        ...

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the tools on offer now. Raises ToolsetError."""
        ...

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a tool.

        Raises ToolError with a text for the model (`InvalidArguments` when nothing was run, `OutcomeUnknown` when
        nobody can tell); any other exception is the tool's own failure, whose text stays out of the prompt.
        """
        ...
