"""An assistant's parts, put together: what stands behind the facade."""

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import current_token

from assistant_kit import registry
from assistant_kit.afterwards import after_turn
from assistant_kit.background import Background
from assistant_kit.context import Context
from assistant_kit.context_window import Window
from assistant_kit.deadline import Deadline
from assistant_kit.decisions import resolve
from assistant_kit.entries import ToolFinished
from assistant_kit.errors import ConfigurationError, InputError
from assistant_kit.event_loops import call_soon
from assistant_kit.events import Event
from assistant_kit.journal_reader import JournalReader
from assistant_kit.messages import UserInput, user_message
from assistant_kit.protocols.compactor import Compactor
from assistant_kit.protocols.memory import UserMemory
from assistant_kit.protocols.model import Model, upstream_of
from assistant_kit.protocols.output import Output
from assistant_kit.protocols.policy import Call, Policy, Priority
from assistant_kit.protocols.store import Store, UserStore
from assistant_kit.protocols.tool_selector import ToolSelector
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.protocols.user_data import Places
from assistant_kit.resilience import Policies, chain_of, close_policies, explain
from assistant_kit.run.counting import counting_for
from assistant_kit.run.emitter import ignore
from assistant_kit.run.errands import AfterTurn, Errands, Late
from assistant_kit.run.lease_keeper import LeaseKeeper
from assistant_kit.run.lines import Lines
from assistant_kit.run.long_results import LongResults
from assistant_kit.run.masked_memory import MaskedMemory
from assistant_kit.run.masking import Masks, masked_input, told
from assistant_kit.run.options import RunOptions
from assistant_kit.run.restored_events import RestoredEvents
from assistant_kit.run.result import Result
from assistant_kit.run.stream import RunStream
from assistant_kit.run.toolbox import Toolbox, ToolSource, toolbox_of
from assistant_kit.run.turn import Circumstances, Find, Parts
from assistant_kit.run.view_cache import ViewCache
from assistant_kit.session import Session, run_alone
from assistant_kit.settings import OnBusy, Settings
from assistant_kit.tool_spec import HostedTool, ToolSpec
from assistant_kit.toolsets.nested import check_names
from assistant_kit.transfer.places import erase, gathered

OutputT = TypeVar("OutputT")
Emit: TypeAlias = Callable[[Event], None]
_log = logging.getLogger("assistant_kit.tools")


