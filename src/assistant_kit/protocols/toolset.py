"""The contract of a source of tools."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import anyio.from_thread

from assistant_kit.deadline import Deadline
from assistant_kit.messages import JsonObject, Part
from assistant_kit.protocols.caller import Caller
from assistant_kit.protocols.policy import Priority
from assistant_kit.tool_spec import ToolSpec


async def _forget(_: str) -> None:
    """Keep no note: nothing is recorded in a one-off run."""


def _nobody(_: "LateResult") -> None:
    """Tell nobody."""


def _unseen(_progress: float, _total: float | None, _message: str | None) -> None:
    """Show no progress: nobody reads."""


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
    one, whose thread nobody can stop, asks with `check_cancelled()`. `priority` says whether somebody waits for the
    run. `connection` is the database connection of a `transactional` tool (`sqlite3.Connection`,
    `psycopg.Connection`). `notes` are those that earlier attempts of this call have left. `late` is for toolsets: it
    takes what comes of a call after it was given up. `show_progress` is what `report_progress` calls. `caller` can be
    asked back when the tool is served to another program, over MCP; None where nobody can.
    """

    user: str | None
    conversation: str | None
    call_id: str
    tool: str
    idempotency_key: str
    deadline: Deadline = field(default_factory=Deadline)
    priority: Priority = "interactive"
    connection: Any = None
    notes: tuple[str, ...] = ()
    write_note: Callable[[str], Awaitable[None]] = _forget
    late: Callable[[LateResult], None] = _nobody
    show_progress: Callable[[float, float | None, str | None], None] = _unseen
    caller: Caller | None = None

    async def note(self, text: str) -> None:
        """Record something that a later attempt has to know: the id of a task on a server. Durable on return.

        A `reconcile` function finds it in `notes`. Does nothing in a one-off run.
        """
        await self.write_note(text)

    def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the reader of the run how far the call is: `progress` of `total`, in any unit. A `ToolProgress` event.

        It may be called as often as one likes; of reports that follow closely on each other some are dropped. A
        synchronous tool calls it in the thread in which it was started.
        """
        self.show_progress(progress, total, message)

    def check_cancelled(self) -> None:
        """Raise the event loop's cancellation error when this call is cancelled; for synchronous tools in their thread.

        Let it pass through: it ends the thread. Its result is not awaited any more.
        """
        anyio.from_thread.check_cancelled()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput:
    """What a tool answers. `is_error` marks an answer that reports a failure.

    `untrusted`: others have written it, a web page for instance, so nothing in it is an instruction of the application.
    """

    content: tuple[Part, ...]
    is_error: bool = False
    untrusted: bool = False


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """The tools that a toolset offers a user now.

    `tools` is the same object while they are the same. `unavailable` says why there are none for the time being, for
    instance that a server is down; it is empty while all is well.
    """

    tools: Sequence[ToolSpec]
    unavailable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsetHealth:
    """How a toolset fares: for a health check, or a page for those who run the application.

    `available` tells whether it can be used as far as is known; `reason` says why not, and `retry_in` in how many
    seconds it is tried again. `notes` tell what was wrong with a server and was put right or left out: a tool whose
    definition breaks the protocol. `connections` counts those that are open.
    """

    toolset: str
    available: bool
    reason: str = ""
    retry_in: float | None = None
    notes: tuple[str, ...] = ()
    connections: int = 0


@runtime_checkable
class WatchedToolset(Protocol):
    """A toolset that can say how it fares; `Assistant.health()` does, then."""

    def health(self) -> ToolsetHealth:
        """Return what is known now; nobody is asked."""
        ...


@runtime_checkable
class PerUserToolset(Protocol):
    """A toolset whose tools may differ from user to user, or be missing for a while."""

    @property
    def deferred(self) -> bool:
        """Whether its tools are not asked for before a run needs them."""
        ...

    async def tools_for(self, user: str | None) -> Offering:
        """Return the tools on offer to a user now; None for a one-off run without one. Raises ToolsetError.

        A toolset that the assistant can do without says in the offering that it is unavailable, and does not wait
        long for a server that is known to be down.
        """
        ...


class ReconcilingToolset(Toolset, Protocol):
    """A toolset that can find out what became of a call; for tools whose spec says `reconciles`."""

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:
        """Return the result of a call that was started and whose end is not recorded; None when nobody can tell.

        It only looks. "It did not happen" is no answer: the call of a frozen worker may still be on its way.
        """
        ...
