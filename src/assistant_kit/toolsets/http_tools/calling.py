"""One call of a tool of a plain HTTP server: sent, waited for, and what became of it when there is no proper answer."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

import anyio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from assistant_kit.deadline import Deadline
from assistant_kit.errors import OutcomeUnknown, ToolError
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.tool_spec import may_repeat
from assistant_kit.toolsets.http_tools.offers import Offer
from assistant_kit.toolsets.http_tools.verdicts import Answered, MayHaveRun, NotRun, Verdict, judge, pause
from assistant_kit.toolsets.http_tools.wire import EXECUTE, IDEMPOTENCY_KEY, Broken, Unreachable, Wire

_TRACE = TraceContextTextMapPropagator()
"""Sends `traceparent` and `tracestate` along when a span is active (W3C Trace Context)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Makes the calls of one server's tools.

    `find_again` asks the server for a tool that it says it does not know, `doubt` learns that the server could not be
    reached for a user. `call_timeout` is in seconds, None for the run's own limit.
    """

    name: str
    wire: Wire
    call_timeout: float | None
    find_again: Callable[[str, str | None], Awaitable[Offer | None]]
    doubt: Callable[[str | None], Awaitable[None]]

    async def call(self, offer: Offer, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a tool. Raises as `Toolset.call` does."""
        effect, tool = offer.spec.effect, offer.spec.name
        deadline = context.deadline.earlier(self.call_timeout, now=anyio.current_time())
        attempt, sought = 1, False
        while True:
            verdict = await self._attempt(offer, arguments, context, deadline, attempt)
            if isinstance(verdict, Answered):
                return verdict.output
            if isinstance(verdict, NotRun) and verdict.unknown and not sought:
                sought, again = True, None
                with anyio.CancelScope(deadline=deadline.at):
                    again = await self.find_again(tool, context.user)
                if again is None:
                    raise ToolError(f"{self.name} has no tool {tool!r}")
                offer = again
                continue
            wait = pause(verdict, attempt=attempt, effect=effect, deadline=deadline, now=anyio.current_time())
            if wait is None:
                if isinstance(verdict, NotRun) and verdict.unreached:
                    await self.doubt(context.user)
                raise _failure(self.name, offer, verdict)
            attempt += 1
            await anyio.sleep(wait)

    async def _attempt(
        self, offer: Offer, arguments: JsonObject, context: ToolContext, deadline: Deadline, attempt: int
    ) -> Verdict:
        left = deadline.remaining(anyio.current_time())
        body: JsonObject = {
            "tool": offer.definition.name,
            "arguments": arguments,
            "call_id": context.call_id,
            **({} if left == inf else {"timeout": round(left, 3)}),
        }
        headers = {IDEMPOTENCY_KEY: context.idempotency_key}
        _TRACE.inject(headers)  # not what the application has hung on it, the baggage: that may be secret
        verdict: Verdict = MayHaveRun(why="there was no answer in time")
        with anyio.CancelScope(deadline=deadline.at):
            try:
                reply = await self.wire.post(EXECUTE, body, user=context.user, headers=headers)
                verdict = judge(reply, now=time.time())
            except Unreachable as error:  # made again once: a server that restarts has closed what was kept open
                verdict = NotRun(
                    why=f"it cannot be reached ({error})", wait=0.0 if attempt == 1 else None, unreached=True
                )
            except Broken as error:
                verdict = MayHaveRun(why=f"the connection broke before the answer ({error})")
        return verdict


def _failure(server: str, offer: Offer, verdict: NotRun | MayHaveRun) -> ToolError:
    tool = offer.spec.name
    if isinstance(verdict, NotRun):
        return ToolError(f"{tool} was not called: {server}: {verdict.why}")
    words = f"{tool}: {server}: {verdict.why}"
    if may_repeat(offer.spec.effect):
        return ToolError(words)
    return OutcomeUnknown(words)