class Assembly(Generic[OutputT]):
    """The parts of an assistant; the parameters are those of `Assistant`."""

    def __init__(
        self,
        model: str | Model,
        *,
        output_type: type[Any],
        instructions: str,
        tools: Sequence[ToolSource],
        store: str | Store | None,
        settings: Settings | None,
        policies: Policies | Sequence[Policy] | None,
        context: Context | None,
    ) -> None:
        """Make what was given by name. Raises ConfigurationError."""
        self._owned: list[Model | Store] = []
        made = registry.make_model(model) if isinstance(model, str) else model
        output: Output[Any] | None = None if output_type is str else registry.load(registry.OUTPUT_TYPE)(output_type)
        self._parts = Parts(
            model=made,
            instructions=instructions,
            output=output,
            settings=Settings() if settings is None else settings,
            policies=chain_of(policies),
        )
        self._store: Store | None = registry.make_store(store) if isinstance(store, str) else store
        if made is not model:
            self._owned.append(made)
        if self._store is not None and self._store is not store:
            self._owned.append(self._store)
        self.toolbox: Toolbox = toolbox_of(tools)
        check_names(self.name, self.toolbox.toolsets)
        self._context = Context() if context is None else context
        parts = (*self.toolbox.toolsets, *self._parts.policies, self._context.masker)
        self.places: Places = gathered(self._store, self._context.memory, parts, erased=self._erased)
        self._compactor = self._context.compactor or _default_compactor()
        self._views = ViewCache(self._parts.settings.window.cached_tokens)
        self._counting = counting_for(self._context.token_counter, self._parts.settings.window, made)
        self._opened: AsyncExitStack | None = None
        self._keeper: LeaseKeeper | None = None
        self._late: Errands[Late] | None = None
        self._after: Errands[AfterTurn] | None = None
        self._lines = Lines()

    @cached_property
    def _selector(self) -> ToolSelector:
        return self._context.tool_selector or registry.load(registry.TOOL_SELECTOR)()

    def _select(self) -> ToolSelector:
        """Return what chooses tools; it is made when it is first needed."""
        return self._selector

    async def open(self) -> None:
        """Connect the toolsets. Raises ToolsetError, ConfigurationError."""
        if self._opened is not None:
            message = "this assistant is open already: enter it once, and use it from as many tasks as you like"
            raise ConfigurationError(message)
        async with AsyncExitStack() as stack:
            keeper = LeaseKeeper(self._parts.settings.lease.ttl)
            masker = self._context.masker
            late, after = Errands(self._record_late, masker=masker), Errands(self._after_turn, masker=masker)
            await stack.enter_async_context(Background(keeper.run))
            await stack.enter_async_context(Background(late.run))
            await stack.enter_async_context(Background(after.run))
            for toolset in self.toolbox.toolsets:
                await stack.enter_async_context(toolset)
            # Two tools of one name are found when they are first known, not in the middle of a conversation.
            await self.toolbox.check()
            self._opened = stack.pop_all()
            self._keeper, self._late, self._after = keeper, late, after

    async def close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect the toolsets, and close what was made here."""
        assert self._opened is not None  # noqa: S101  (entered)
        stack, self._opened = self._opened, None
        self._keeper = self._late = self._after = None
        try:
            await stack.__aexit__(kind, error, trace)
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close what was made here."""
        with anyio.CancelScope(shield=True):
            for owned in self._owned:
                await owned.aclose()
            await close_policies(self._parts.policies)

    @property
    def model(self) -> Model:
        """The model."""
        return self._parts.model

    @property
    def policies(self) -> Sequence[Policy]:
        """The policies, the outermost first."""
        return self._parts.policies

    async def tools(self) -> Sequence[ToolSpec | HostedTool]:
        """Return the tools on offer now."""
        return (await self.toolbox.catalog()).listed

    async def explain(self, tool: str | None) -> str:
        """Return what policies apply to a call of a tool, or of the model. Raises InputError for an unknown tool."""
        model = self.model
        call = Call(
            kind="model", name=model.name, upstream=upstream_of(model), effect="read", model=model, streams=True
        )
        if tool is not None:
            found = (await self.toolbox.catalog()).tools.get(tool)
            if found is None:
                raise InputError(f"there is no tool named {tool!r}")
            call = Call(kind="tool", name=tool, upstream=found[1].server, effect=found[1].effect)
        return explain(self.policies, call)

    async def run(
        self, message: UserInput, options: RunOptions, emit: Emit = ignore, *, stream: bool = False
    ) -> Result[OutputT]:
        """Run a turn."""
        said = user_message(message)
        user, conversation = options.get("user"), options.get("conversation")
        how = _How(
            emit=emit,
            stream=stream,
            timeout=options.get("timeout"),
            on_busy=options.get("on_busy"),
            priority=options.get("priority", "interactive"),
        )
        if conversation is None:
            if "request_id" in options:
                reason = "request_id= needs conversation=: a one-off run leaves no record to be recognised by"
                raise InputError(reason)
            about = await self._about(user, None, how)
            return await told(about.masks, run_alone(about, await masked_input(about.masks, said)))
        if user is None:
            reason = "conversation= needs user=: a conversation belongs to a user, and there is no default one"
            raise InputError(reason)
        session = await self._session(user, conversation, how)
        said = await masked_input(session.about.masks, said)
        result = await told(session.about.masks, session.run(said, options.get("request_id")))
        if self._after is not None and self._has_errands:
            self._after.take(AfterTurn(user=user, conversation=conversation))
        return result

    def stream(self, message: UserInput, options: RunOptions) -> RunStream[OutputT]:
        """Return the stream of a turn."""
        return self.read(lambda emit: self.run(message, options, emit, stream=True), options.get("user"))

    def read(self, run: Callable[[Emit], Awaitable[Result[OutputT]]], user: str | None) -> RunStream[OutputT]:
        """Return the stream of a run for a user, who sees values in the place of pseudonyms."""
        masks = None if user is None else self.masks(user)
        return RunStream(run, None if masks is None else RestoredEvents(masks))

    def masks(self, user: str | None) -> Masks | None:
        """Return what masks private data of a user, if that is wanted. Raises InputError without a user then."""
        masker, plain = self._context.masker, self._parts.output is None
        return None if masker is None else Masks(masker, user, given_values=self._context.raw_arguments, plain=plain)

    async def session(
        self,
        user: str,
        conversation: str,
        emit: Emit = ignore,
        *,
        stream: bool = False,
        timeout: float | None = None,
        on_busy: OnBusy | None = None,
        priority: Priority = "interactive",
    ) -> Session:
        """Return what runs turns in a user's conversation. Raises ConfigurationError."""
        how = _How(emit=emit, stream=stream, timeout=timeout, on_busy=on_busy, priority=priority)
        return await self._session(user, conversation, how)

    async def _session(self, user: str, conversation: str, how: "_How") -> Session:
        store = self.user_store(user)
        about = await self._about(user, conversation, how)
        line = self._lines.turn((user, conversation)) if about.on_busy == "queue" else None
        return Session(store, about, conversation, self._keeper, line)

    @property
    def name(self) -> str:
        """The assistant's name in journals."""
        return self._parts.settings.name

    @property
    def stored(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    def store(self) -> Store:
        """Return the store. Raises ConfigurationError when there is none."""
        if self._store is None:
            message = "this assistant has no store: pass store='sqlite:///chat.db' (or 'memory:') to keep conversations"
            raise ConfigurationError(message)
        return self._store

    def user_store(self, user: str) -> UserStore:
        """Return the store's handle for a user. Raises ConfigurationError when there is no store."""
        return self.store().for_user(user)

    async def _about(self, user: str | None, conversation: str | None, how: "_How") -> Circumstances:
        if self._opened is None and self.toolbox.connected:
            message = "connect the tools first: async with assistant: …"
            raise ConfigurationError(message)
        masks = self.masks(user)
        settings = self._parts.settings
        limit = settings.limits.timeout if how.timeout is None else how.timeout
        catalog = await self.toolbox.catalog(user)
        catalog.tell_missing(how.emit)
        counter, window = self._counting.now(self._fits(catalog.listed))
        store = None if user is None or conversation is None else self.user_store(user)
        shown = settings.window.result_tokens
        results = LongResults(store, conversation, max_tokens=shown, counter=counter, owner=os.urandom(12).hex())

        def reader(find: Find) -> tuple[Toolset, ToolSpec]:
            made = registry.load(registry.READ_RESULT)(results, find, page_tokens=shown)
            return made, registry.load(registry.READ_RESULT_SPEC)

        return Circumstances(
            parts=self._parts,
            user=user,
            conversation=conversation,
            catalog=catalog,
            window=window,
            counter=counter,
            counting=self._counting,
            compactor=self._compactor,
            selector=self._select,
            memory=self._memory(user, masks),
            views=self._views,
            results=results,
            reader=reader,
            find=_find_nothing if store is None or conversation is None else JournalReader(store, conversation).call,
            timeout=limit,
            deadline=Deadline.after(limit, now=anyio.current_time()),
            on_busy=settings.lease.on_busy if how.on_busy is None else how.on_busy,
            priority=how.priority,
            emit=how.emit,
            stream=how.stream,
            late=self._taking_late(user, conversation),
            masks=masks,
        )

    def _taking_late(self, user: str | None, conversation: str | None) -> Callable[[ToolFinished], None]:
        late = self._late
        if late is None or user is None or conversation is None:
            return _lose
        token = current_token().native_token

        def take(end: ToolFinished) -> None:
            call_soon(token, lambda: late.take(Late(user=user, conversation=conversation, end=end)))

        return take

    async def _record_late(self, late: Late) -> None:
        session = await self.session(late.user, late.conversation, on_busy="queue", priority="background")
        outcome: Literal["ok", "error"] = "ok" if late.end.outcome == "ok" else "error"
        call_id = f"{late.end.turn}/{late.end.key}"
        masks = session.about.masks
        content = late.end.content if masks is None else await masks.outside(late.end.content)
        await resolve(session, call_id, outcome=outcome, content=content, by="late result")

    @property
    def _has_errands(self) -> bool:
        """Whether there is anything to do after a turn."""
        return self._context.extractor is not None or self._compactor.in_background

    async def _after_turn(self, ended: AfterTurn) -> None:
        session = await self.session(ended.user, ended.conversation, on_busy="queue", priority="background")
        await after_turn(session, self._context.extractor)

    def _memory(self, user: str | None, masks: Masks | None) -> UserMemory | None:
        """Return what is remembered of a user, if there is a memory."""
        memory = self._context.memory
        if user is None or memory is None:
            return None
        return memory.for_user(user) if masks is None else MaskedMemory(memory.for_user(user), masks)

    async def erase(self, user: str) -> int:
        """Erase a user in all places. Raises ConfigurationError when there is no store."""
        self.store()
        return await erase(self.places, user)

    async def _erased(self, user: str) -> None:
        """Forget a user whose journals are gone, and let what is just being learned come to its end."""
        self._views.forget(user)
        await self.settled()

    def forget(self, user: str, conversation: str) -> None:
        """Keep nothing of a conversation in this process any more."""
        self._views.forget(user, conversation)

    async def settled(self) -> None:
        """Wait until what is done after turns is done."""
        if self._after is not None:
            await self._after.settled()

    def _fits(self, listed: Sequence[ToolSpec | HostedTool]) -> Callable[[Window], bool]:
        """Return what tells whether instructions and tools leave half of a window to a conversation."""
        parts = self._parts
        schema = None if parts.output is None else parts.output.schema

        def fits(window: Window) -> bool:
            return sum(window.overhead(parts.instructions, listed, schema).values()) <= window.budget // 2

        return fits


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How a run is carried out."""

    emit: Emit
    stream: bool
    timeout: float | None
    on_busy: OnBusy | None
    priority: Priority


def _lose(end: ToolFinished) -> None:
    """Say that a late result is lost, as nobody is there to record it."""
    _log.warning(
        "the late result of %s is lost (call %s): open the assistant to have it recorded", end.tool, end.call_id
    )


def _default_compactor() -> Compactor:
    clear, drop = registry.load(registry.CLEAR_RESULTS)(), registry.load(registry.DROP_OLDEST)()
    return registry.load(registry.CHAIN)((clear, drop))


async def _find_nothing(turn: str, key: str) -> None:
    """Find no call: a one-off run has no journal."""
    del turn, key
