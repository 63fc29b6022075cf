"""The facade: an assistant, and the conversations it holds."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar, Unpack, cast, overload

import anyio

from assistant_kit import registry
from assistant_kit.context_window import Window
from assistant_kit.deadline import Deadline
from assistant_kit.errors import ConfigurationError, InputError
from assistant_kit.events import Event
from assistant_kit.messages import UserInput, user_message
from assistant_kit.policies.retry import Retry
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.output import Output
from assistant_kit.protocols.policy import Policy
from assistant_kit.protocols.store import ConversationInfo, Store, UserStore
from assistant_kit.protocols.token_counter import TokenCounter
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.run.emitter import ignore
from assistant_kit.run.history import HistoryTurn
from assistant_kit.run.options import RunOptions
from assistant_kit.run.result import Result
from assistant_kit.run.stream import RunStream
from assistant_kit.run.toolbox import Toolbox
from assistant_kit.run.turn import Circumstances, Parts
from assistant_kit.settings import Settings
from assistant_kit.sync import Portal, SyncAssistant
from assistant_kit.tool_spec import HostedTool, ToolSpec

OutputT = TypeVar("OutputT")
ToolSource: TypeAlias = Callable[..., Any] | Toolset | HostedTool
Emit: TypeAlias = Callable[[Event], None]


class Assistant(Generic[OutputT]):
    """A model with instructions, tools and a memory of its conversations.

    Use it as `async with Assistant(…) as assistant:`, which connects its toolsets and frees everything at the end.
    With functions alone as tools it works without.
    """

    @overload
    def __init__(
        self: "Assistant[str]",
        model: str | Model,
        *,
        instructions: str = "",
        tools: Sequence[ToolSource] = (),
        store: str | Store | None = None,
        settings: Settings | None = None,
        policies: Sequence[Policy] | None = None,
        token_counter: TokenCounter | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        model: str | Model,
        *,
        output_type: type[OutputT],
        instructions: str = "",
        tools: Sequence[ToolSource] = (),
        store: str | Store | None = None,
        settings: Settings | None = None,
        policies: Sequence[Policy] | None = None,
        token_counter: TokenCounter | None = None,
    ) -> None: ...
    def __init__(
        self,
        model: str | Model,
        *,
        output_type: type[Any] = str,
        instructions: str = "",
        tools: Sequence[ToolSource] = (),
        store: str | Store | None = None,
        settings: Settings | None = None,
        policies: Sequence[Policy] | None = None,
        token_counter: TokenCounter | None = None,
    ) -> None:
        """Put an assistant together; nothing is connected or sent yet.

        `model` is `"provider:name"` or a Model; `store` an address such as `"sqlite:///chat.db"` or a Store. `tools`
        are functions, toolsets and hosted tools. `policies` stand around each model and tool call, the first one
        outermost (default: one `Retry`). Raises ConfigurationError.
        """
        self._owned: list[Model | Store] = []
        made = registry.make_model(model) if isinstance(model, str) else model
        output: Output[Any] | None = None if output_type is str else registry.load(registry.OUTPUT_TYPE)(output_type)
        self._parts = Parts(
            model=made,
            instructions=instructions,
            output=output,
            settings=Settings() if settings is None else settings,
            policies=(Retry(),) if policies is None else tuple(policies),
        )
        self._store: Store | None = registry.make_store(store) if isinstance(store, str) else store
        if made is not model:
            self._owned.append(made)
        if self._store is not None and self._store is not store:
            self._owned.append(self._store)
        self._toolbox = _toolbox(tools)
        self._given_counter = token_counter
        self._window: tuple[TokenCounter, Window] | None = None
        self._opened: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        """Connect the toolsets. Raises ToolsetError."""
        if self._opened is not None:
            message = "this assistant is open already: enter it once, and use it from as many tasks as you like"
            raise ConfigurationError(message)
        async with AsyncExitStack() as stack:
            for toolset in self._toolbox.toolsets:
                await stack.enter_async_context(toolset)
            # Two tools of one name are found when they are first known, not in the middle of a conversation.
            await self._toolbox.catalog()
            self._opened = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect the toolsets, and close the model and the store if they were given by name."""
        assert self._opened is not None  # noqa: S101  (entered)
        stack, self._opened = self._opened, None
        try:
            await stack.__aexit__(kind, error, trace)
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the model and the store if they were given by name; `async with` does it by itself."""
        with anyio.CancelScope(shield=True):
            for owned in self._owned:
                await owned.aclose()

    @property
    def model(self) -> Model:
        """The model."""
        return self._parts.model

    async def tools(self) -> Sequence[ToolSpec | HostedTool]:
        """Return the tools on offer now, as the model is told of them."""
        return (await self._toolbox.catalog()).listed

    async def run(self, message: UserInput, **options: Unpack[RunOptions]) -> Result[OutputT]:
        """Run a turn and return its result.

        Without `conversation` it is a one-off that leaves no record. Raises AssistantKitError.
        """
        return await self._run(message, options, ignore, stream=False)

    def stream(self, message: UserInput, **options: Unpack[RunOptions]) -> RunStream[OutputT]:
        """Run a turn and read its events as they come: `async with assistant.stream(…) as run: async for … in run`."""
        return RunStream(lambda emit: self._run(message, options, emit, stream=True))

    def conversation(self, conversation: str, *, user: str) -> "Conversation[OutputT]":
        """Return a handle to a user's conversation; it need not exist yet. Raises InputError."""
        return Conversation(self, self._user_store(user), conversation, user)

    async def conversations(self, *, user: str, limit: int = 100) -> Sequence[ConversationInfo]:
        """Return a user's conversations, the last changed first."""
        return await self._user_store(user).conversations(limit=limit)

    @cached_property
    def sync(self) -> SyncAssistant[OutputT]:
        """The same assistant without `await`; it lives in an event loop of its own, so use one or the other."""
        return SyncAssistant(self, Portal(self))

    async def _run(self, message: UserInput, options: RunOptions, emit: Emit, *, stream: bool) -> Result[OutputT]:
        said = user_message(message)
        user, conversation = options.get("user"), options.get("conversation")
        if conversation is None:
            if "request_id" in options:
                reason = "request_id= needs conversation=: a one-off run leaves no record to be recognised by"
                raise InputError(reason)
            about = await self.circumstances(user, None, emit, stream=stream, timeout=options.get("timeout"))
            return await registry.load(registry.RUN_ALONE)(about, said)
        if user is None:
            reason = "conversation= needs user=: a conversation belongs to a user, and there is no default one"
            raise InputError(reason)
        store = self._user_store(user)
        about = await self.circumstances(user, conversation, emit, stream=stream, timeout=options.get("timeout"))
        return await registry.load(registry.SESSION)(store, about, conversation).run(said, options.get("request_id"))

    async def circumstances(
        self, user: str | None, conversation: str | None, emit: Emit, *, stream: bool, timeout: float | None
    ) -> Circumstances:
        """Return what a run needs to know; for the use of `Conversation`. Raises ConfigurationError."""
        if self._opened is None and self._toolbox.connected:
            message = "connect the tools first: async with assistant: …"
            raise ConfigurationError(message)
        limit = self._parts.settings.limits.timeout if timeout is None else timeout
        counter, window = self._counting()
        return Circumstances(
            parts=self._parts,
            user=user,
            conversation=conversation,
            catalog=await self._toolbox.catalog(),
            window=window,
            counter=counter,
            deadline=Deadline.after(limit, now=anyio.current_time()),
            emit=emit,
            stream=stream,
        )

    def _counting(self) -> tuple[TokenCounter, Window]:
        """Return the counter in force and its window; a run keeps both, also when a vocabulary arrives meanwhile."""
        counter = self._given_counter if self._given_counter is not None else self._background.current
        if self._window is None or self._window[0] is not counter:
            self._window = (counter, Window(self._parts.settings.window, counter))
        return self._window

    @cached_property
    def _background(self) -> Any:
        bound = registry.load(registry.UPPER_BOUND)()
        return registry.load(registry.BACKGROUND_COUNTER)(model=self._parts.model.name, until=bound)

    def _user_store(self, user: str) -> UserStore:
        if self._store is None:
            message = "this assistant has no store: pass store='sqlite:///chat.db' (or 'memory:') to keep conversations"
            raise ConfigurationError(message)
        return self._store.for_user(user)


