"""One call of a tool of an MCP server: sent, waited for, and what became of it when there is no proper answer."""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from math import inf
from typing import TypeAlias, cast

import anyio
from mcp import MCPError
from mcp.types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    REQUEST_TIMEOUT,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    RequestParamsMeta,
)
from opentelemetry import baggage
from opentelemetry import context as tracing
from pydantic import ValidationError

from assistant_kit.errors import InvalidArguments, OutcomeUnknown, ToolError, ToolsetError
from assistant_kit.messages import Json, JsonObject, Text
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.tool_spec import may_repeat
from assistant_kit.toolsets._definitions import Terms, on_offer
from assistant_kit.toolsets.mcp.call_time import CallTime, whole
from assistant_kit.toolsets.mcp.delivery import delivery_of
from assistant_kit.toolsets.mcp.input_rounds import with_input
from assistant_kit.toolsets.mcp.link import Link
from assistant_kit.toolsets.mcp.results import tool_output
from assistant_kit.toolsets.mcp.task_watch import Connect, Failed, Unclear, WatchedTask
from assistant_kit.toolsets.mcp.tasks import KEEP, Answer, TaskState, call_tool, noted
from assistant_kit.toolsets.mcp.tools import Offer

IDEMPOTENCY_KEY = "assistant-kit/idempotency-key"
"""Where a server finds, in the `_meta` of a call, what stays the same when the call is repeated."""

Meta: TypeAlias = Callable[[ToolContext], Mapping[str, Json]]


_log = logging.getLogger("assistant_kit.tools")


class _Again(Exception):
    """A call can be made once more, over a new connection; `error` says what it is when that fails, too."""

    def __init__(self, error: ToolError) -> None:
        self.error = error


