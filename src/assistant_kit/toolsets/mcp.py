"""The tools of an MCP server: a command, a URL, or a server object in this process."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, cast

import anyio
from anyio.abc import TaskGroup
from mcp import MCPError
from mcp.types import (
    HEADER_MISMATCH,
    REQUEST_TIMEOUT,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    RequestParamsMeta,
)
from pydantic import ValidationError

from assistant_kit.errors import ConfigurationError, OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.messages import Json, JsonObject, Text
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.tool_spec import Effect, ToolSpec, may_repeat
from assistant_kit.toolsets._mcp_delivery import delivery_of
from assistant_kit.toolsets._mcp_link import Link
from assistant_kit.toolsets._mcp_results import tool_output
from assistant_kit.toolsets._mcp_targets import Target, endpoint
from assistant_kit.toolsets._mcp_task_watch import Failed, Left, Unclear, WatchedTask
from assistant_kit.toolsets._mcp_tasks import KEEP, Answer, TaskState, call_tool, noted
from assistant_kit.toolsets._mcp_tools import Offer, Terms

IDEMPOTENCY_KEY = "assistant-kit/idempotency-key"
"""Where a server finds, in the `_meta` of a call, what stays the same when the call is repeated."""

Meta: TypeAlias = Callable[[ToolContext], Mapping[str, Json]]


class _Unsent(Exception):
    """A call did not reach the server, and a new connection may carry it."""


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
        self._meta = meta
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
        try:
            return await self._call(name, arguments, context)
        except _Unsent:  # the server ended while nobody looked: once more, with a new one
            pass
        try:
            return await self._call(name, arguments, context)
        except _Unsent as error:
            raise ToolError(f"{name} was not called: {self.name} ends as soon as it is called") from error

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:  # noqa: ARG002  (of the protocol)
        """Return the result of a call that a server carries out as a task, once it is there; None when nobody can tell.

        The task is found by the note that the call has left. It is waited for until the deadline of `context`, over
        interruptions of the connection, and never cancelled.
        """
        task_id = noted(context.notes)
        if task_id is None:
            return None
        match await WatchedTask(self._still_connected, task_id).end(self._seconds(context)):
            case CallToolResult() as result:
                return tool_output(result)
            case Failed(words=words):
                return ToolOutput(content=(Text(text=words),), is_error=True)
            case _:
                return None

    async def _connected(self) -> Link:
        """Return the connection, made anew when it has ended; whoever comes meanwhile waits for the same attempt."""
        if self._hosted is None:
            raise ToolsetError(self.name, "not connected: enter it with 'async with' before it is used")
        tasks, link = self._hosted
        if link.over:
            link = self._start(tasks)
        if not link.ready.is_set():
            await link.ready.wait()
        if link.problem is not None:
            raise ToolsetError(self.name, link.problem) from link.cause
        self._endpoint = replace(self._endpoint, modes=(link.mode,))  # what has worked is not searched for again
        return link

    async def _still_connected(self) -> Link:
        if self._hosted is None:
            raise Left
        return await self._connected()

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

    async def _call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        try:
            link = await self._connected()
        except ToolsetError as error:
            raise ToolError(f"{name} was not called: {self.name} is not available at present") from error
        offer = link.catalog.get(name)
        if offer is None:
            raise ToolError(f"{self.name} has no tool {name!r}")
        found = await self._earlier(offer, context)
        if found is not None:
            return found
        answer = await self._answer(link, offer, self._params(offer, arguments, context), context)
        if isinstance(answer, InputRequiredResult):
            raise ToolError(f"{name} asks for input that this application does not give")
        if isinstance(answer, CallToolResult):
            return tool_output(answer)
        return await self._watched(offer, answer, context)

    async def _answer(self, link: Link, offer: Offer, params: CallToolRequestParams, context: ToolContext) -> Answer:
        try:
            return await call_tool(link.client, CallToolRequest(params=params), self._seconds(context))
        except MCPError as error:
            raise self._failure(link, offer, error) from error
        except ValidationError as error:
            raise _unknown(offer, "the answer does not follow the protocol") from error

    async def _watched(self, offer: Offer, task: TaskState, context: ToolContext) -> ToolOutput:
        """Put down the id of the task that carries out a call, and wait for it; cancel it if the call is given up."""
        watched = WatchedTask(self._still_connected, task.task_id, pause=task.pause)
        match await watched.end_or_cancel(self._seconds(context), note=context.note):
            case CallToolResult() as result:
                return tool_output(result)
            case Failed(words=words):
                raise ToolError(f"{offer.spec.name}: {words}")
            case Unclear(why=why):
                raise _unknown(offer, why)
            case _:
                raise _unknown(offer, "there was no answer in time")

    async def _earlier(self, offer: Offer, context: ToolContext) -> ToolOutput | None:
        """Return the result of the task that an earlier worker has left to a call that may be made again."""
        task_id = noted(context.notes)
        if task_id is None:
            return None
        end = await WatchedTask(self._still_connected, task_id).end_or_cancel(self._seconds(context))
        if end is None:
            raise _unknown(offer, "there was no answer in time")
        return tool_output(end) if isinstance(end, CallToolResult) else None

    def _params(self, offer: Offer, arguments: JsonObject, context: ToolContext) -> CallToolRequestParams:
        more: Mapping[str, Json] = {} if self._meta is None else self._meta(context)
        meta = cast("RequestParamsMeta", {IDEMPOTENCY_KEY: context.idempotency_key, **more})
        task = KEEP if offer.as_task else None
        return CallToolRequestParams(name=offer.name, arguments=dict(arguments), task=task, _meta=meta)

    def _seconds(self, context: ToolContext) -> float | None:
        now = anyio.current_time()
        at = context.deadline.earlier(self._terms.call_timeout, now=now)
        return None if at.at == inf else at.remaining(now)

    def _failure(self, link: Link, offer: Offer, error: MCPError) -> Exception:
        """Tell what an error of the SDK means: for the model, or that the call can be made on a new connection.

        Addresses and the bodies of error pages stay in `__cause__`; they are nothing for the model.
        """
        delivery = delivery_of(error)
        if delivery is None:
            if error.code == HEADER_MISMATCH:  # a schema has changed since it was read; nothing was run
                link.stale = True
            return ToolError(f"{offer.spec.name}: {error.message}")
        if delivery.reconnect:
            link.close()
        if delivery.may_have_run:
            late = error.code == REQUEST_TIMEOUT
            return _unknown(offer, "there was no answer in time" if late else "the connection broke before the answer")
        if delivery.reconnect:
            return _Unsent(self.name)
        return ToolError(f"{offer.spec.name} was not called: {self.name} cannot be reached or refuses the call")


def _unknown(offer: Offer, why: str) -> ToolError:
    if may_repeat(offer.spec.effect):
        return ToolError(f"{offer.spec.name}: {why}; it may be called again")
    return OutcomeUnknown(f"{offer.spec.name}: {why}; it is not known whether it took effect")
