"""The tools of several toolsets, offered to callers from outside: found, checked, bounded in time, made once."""

import json
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from hashlib import sha256
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import anyio

from assistant_kit.deadline import Deadline
from assistant_kit.errors import (
    AssistantKitError,
    CallRefused,
    CannotAsk,
    InvalidArguments,
    OutcomeUnknown,
    StoreError,
    ToolError,
)
from assistant_kit.integrations.serving.outcomes import FAILED, UNKNOWN, Outcome, Request, problem
from assistant_kit.integrations.serving.repeats import Claim, Repeats, digest_of
from assistant_kit.integrations.serving.rounds import Round
from assistant_kit.messages import Text
from assistant_kit.protocols.toolset import PerUserToolset, ToolContext, ToolOutput, Toolset, ToolsetHealth
from assistant_kit.run.call_progress import CallProgress
from assistant_kit.run.toolbox import KEPT, Catalog, Toolbox
from assistant_kit.tool_spec import Keyed, ToolSpec, may_repeat
from assistant_kit.toolsets._schemas import SchemaCheck

_log = logging.getLogger("assistant_kit.serving")
_QUESTIONS = "The tool has questions to its caller first."
_AWAY = "The tools are not available at present. Try again later."


def offered(spec: ToolSpec) -> bool:
    """Tell whether a tool is offered unless the application decides: not if each call needs somebody's approval."""
    return not spec.needs_approval


@runtime_checkable
class HealthyToolset(Protocol):
    """A toolset that can say how it fares."""

    def health(self) -> ToolsetHealth:
        """Return how it fares, as far as is known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A tool that is on offer."""

    toolset: Toolset
    spec: ToolSpec
    check: SchemaCheck

    @property
    def idempotent(self) -> bool:
        """Whether a repeated call with the same arguments, or under the same key, changes nothing more."""
        return isinstance(self.spec.effect, Keyed) or self.spec.effect in ("read", "idempotent")


