"""The facade: what a user of the library holds. It loads the rest when an assistant is made."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

from assistant_kit import registry

if TYPE_CHECKING:  # annotations only: nothing of this is loaded by `from assistant_kit import Assistant`
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from assistant_kit.assembly import Assembly, ToolSource
    from assistant_kit.context import Context
    from assistant_kit.handle import Conversation
    from assistant_kit.messages import UserInput
    from assistant_kit.protocols.model import Model
    from assistant_kit.protocols.policy import Policy
    from assistant_kit.protocols.store import ConversationInfo, Store
    from assistant_kit.protocols.toolset import Toolset
    from assistant_kit.recovery import Recovery
    from assistant_kit.resilience import Health, Policies
    from assistant_kit.run.options import RunOptions
    from assistant_kit.run.result import Result
    from assistant_kit.run.stream import RunStream
    from assistant_kit.settings import Settings
    from assistant_kit.sync import SyncAssistant
    from assistant_kit.tool_spec import HostedTool, ToolSpec

OutputT = TypeVar("OutputT")


class Assistant(Generic[OutputT]):
    """A model with instructions, tools and a memory of its conversations.

    Use it as `async with Assistant(…) as assistant:`, which connects its toolsets and frees everything at the end.
    With functions alone as tools it works without.
    """

    @overload
    def __init__(
        self: Assistant[str],
        model: str | Model,
        *,
        instructions: str = "",
        tools: Sequence[ToolSource] = (),
        store: str | Store | None = None,
        settings: Settings | None = None,
        policies: Policies | Sequence[Policy] | None = None,
        context: Context | None = None,
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
        policies: Policies | Sequence[Policy] | None = None,
        context: Context | None = None,
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
        policies: Policies | Sequence[Policy] | None = None,
        context: Context | None = None,
    ) -> None:
        """Put an assistant together; nothing is connected or sent yet.

        `model` is `"provider:name"` or a Model; `store` an address such as `"sqlite:///chat.db"` or a Store. `tools`
        are functions, toolsets and hosted tools. `policies` stand around each model and tool call: `Policies` in
        their usual order, or a sequence, the first one outermost (default: `Policies()`). `context` has the parts that
        fill the context window: token counter, compactor, memory, tool selector, masker. Raises ConfigurationError.
        """
        self._assembly: Assembly[OutputT] = registry.load(registry.ASSEMBLY)(
            model,
            output_type=output_type,
            instructions=instructions,
            tools=tools,
            store=store,
            settings=settings,
            policies=policies,
            context=context,
        )

    async def __aenter__(self) -> Self:
        """Connect the toolsets. Raises ToolsetError."""
        await self._assembly.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect the toolsets, and close the model and the store if they were given by name."""
        await self._assembly.close(kind, error, trace)

    async def aclose(self) -> None:
        """Close the model and the store if they were given by name; `async with` does it by itself."""
        await self._assembly.aclose()

    @property
    def model(self) -> Model:
        """The model."""
        return self._assembly.model

    async def tools(self) -> Sequence[ToolSpec | HostedTool]:
        """Return the tools on offer now, as the model is told of them."""
        return await self._assembly.tools()

    async def explain(self, tool: str | None = None) -> str:
        """Return what policies apply to a call of a tool, or of the model, a line for each, the outermost first.

        Raises InputError when there is no such tool.
        """
        return await self._assembly.explain(tool)

    def health(self) -> Health:
        """Return how breakers, queues, limits, budgets and toolsets stand now. Nothing is asked of any server."""
        return registry.load(registry.HEALTH)(self._assembly.policies, self._assembly.toolbox.toolsets)

    async def run(self, message: UserInput, **options: Unpack[RunOptions]) -> Result[OutputT]:
        """Run a turn and return its result.

        Without `conversation` it is a one-off that leaves no record. Raises AssistantKitError.
        """
        return await self._assembly.run(message, options)

    def stream(self, message: UserInput, **options: Unpack[RunOptions]) -> RunStream[OutputT]:
        """Run a turn and read its events as they come: `async with assistant.stream(…) as run: async for … in run`."""
        return self._assembly.stream(message, options)

    def conversation(self, conversation: str, *, user: str) -> Conversation[OutputT]:
        """Return a handle to a user's conversation; it need not exist yet. Raises InputError."""
        return registry.load(registry.CONVERSATION)(self._assembly, conversation, user)

    async def conversations(
        self, *, user: str, limit: int = 100, before: float | None = None
    ) -> Sequence[ConversationInfo]:
        """Return a user's conversations, the last changed first; `before` is the `updated_at` to go on from.

        Those of nested assistants are left out, so that there may be fewer than `limit`.
        """
        listed = await self._assembly.user_store(user).conversations(limit=limit, before=before)
        shown = tuple(info for info in listed if not registry.is_hidden(info.conversation))
        masks = self._assembly.masks(user)
        if masks is None:
            return shown
        titles = await masks.values([info.title for info in shown])
        return tuple(replace(info, title=title) for info, title in zip(shown, titles, strict=True))

    async def recover(self, *, limit: int = 100) -> Recovery:
        """Finish turns whose worker has died, and say what became of them. Any number of workers may do so at once.

        Turns are taken when their lease has ended. Raises StoreError, ConfigurationError.
        """
        return await registry.load(registry.RECOVER)(self._assembly, limit=limit)

    def recovering(self, *, every: float = 10.0) -> AbstractAsyncContextManager[None]:
        """Look for turns whose worker has died every so many seconds: `async with assistant.recovering(): …`."""
        return registry.load(registry.RECOVERING)(self._assembly, every=every)

    def as_tool(self, *, name: str, description: str) -> Toolset:
        """Return this assistant as a tool of another one; give it a name of its own then, `Settings(name=…)`.

        Its turns are conversations of the same user; deadline, cancellation and priority of the call reach them, and
        recovery of the other assistant's turn goes on with them.
        """
        assembly = self._assembly
        return registry.load(registry.NESTED)(
            self,
            name=name,
            description=description,
            assistant_name=assembly.name,
            stored=assembly.stored,
            places=assembly.places,
        )

    async def settled(self) -> None:
        """Wait until what is done after turns is done: memories extracted, long conversations compacted.

        That goes on in the background while the assistant is open; whoever leaves earlier loses nothing but time, as it
        is done after a later turn.
        """
        await self._assembly.settled()

    async def erase_user(self, user: str) -> int:
        """Erase all that store, memory, toolsets and policies keep of a user; return the number of conversations.

        May be repeated when it fails half-way. Raises InputError, StoreError.
        """
        return await self._assembly.erase(user)

    def export_user(self, user: str) -> AsyncIterator[str]:
        """Return all that store, memory, toolsets and policies keep of a user as JSON lines.

        Raises ConfigurationError when there is no store.
        """
        self._assembly.store()
        return registry.load(registry.EXPORT_USER)(self._assembly.places, user)

    @cached_property
    def sync(self) -> SyncAssistant[OutputT]:
        """The same assistant without `await`; it lives in an event loop of its own, so use one or the other."""
        return registry.load(registry.SYNC)(self)
