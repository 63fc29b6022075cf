"""One assistant as a tool of another: its turn is a conversation of its own, so that both can be recovered."""

from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

import anyio

from assistant_kit.errors import ConfigurationError
from assistant_kit.messages import JsonObject, Text
from assistant_kit.protocols.nested_calls import is_nested, nested_conversation
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.protocols.user_data import Places
from assistant_kit.registry import CHILD
from assistant_kit.tool_spec import ToolSpec

_PARAMETERS: Final[JsonObject] = {
    "type": "object",
    "properties": {"message": {"type": "string", "description": "What the assistant is asked, with all it must know."}},
    "required": ["message"],
    "additionalProperties": False,
}


class Waiting(Protocol):
    """A call that waits for approval."""

    @property
    def call_id(self) -> str:
        """The call's id."""
        ...


class Answer(Protocol):
    """What a run returns."""

    @property
    def text(self) -> str:
        """The answer."""
        ...

    @property
    def waiting_for(self) -> Sequence[Waiting]:
        """The calls that wait for approval; with any, there is no answer yet."""
        ...


class Runs(Protocol):
    """An assistant."""

    def run(self, message: str, **options: Any) -> Coroutine[Any, Any, Answer]:
        """Run a turn; the options are those of `Assistant.run`."""
        ...

    async def __aenter__(self) -> object:
        """Open it."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        ...


class NestedAssistant:
    """A toolset of one tool, which asks an assistant.

    With a store of its own, the assistant's turn is a conversation of the same user, named after the call, and
    recovery goes on with it; without one, a call that was cut off is reported as unknown. The time of the call bounds
    the turn, cancelling the call cancels it, and it waits in queues as the run of the call does.
    """

    def __init__(
        self, assistant: Runs, *, name: str, description: str, assistant_name: str, stored: bool, places: Places
    ) -> None:
        """Take an assistant; `stored` tells whether it has a store, and `places` are where it keeps data of users.

        It is opened and closed with the toolset.
        """
        self.name: str = name
        self.assistant_name: str = assistant_name
        self.nested_places: Places = places
        self._assistant = assistant
        self._stored = stored
        self._specs = (
            ToolSpec(
                name=name,
                description=description,
                parameters=_PARAMETERS,
                # Asked again, a stored assistant goes on with its turn or repeats its answer.
                effect="idempotent" if stored else "once",
                origin=f"assistant {assistant_name!r}",
            ),
        )

    async def __aenter__(self) -> Self:
        """Open the assistant."""
        await self._assistant.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the assistant."""
        await self._assistant.__aexit__(kind, error, trace)

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the one tool."""
        return self._specs

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Ask the assistant. Raises whatever ends its run, for the model to read."""
        message = arguments.get("message")
        if not isinstance(message, str) or not message.strip():
            return ToolOutput(content=(Text(text="message: a text that says what to do is missing"),), is_error=True)
        left = context.deadline.remaining(anyio.current_time())
        options: dict[str, Any] = {
            "timeout": None if left == float("inf") else max(left, 0.001),
            "priority": context.priority,
        }
        if context.user is not None:
            options["user"] = context.user
        if self._stored and context.conversation is not None:
            options["conversation"] = options["request_id"] = await _conversation(name, context)
            options["on_busy"] = "queue"
        result = await self._assistant.run(message, **options)
        if result.waiting_for:
            calls = ", ".join(call.call_id for call in result.waiting_for)
            return ToolOutput(content=(Text(text=f"Not finished: it waits for a person to approve {calls}."),))
        return ToolOutput(content=(Text(text=result.text),))


async def _conversation(name: str, context: ToolContext) -> str:
    """Return the conversation of a call: the one of an earlier attempt, or a new one that is noted before it begins."""
    earlier = [note for note in context.notes if note.startswith(f"{CHILD}{name}:") and is_nested(note)]
    if earlier:
        return earlier[-1]
    made = nested_conversation(name, context.idempotency_key)
    await context.note(made)
    return made


def check_names(name: str, toolsets: Sequence[object]) -> None:
    """Refuse nested assistants whose turns could not be told from those of the one that asks them.

    Raises ConfigurationError.
    """
    for toolset in toolsets:
        if isinstance(toolset, NestedAssistant) and toolset.assistant_name == name:
            raise ConfigurationError(
                f"the assistant behind tool {toolset.name!r} is named {name!r} like the one that uses it: give one of "
                "them another name, Settings(name=…), by which recovery tells their turns apart"
            )
