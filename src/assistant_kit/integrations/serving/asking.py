"""An assistant as a toolset for others: one tool that asks it, and beside it the tools that it uses itself."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from types import TracebackType
from typing import Any, Final, Self

import anyio

from assistant_kit.assembly import Assembly
from assistant_kit.assistant import Assistant
from assistant_kit.errors import (
    ApprovalPending,
    AssistantKitError,
    CallRefused,
    ConversationBusy,
    DeadlineExceeded,
    DuplicateTool,
    InputError,
    Interrupted,
    StepLimitExceeded,
    ToolError,
    TurnParked,
)
from assistant_kit.events import Event, TextRetracted, Token, ToolRequest
from assistant_kit.messages import JsonObject, Text
from assistant_kit.policy_chain import through
from assistant_kit.protocols.nested_calls import nested_conversation
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.toolset import Offering, ToolContext, ToolOutput, Toolset
from assistant_kit.registry import CHILD, is_hidden
from assistant_kit.run.options import RunOptions
from assistant_kit.run.result import Result
from assistant_kit.run.toolbox import KEPT, Catalog
from assistant_kit.tool_spec import ToolSpec

_log = logging.getLogger("assistant_kit.serving")
_BEAT: Final = 0.25  # seconds between two reports of the text that has come
_TELLING = (
    ApprovalPending,
    CallRefused,
    ConversationBusy,
    DeadlineExceeded,
    InputError,
    Interrupted,
    StepLimitExceeded,
    TurnParked,
)
"""Errors whose text is for who asks; that of others may name addresses, or quote what a provider has said."""

_MESSAGE: Final[JsonObject] = {"type": "string", "description": "What the assistant is asked, with all it must know."}
_CONVERSATION: Final[JsonObject] = {
    "type": "string",
    "description": "Goes on with the conversation of this name; without, the assistant remembers nothing of it later.",
}


class AskedAssistant:
    """A toolset of an assistant: `ask`, and its own tools, called through its own policies.

    The assistant is opened and closed with the toolset. Who asks is the user of the call, never what its arguments say;
    without a user there are no conversations. With a store, the turn of a user's question is kept even where it belongs
    to no conversation, under the key of the call: asked again, the assistant goes on with it or repeats its answer.
    """

    def __init__(self, assistant: Assistant[Any], *, ask: str, description: str) -> None:
        """Take an assistant, and the name and description of the tool that asks it."""
        # The door to its tools is no part of the facade; this stands above it, in the same package.
        self._assembly: Assembly[Any] = assistant._assembly  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self.name: str = self._assembly.name
        self._assistant = assistant
        origin = f"assistant {self.name}"
        properties: JsonObject = {"message": _MESSAGE}
        if self._assembly.stored:
            properties = {**properties, "conversation": _CONVERSATION}
        parameters: JsonObject = {
            "type": "object",
            "properties": properties,
            "required": ["message"],
            "additionalProperties": False,
        }
        once = ToolSpec(name=ask, description=description, parameters=parameters, origin=origin)
        self._ask: dict[bool, ToolSpec] = {False: once, True: replace(once, effect="idempotent")}
        self._ask_name = ask
        self._known: OrderedDict[tuple[int, bool], tuple[Catalog, Offering]] = OrderedDict()  # by identity

    async def __aenter__(self) -> Self:
        """Open the assistant. Raises ToolsetError, ConfigurationError."""
        await self._assistant.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the assistant."""
        await self._assistant.__aexit__(kind, error, trace)

    @property
    def deferred(self) -> bool:
        """Whether its tools are not asked for before they are needed."""
        return False

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the tools that nobody in particular is offered."""
        return (await self.tools_for(None)).tools

    async def tools_for(self, user: str | None) -> Offering:
        """Return the tools on offer to a user. Raises ToolsetError, DuplicateTool."""
        catalog = await self._catalog(user)
        key = id(catalog), self._is_kept(user)
        known = self._known.pop(key, None) or (catalog, self._offering(catalog, user))
        self._known[key] = known
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return known[1]

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Ask the assistant, or call one of its tools. Raises ToolError, and what a tool and the policies raise."""
        if name == self._ask_name:
            return await self._answer(arguments, context)
        found = (await self._catalog(context.user)).tools.get(name)
        if found is None:
            raise ToolError(f"There is no tool {name!r} any more.")
        return await self._through_policies(*found, arguments, context)

    def _offering(self, catalog: Catalog, user: str | None) -> Offering:
        ask = self._ask[self._is_kept(user)]
        clash = catalog.tools.get(ask.name)
        if clash is not None:
            raise DuplicateTool(ask.name, (ask.origin, clash[1].origin))
        return Offering(tools=(ask, *(spec for _, spec in catalog.tools.values())))

    def _is_kept(self, user: str | None) -> bool:
        return user is not None and self._assembly.stored

    async def _catalog(self, user: str | None) -> Catalog:
        return await self._assembly.toolbox.catalog(user)

    async def _through_policies(
        self, toolset: Toolset, spec: ToolSpec, arguments: JsonObject, context: ToolContext
    ) -> ToolOutput:
        async def make(_: Call) -> ToolOutput:
            return await toolset.call(spec.name, arguments, context)

        call = Call(
            kind="tool",
            name=spec.name,
            upstream=spec.server,
            effect=spec.effect,
            deadline=context.deadline,
            user=context.user,
        )
        return await through(self._assembly.policies, call, make)

    async def _answer(self, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        message, conversation = arguments.get("message"), arguments.get("conversation")
        if not isinstance(message, str) or not (conversation is None or isinstance(conversation, str)):
            raise ToolError("message and conversation are texts")
        if conversation is not None and not self._is_kept(context.user):
            raise ToolError("This server keeps no conversations for who asks: ask without one.")
        if conversation is not None and is_hidden(conversation):
            raise ToolError(f"conversation: names that begin with {CHILD!r} are the assistant's own")
        try:
            return _output(await self._run(message, self._options(conversation, context), context))
        except _TELLING as error:
            raise ToolError(str(error)) from error
        except AssistantKitError as error:
            _log.exception("the assistant %s could not answer (call %s)", self.name, context.call_id)
            raise ToolError(f"The assistant could not answer ({type(error).__name__}).") from error

    async def _run(self, message: str, options: RunOptions, context: ToolContext) -> Result[Any]:
        pieces = _Pieces(context)
        async with self._assistant.stream(message, **options) as run:
            async for event in run:
                pieces.hear(event)
            return await run.result()

    def _options(self, conversation: str | None, context: ToolContext) -> RunOptions:
        left = context.deadline.remaining(anyio.current_time())
        options: RunOptions = {"timeout": None if left == inf else max(left, 0.001), "priority": context.priority}
        if context.user is not None:
            options["user"] = context.user
        if self._is_kept(context.user):
            alone = nested_conversation(self._ask_name, context.idempotency_key)
            options["conversation"] = alone if conversation is None else conversation
            options["request_id"] = context.idempotency_key
        return options


class _Pieces:
    """Reports what the assistant says and does while it does so: text in pieces, calls of tools."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._text = ""
        self._count = 0
        self._next = anyio.current_time() + _BEAT

    def hear(self, event: Event) -> None:
        match event:
            case Token(text=text):
                self._text += text
                if anyio.current_time() >= self._next:
                    self._tell(self._text)
            case TextRetracted():
                self._tell("(What was said so far does not count.)")
            case ToolRequest(tool=tool):
                self._tell(f"{self._text}\n(It calls {tool}.)".lstrip())
            case _:
                pass

    def _tell(self, words: str) -> None:
        self._count += 1
        self._text = ""
        self._next = anyio.current_time() + _BEAT
        self._context.report_progress(self._count, None, words)


def _output(result: Result[Any]) -> ToolOutput:
    if result.waiting_for:
        calls = ", ".join(f"{call.tool} ({call.call_id})" for call in result.waiting_for)
        return ToolOutput(content=(Text(text=f"Not finished: it waits for a person to approve {calls}."),))
    return ToolOutput(content=(Text(text=result.text or result.refusal or ""),))
