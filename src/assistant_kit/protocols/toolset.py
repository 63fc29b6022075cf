"""The contract of a source of tools."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import anyio.from_thread

from assistant_kit.deadline import Deadline
from assistant_kit.messages import JsonObject, Part
from assistant_kit.tool_spec import ToolSpec


async def _forget(_: str) -> None:
    """Keep no note: nothing is recorded in a one-off run."""


def _nobody(_: "LateResult") -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateResult:
    """What a synchronous tool returned, or that it failed, after its call had been given up.

    `output` is None when it raised.
    """

    call_id: str
    tool: str
    output: "ToolOutput | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool may know of the call it serves.

    `user` and `conversation` are None in a one-off run. `idempotency_key` stays the same when the call is repeated
    by a retry or by another worker. A tool is cancelled when `deadline` has passed or the run is left; a synchronous
    one, whose thread nobody can stop, asks with `check_cancelled()`. `connection` is the database connection of a
    `transactional` tool (`sqlite3.Connection`, `psycopg.Connection`). `notes` are those that earlier attempts of this
    call have left. `late` is for toolsets: it takes what comes of a call after it was given up.
    """

    user: str | None
    conversation: str | None
    call_id: str
    tool: str
    idempotency_key: str
    deadline: Deadline = field(default_factory=Deadline)
    connection: Any = None
    notes: tuple[str, ...] = ()
    write_note: Callable[[str], Awaitable[None]] = _forget
    late: Callable[[LateResult], None] = _nobody

    async def note(self, text: str) -> None:
        """Record something that a later attempt has to know: the id of a task on a server. Durable on return.

        A `reconcile` function finds it in `notes`. Does nothing in a one-off run.
        """
        await self.write_note(text)

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


@runtime_checkable
class ErasingToolset(Protocol):
    """A toolset that keeps data of users; `Assistant.erase_user` reaches it, too."""

    async def erase_user(self, user: str) -> None:
        """Erase all that is kept of a user. Raises StoreError; may be repeated then."""
        ...


class ReconcilingToolset(Toolset, Protocol):
    """A toolset that can find out what became of a call; for tools whose spec says `reconciles`."""

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:
        """Return the result of a call that was started and whose end is not recorded; None when nobody can tell.

        It only looks. "It did not happen" is no answer: the call of a frozen worker may still be on its way.
        """
        ...