class Conversation(Generic[OutputT]):
    """A user's conversation with an assistant."""

    def __init__(self, assistant: Assistant[OutputT], store: UserStore, conversation: str, user: str) -> None:
        """Name a conversation; it begins with the first run."""
        self._assistant = assistant
        self._store = store
        self.id = conversation
        self.user = user

    async def run(
        self, message: UserInput, *, request_id: str | None = None, timeout: float | None = None
    ) -> Result[OutputT]:
        """Run a turn in this conversation."""
        return await self._assistant.run(message, **self._options(request_id, timeout))

    def stream(
        self, message: UserInput, *, request_id: str | None = None, timeout: float | None = None
    ) -> RunStream[OutputT]:
        """Run a turn in this conversation and read its events."""
        return self._assistant.stream(message, **self._options(request_id, timeout))

    async def resume(self, *, timeout: float | None = None) -> Result[OutputT]:
        """Go on with a turn that was interrupted, or that waited for a decision."""
        return await self._resume(ignore, stream=False, timeout=timeout)

    def stream_resumed(self, *, timeout: float | None = None) -> RunStream[OutputT]:
        """Go on with an interrupted or waiting turn and read its events."""
        return RunStream(lambda emit: self._resume(emit, stream=True, timeout=timeout))

    async def approve(self, call_id: str, *, by: str = "") -> None:
        """Allow a tool call that waits for approval; `resume` then makes it. Raises InputError if none waits."""
        await self._decide(call_id, approved=True, by=by)

    async def deny(self, call_id: str, *, by: str = "") -> None:
        """Refuse a tool call that waits for approval; `resume` then tells the model."""
        await self._decide(call_id, approved=False, by=by)

    async def history(self) -> Sequence[HistoryTurn]:
        """Return the turns so far, the oldest first. Raises ConversationNotFound."""
        return cast("Sequence[HistoryTurn]", await registry.load(registry.READ_HISTORY)(self._store, self.id))

    async def delete(self) -> None:
        """Delete the conversation. Raises ConversationNotFound, ConversationBusy."""
        await self._store.delete(self.id)

    async def _session(self, emit: Emit, *, stream: bool, timeout: float | None) -> Any:
        about = await self._assistant.circumstances(self.user, self.id, emit, stream=stream, timeout=timeout)
        return registry.load(registry.SESSION)(self._store, about, self.id)

    async def _resume(self, emit: Emit, *, stream: bool, timeout: float | None) -> Result[OutputT]:
        session = await self._session(emit, stream=stream, timeout=timeout)
        return cast("Result[OutputT]", await session.resume())

    async def _decide(self, call_id: str, *, approved: bool, by: str) -> None:
        session = await self._session(ignore, stream=False, timeout=None)
        await session.decide(call_id, approved=approved, by=by)

    def _options(self, request_id: str | None, timeout: float | None) -> RunOptions:
        options = RunOptions(user=self.user, conversation=self.id)
        if request_id is not None:
            options["request_id"] = request_id
        if timeout is not None:
            options["timeout"] = timeout
        return options


def _toolbox(tools: Sequence[ToolSource]) -> Toolbox:
    functions = [tool for tool in tools if callable(tool)]
    hosted = [tool for tool in tools if isinstance(tool, HostedTool)]
    toolsets = [tool for tool in tools if not callable(tool) and not isinstance(tool, HostedTool)]
    for toolset in toolsets:
        if not hasattr(toolset, "call"):
            message = f"{toolset!r} is no tool: pass a function, a toolset such as MCPServer, or a HostedTool"
            raise ConfigurationError(message)
    given: list[Toolset] = [registry.load(registry.FUNCTION_TOOLS)(functions)] if functions else []
    return Toolbox((*given, *toolsets), hosted, connected=bool(toolsets))