class Desk:
    """Takes calls of tools. It is entered before its first use and left in the same task: so are its toolsets."""

    def __init__(
        self, toolsets: Sequence[Toolset], *, repeats: Repeats, call_timeout: float, offer: Callable[[ToolSpec], bool]
    ) -> None:
        """Take toolsets, and the seconds that a call may take whose tool does not say."""
        self.toolsets: tuple[Toolset, ...] = tuple(toolsets)
        self._toolbox = Toolbox(toolsets, connected=True)
        self._repeats = repeats
        self._call_timeout = call_timeout
        self._offer = offer
        self._known: OrderedDict[int, tuple[Catalog, Mapping[str, Found]]] = OrderedDict()  # by identity
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect the toolsets. Raises ToolsetError, DuplicateTool."""
        async with AsyncExitStack() as stack:
            for toolset in self.toolsets:
                await stack.enter_async_context(toolset)
            await self._toolbox.check()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect the toolsets."""
        await self._stack.__aexit__(kind, error, trace)

    async def tools(self, user: str | None) -> Mapping[str, Found]:
        """Return the tools on offer to a user now, by name. Raises ToolsetError, DuplicateTool.

        Without those that write in the transaction of a journal: there is none here.
        """
        catalog = await self._toolbox.catalog(user)
        known = self._known.pop(id(catalog), None) or (catalog, self._found(catalog))
        self._known[id(catalog)] = known
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return known[1]

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """Return the schema of a tool that was listed; None when it was not, or was listed differently to users."""
        first, *others = [found[name].spec.parameters for _, found in self._known.values() if name in found] or [None]
        return None if any(other != first for other in others) else first

    @property
    def varies(self) -> bool:
        """Whether the tools may be others from user to user, or from time to time."""
        return any(isinstance(toolset, PerUserToolset) for toolset in self.toolsets)

    def health(self) -> Sequence[ToolsetHealth]:
        """Return how the toolsets fare that say so."""
        return [toolset.health() for toolset in self.toolsets if isinstance(toolset, HealthyToolset)]

    def _found(self, catalog: Catalog) -> Mapping[str, Found]:
        return {
            name: Found(toolset=toolset, spec=spec, check=SchemaCheck(spec.parameters))
            for name, (toolset, spec) in catalog.tools.items()
            if spec.effect != "transactional" and self._offer(spec)
        }

    async def call(self, request: Request) -> Outcome:
        """Answer a call. Raises nothing but cancellation."""
        try:
            found = (await self.tools(request.user)).get(request.tool)
        except AssistantKitError:
            _log.exception("the tools cannot be listed")
            return problem("unavailable", _AWAY)
        if found is None:
            return problem("unknown_tool", f"There is no tool {request.tool!r}.")
        try:
            request = replace(request, arguments=found.check.fitting(request.arguments))
        except InvalidArguments as error:
            return problem("invalid_arguments", str(error))
        seconds = self._seconds(found.spec, request)
        if request.key is None:
            return await self._make(found, request, seconds, os.urandom(16).hex())
        return await self._once(found, request, seconds, request.key)

    async def _once(self, found: Found, request: Request, seconds: float, key: str) -> Outcome:
        owner = request.user or ""
        # Of the user and the tool, so that one user's key never meets another's at the tool's own service.
        inner = sha256(json.dumps([owner, request.tool, key]).encode()).hexdigest()

        async def make() -> Outcome:
            return await self._make(found, request, seconds, inner)

        claim = Claim(digest=digest_of(request.tool, request.arguments), effect=found.spec.effect, seconds=seconds)
        try:
            return await self._repeats.once(owner, key, claim, make)
        except StoreError:
            _log.exception("calls with an idempotency key cannot be recorded")
            return problem("unavailable", _AWAY)

    async def _make(self, found: Found, request: Request, seconds: float, key: str) -> Outcome:
        spec = found.spec
        deadline = Deadline.after(seconds, now=anyio.current_time())
        rounds = request.caller if isinstance(request.caller, Round) else None
        with (
            closing(CallProgress(request.emit, call_id=request.call_id, tool=request.tool)) as progress,
            anyio.CancelScope(deadline=deadline.at) as scope,
        ):
            if rounds is not None:
                rounds.leave = scope.cancel
            context = ToolContext(
                user=request.user,
                conversation=None,
                call_id=request.call_id,
                tool=spec.name,
                idempotency_key=key,
                deadline=deadline,
                show_progress=progress.report,
                caller=request.caller,
            )
            outcome = await _outcome(found.toolset.call(spec.name, request.arguments, context), request)
            if outcome.problem is None or rounds is None or not rounds.is_pending:
                return outcome
        if rounds is not None and rounds.is_pending:
            return problem("input_required", _QUESTIONS)
        if may_repeat(spec.effect):
            return problem("timeout", f"The tool gave no answer within {seconds:g} s.")
        return problem("outcome_unknown", UNKNOWN)

    def _seconds(self, spec: ToolSpec, request: Request) -> float:
        own = self._call_timeout if spec.timeout is None else spec.timeout
        return own if request.timeout is None else max(0.0, min(own, request.timeout))


async def _outcome(call: Awaitable[ToolOutput], request: Request) -> Outcome:
    """Wait for a call, and say what came of it in words that hold no secret."""
    try:
        output = await call
    except InvalidArguments as error:
        return problem("invalid_arguments", str(error))
    except OutcomeUnknown as error:
        return problem("outcome_unknown", f"{UNKNOWN} ({error})")
    except CannotAsk as error:
        if isinstance(request.caller, Round):
            return Outcome(content=(Text(text=str(error)),), problem="cannot_ask", lacks=error.kind)
        return problem("tool_error", str(error))
    except ToolError as error:
        return problem("tool_error", str(error))
    except CallRefused as error:
        return problem("unavailable", str(error), retry_after=error.retry_after)
    except Exception:  # noqa: BLE001  (whatever a tool raises is its own failure; its text may hold a secret)
        _log.exception("tool %s failed (call %s)", request.tool, request.call_id)
        return problem("internal_error", FAILED)
    return Outcome(content=output.content, problem="tool_error" if output.is_error else None)
