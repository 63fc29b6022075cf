"""The tools of an MCP server: a command, a URL, or a server object in this process."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup
from mcp import MCPError
from pydantic import ValidationError

from assistant_kit.errors import ConfigurationError, ToolsetError
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets.mcp.calling import Caller, Meta
from assistant_kit.toolsets.mcp.link import Link
from assistant_kit.toolsets.mcp.targets import Target, endpoint
from assistant_kit.toolsets.mcp.task_watch import Left
from assistant_kit.toolsets.mcp.tools import Terms


class MCPServer:
    """The tools of one MCP server, as a toolset.

    `target` is a command as a list of strings (one string never starts a process), an `http(s)://` URL, or a server
    object of the `mcp` SDK. `env` (beside the few variables that every process needs) and `cwd` go with a command,
    `headers` with a URL. Times are in seconds. `effects` and `needs_approval` go by the names of tools;
    `trust_annotations` believes the server's own hints at their effects. `meta` gives further fields for the `_meta`
    of a call, for instance who the user is: of itself nothing about user and conversation is sent.

    Raises ConfigurationError when these do not fit each other.
    """

    def __init__(  # noqa: PLR0913  (settings of one connection, most of them left alone)
        self,
        target: Target,
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 30.0,
        call_timeout: float | None = None,
        effects: Mapping[str, Effect] | None = None,
        needs_approval: bool | Collection[str] = False,
        trust_annotations: bool = False,
        meta: Meta | None = None,
    ) -> None:
        if isinstance(needs_approval, str):
            raise ConfigurationError(f"needs_approval={needs_approval!r}: give True, or the names of tools as a set")
        self._endpoint = endpoint(target, name=name, env=env, cwd=cwd, headers=headers, connect_timeout=connect_timeout)
        self._terms = Terms(
            origin=f"MCP server {self._endpoint.name}",
            call_timeout=call_timeout,
            effects=effects or {},
            needs_approval=needs_approval,
            trust_annotations=trust_annotations,
        )
        self._caller = Caller(self._endpoint.name, self._connected, self._terms, meta)
        self._hosted: tuple[TaskGroup, Link] | None = None

    def __repr__(self) -> str:
        return f"MCPServer({self.name!r})"

    @property
    def name(self) -> str:
        """The name in errors and logs."""
        return self._endpoint.name

    async def __aenter__(self) -> Self:
        """Connect and read the tools. Raises ToolsetError, which says why, when that fails."""
        if self._hosted is not None:
            raise ToolsetError(self.name, "already entered: make an MCPServer for each connection")
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        try:
            self._start(tasks)
            self._check_approvals(await self._connected())
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect, in bounded time; a process is stopped, with all it has started."""
        if self._hosted is None:
            return
        tasks, link = self._hosted
        self._hosted = None
        link.close()
        # Without the error of the body, which would come back wrapped in a group.
        await tasks.__aexit__(None, None, None)

    async def tools(self) -> list[ToolSpec]:
        """Return the tools on offer now. Raises ToolsetError."""
        link = await self._connected()
        if link.stale:
            await self._refresh(link)
        return [offer.spec for offer in link.catalog.values()]

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a tool; `name` is the one of its ToolSpec.

        Raises ToolError: as itself when the tool has not run or may be called again, as OutcomeUnknown when it may
        have run and nobody can tell. A task that an earlier attempt has left is waited for.
        """
        return await self._caller.call(name, arguments, context)

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:  # noqa: ARG002  (of the protocol)
        """Return the result of a call that a server carries out as a task, once it is there; None when nobody can tell.

        The task is found by the note that the call has left. It is waited for until the deadline of `context`, over
        interruptions of the connection, and never cancelled.
        """
        return await self._caller.reconcile(context)

    async def _connected(self) -> Link:
        """Return the connection, made anew when it has ended; whoever comes meanwhile waits for the same attempt."""
        if self._hosted is None:
            raise Left(self.name, "not connected: enter it with 'async with' before it is used")
        tasks, link = self._hosted
        if link.over:
            link = self._start(tasks)
        if not link.ready.is_set():
            await link.ready.wait()
        if link.problem is not None:
            raise ToolsetError(self.name, link.problem) from link.cause
        self._endpoint = replace(self._endpoint, modes=(link.mode,))  # what has worked is not searched for again
        return link

    def _start(self, tasks: TaskGroup) -> Link:
        link = Link(self._endpoint, self._terms)
        self._hosted = (tasks, link)
        tasks.start_soon(link.run)
        return link

    def _check_approvals(self, link: Link) -> None:
        """Refuse a misspelt name: its tool would run without the approval that was meant."""
        rule = self._terms.needs_approval
        if isinstance(rule, bool):
            return
        missing = set(rule) - set(link.catalog) - {offer.name for offer in link.catalog.values()}
        if missing:
            raise ToolsetError(
                self.name,
                f"needs_approval= names {', '.join(sorted(missing))}, and the server offers "
                f"{', '.join(sorted(link.catalog)) or 'no tools'}: correct the names",
            )

    async def _refresh(self, link: Link) -> None:
        try:
            with anyio.fail_after(self._endpoint.connect_timeout):
                await link.refresh()
        except (MCPError, ValidationError, TimeoutError) as error:
            raise ToolsetError(self.name, f"cannot read the list of tools: {error}") from error