class Caller:
    """Makes the calls of one server's tools.

    `connect` returns the connection, made anew if need be; it raises ToolsetError when that fails, and Left when there
    will be none any more. `name` is the server's in errors.
    """

    def __init__(self, name: str, connect: Connect, terms: Terms, meta: Meta | None) -> None:
        self._name = name
        self._connect = connect
        self._terms = terms
        self._meta = meta

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a tool, twice if the first connection turns out to have ended. Raises as `Toolset.call` does.

        What may have run is called twice only if that does no harm.
        """
        try:
            return await self._call(name, arguments, context)
        except _Again:  # the server ended while nobody looked: once more, with a new one
            pass
        try:
            return await self._call(name, arguments, context)
        except _Again as again:
            raise again.error from again.__cause__

    async def reconcile(self, context: ToolContext) -> ToolOutput | None:
        """Return the result of the task that a call has left, once it is there; None when nobody can tell."""
        task_id = noted(context.notes)
        if task_id is None:
            return None
        match await WatchedTask(self._connect, task_id).end(self._seconds(context)):
            case CallToolResult() as result:
                return tool_output(result)
            case Failed(words=words):
                return ToolOutput(content=(Text(text=words),), is_error=True, untrusted=True)
            case _:
                return None

    async def _call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        try:
            link = await self._connect()
        except ToolsetError as error:
            raise ToolError(f"{name} was not called: {self._name} is not available at present") from error
        offer = on_offer(name, link.catalog, server=self._name)
        found = await self._earlier(offer, context)
        if found is not None:
            return found
        given = offer.arguments.fitting(arguments)
        answer = await self._answer(link, offer, self._params(offer, given, context), context)
        result = answer if isinstance(answer, CallToolResult) else await self._watched(offer, answer, context)
        _compare(link, offer, result)
        return tool_output(result)

    async def _answer(
        self, link: Link, offer: Offer, params: CallToolRequestParams, context: ToolContext
    ) -> CallToolResult | TaskState:
        time = CallTime(self._terms, context)

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            time.heard()
            context.report_progress(progress, total, message)

        async def send(params: CallToolRequestParams) -> Answer:
            time.heard()
            return await call_tool(link.client, CallToolRequest(params=params), on_progress)

        try:
            with time.scope, _without_baggage():
                return await with_input(link.client, params, context, send)
            raise _unknown(offer, _LATE)
        except MCPError as error:
            raise self._failure(link, offer, error) from error
        except ValidationError as error:
            raise _unknown(offer, "the answer does not follow the protocol") from error

    async def _watched(self, offer: Offer, task: TaskState, context: ToolContext) -> CallToolResult:
        """Put down the id of the task that carries out a call, and wait for it; cancel it if the call is given up."""
        watched = WatchedTask(self._connect, task.task_id, pause=task.pause)
        match await watched.end_or_cancel(self._seconds(context), note=context.note):
            case CallToolResult() as result:
                return result
            case Failed(words=words):
                raise ToolError(f"{offer.spec.name}: {words}")
            case Unclear(why=why):
                raise _unknown(offer, why)
            case _:
                raise _unknown(offer, _LATE)

    async def _earlier(self, offer: Offer, context: ToolContext) -> ToolOutput | None:
        """Return the result of the task that an earlier worker has left to a call that may be made again."""
        task_id = noted(context.notes)
        if task_id is None:
            return None
        end = await WatchedTask(self._connect, task_id).end_or_cancel(self._seconds(context))
        if end is None:
            raise _unknown(offer, _LATE)
        return tool_output(end) if isinstance(end, CallToolResult) else None

    def _params(self, offer: Offer, arguments: JsonObject, context: ToolContext) -> CallToolRequestParams:
        more: Mapping[str, Json] = {} if self._meta is None else self._meta(context)
        meta = cast("RequestParamsMeta", {IDEMPOTENCY_KEY: context.idempotency_key, **more})
        task = KEEP if offer.as_task else None
        return CallToolRequestParams(name=offer.name, arguments=dict(arguments), task=task, _meta=meta)

    def _seconds(self, context: ToolContext) -> float | None:
        now = anyio.current_time()
        at = context.deadline.earlier(whole(self._terms), now=now)
        return None if at.at == inf else at.remaining(now)

    def _failure(self, link: Link, offer: Offer, error: MCPError) -> Exception:
        """Tell what an error of the SDK means: for the model, or that the call can be made on a new connection.

        Addresses and the bodies of error pages stay in `__cause__`; they are nothing for the model.
        """
        delivery = delivery_of(error)
        if delivery is None:
            return self._refusal(link, offer, error)
        if delivery.reconnect:
            link.close()
        if delivery.unreached:
            link.stale = True  # whether it is still there is asked before its tools are offered again
        if delivery.may_have_run:
            return _lost(offer, error)
        if delivery.reconnect:
            ends = ToolError(f"{offer.spec.name} was not called: {self._name} ends as soon as it is called")
            return _Again(ends)
        return ToolError(f"{offer.spec.name} was not called: {self._name} cannot be reached or refuses the call")

    def _refusal(self, link: Link, offer: Offer, error: MCPError) -> ToolError:
        """Tell what an error that the server itself has sent means; the model reads its words, the log its code too."""
        _log.warning("tool %s of %s: error %d of the protocol: %s", offer.name, self._name, error.code, error.message)
        if error.code == HEADER_MISMATCH:  # a schema has changed since it was read; nothing was run
            link.stale = True
        kind = InvalidArguments if error.code == INVALID_PARAMS else ToolError
        return kind(f"{offer.spec.name}: {error.message}")


_LATE = "there was no answer in time"


@contextmanager
def _without_baggage() -> Generator[None]:
    """Leave out of the trace context, which the SDK sends along, what the application has hung on it: it may be secret.

    `traceparent` and `tracestate` go, by the conventions of MCP (SEP-414).
    """
    token = tracing.attach(baggage.clear())
    try:
        yield
    finally:
        tracing.detach(token)


def _compare(link: Link, offer: Offer, result: CallToolResult) -> None:
    """Put down that a structured result is not what its tool promises. It is kept: the tool has done its work."""
    if offer.result is None or result.is_error:
        return
    if result.structured_content is None:
        link.note(f"tool {offer.name!r}: its result has no structured content, which it promises")
        return
    places = {problem.partition(":")[0] for problem in offer.result.problems(result.structured_content)}
    if places:
        link.note(f"tool {offer.name!r}: its structured result is not what it promises, in {', '.join(sorted(places))}")


def _lost(offer: Offer, error: MCPError) -> Exception:
    """Tell what is known of a call that may have run."""
    if error.code == REQUEST_TIMEOUT:
        return _unknown(offer, _LATE)
    unknown = _unknown(offer, "the connection broke before the answer")
    return _Again(unknown) if may_repeat(offer.spec.effect) else unknown


def _unknown(offer: Offer, why: str) -> ToolError:
    if may_repeat(offer.spec.effect):
        return ToolError(f"{offer.spec.name}: {why}; it may be called again")
    return OutcomeUnknown(f"{offer.spec.name}: {why}; it is not known whether it took effect")
