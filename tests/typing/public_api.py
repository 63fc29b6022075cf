"""The public interface as a user's type checker sees it: checked by pyright and by mypy, both strict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never, assert_type

from assistant_kit import (
    Adaptive,
    Assistant,
    AssistantKitError,
    Backup,
    Bulkhead,
    CachedEmbedder,
    CallResult,
    CannotFit,
    Chain,
    CircuitBreaker,
    CircuitChange,
    ClearResults,
    Context,
    Conversation,
    ConversationBusy,
    ConversationInfo,
    Documents,
    DocumentSearch,
    Event,
    Fallback,
    File,
    HashingEmbedder,
    Health,
    Hedge,
    HistoryTurn,
    HostedTool,
    HuggingFaceCounter,
    Image,
    IndexMemory,
    KeywordSelector,
    LeaseSettings,
    MCPServer,
    MemoryIndex,
    MemoryStore,
    MemoryTools,
    ModelError,
    ModelExtractor,
    ModelSettings,
    OpenAI,
    Policies,
    Prices,
    Quota,
    Quotas,
    RateLimit,
    RecallSettings,
    Recovery,
    RecoverySettings,
    Result,
    Retry,
    RetryBudget,
    Rule,
    RuleModel,
    RunLimits,
    RunStream,
    Settings,
    SQLiteIndex,
    SQLiteState,
    SQLiteStore,
    Summarize,
    Text,
    Timeouts,
    TimeWindow,
    ToolContext,
    ToolError,
    ToolOutput,
    Usage,
    WindowSettings,
    guarded,
    keyed,
    tool,
)
from assistant_kit.protocols.memory import Remembered
from assistant_kit.protocols.model import Model
from assistant_kit.protocols.policy import Call as PolicyCall
from assistant_kit.protocols.policy import Proceed, T
from assistant_kit.protocols.store import Store
from assistant_kit.protocols.toolset import Toolset
from assistant_kit.toolsets.functions import FunctionTool


@dataclass
class Weather:
    city: str
    degrees: int


@tool
def plain(city: str) -> str:
    return city


@tool(effect="read", timeout=5)
def look(city: str, days: int = 1) -> list[Weather]:
    return [Weather(city, days)]


@tool(effect=keyed(86_400), needs_approval=True)
async def pay(amount: int, context: ToolContext) -> ToolOutput:
    if amount > 100:
        raise ToolError("too much")
    return ToolOutput(content=(Text(text=f"{amount} for {context.user}"),))


async def find(context: ToolContext) -> str | None:
    return context.notes[0] if context.notes else None


@tool(effect="transactional", reconcile=find)
def book(seat: str, context: ToolContext) -> str:
    context.connection.execute("INSERT INTO bookings VALUES (?)", (seat,))
    return seat


def undecorated(city: str) -> str:
    return city


def tools_keep_their_types() -> None:
    assert_type(plain("Oslo"), str)
    assert_type(look("Oslo", days=2), list[Weather])
    tool_of_text: FunctionTool[..., str] = plain
    assert tool_of_text.spec.name == "plain"


def an_assistant_is_generic_in_its_output(model: Model) -> None:
    text = Assistant(model, instructions="Be brief.", tools=[plain, look, pay, undecorated])
    assert_type(text, Assistant[str])
    assert_type(Assistant(model, output_type=Weather), Assistant[Weather])
    assert_type(Assistant(model, output_type=list[int]), Assistant[list[int]])
    assert_type(Assistant(model, output_type=int).sync.run("?").output, int)


def everything_can_be_set(model: Model, store: Store, toolset: Toolset) -> Assistant[str]:
    settings = Settings(
        model=ModelSettings(temperature=0.0, tool_choice="required", extra={"seed": 1}),
        limits=RunLimits(max_steps=5, timeout=30.0),
        window=WindowSettings(max_tokens=8_000, reserved_output=1_000),
        lease=LeaseSettings(ttl=10.0, wait=0.0, on_busy="queue"),
        recovery=RecoverySettings(max_attempts=3, backoff=1.0, patience=60.0),
        name="travel",
    )
    return Assistant(
        model,
        tools=[
            plain,
            book,
            toolset,
            Assistant(model).as_tool(name="ask", description="Asks."),
            MCPServer("https://tools.example/mcp"),
            HostedTool(declaration={"type": "web_search"}),
        ],
        store=store,
        settings=settings,
        policies=[Retry(attempts=2)],
    )


async def policies_are_put_together(model: Model, backup: Model) -> None:
    state = SQLiteState("limits.db")
    policies = Policies(
        quotas=Quotas(Quota("daily", limit=100_000, unit="tokens", window="day"), state=state, prices=Prices()),
        bulkhead=Bulkhead(20, adaptive=Adaptive(maximum=50)),
        fallback=Fallback("openai:gpt-5.6-luna", Backup(model=backup, max_tokens=8_000), on=("outage", "refusal")),
        hedge=Hedge(percentile=0.9),
        retry=Retry(budget=RetryBudget(capacity=50)),
        rate_limit=RateLimit(requests_per_minute=60, state=state),
        breaker=CircuitBreaker(window=TimeWindow(30.0), on_change=told),
        timeouts=Timeouts(first_token=10.0, idle=None),
        others=[Nothing()],
    )
    assistant = Assistant(model, policies=policies, settings=Settings(limits=RunLimits(max_tokens=9_000)))
    assert_type(assistant.health(), Health)
    assert_type(await assistant.explain("book"), str)
    result = await assistant.run("Oslo?", user="u1", conversation="c1", priority="background")
    assert_type(result.output, str)
    assert_type(await guarded(weather_of, Retry(), name="weather", effect="read"), Weather)


async def weather_of() -> Weather:
    raise NotImplementedError


def told(change: CircuitChange) -> None:
    assert_type(change.key, str)


class Nothing:
    async def around(self, call: PolicyCall, proceed: Proceed[T]) -> T:
        return await proceed(call)


def parts_can_be_chosen() -> Sequence[Model | Store]:
    rules = RuleModel([Rule("hello", answer="Hello!")])
    return (OpenAI("gpt-5.6-luna", api_key="made-up"), rules, MemoryStore(), SQLiteStore("chat.db"))


async def a_context_is_put_together(model: Model, cheap: Model) -> Assistant[str]:
    memory = IndexMemory(SQLiteIndex("memory.db"), CachedEmbedder(HashingEmbedder()))
    documents = Documents(MemoryIndex(), HashingEmbedder())
    added = await documents.add("handbook.md", "# Handbook")
    assert_type(added.added, int)
    assert_type(await memory.for_user("u1").remember("likes tea", labels={"kind": "taste", "sure": True}), Remembered)
    assert_type((await memory.for_user("u1").recall("tea"))[0].score, float)
    return Assistant(
        model,
        tools=[MemoryTools(memory), DocumentSearch(documents, scope="both")],
        settings=Settings(window=WindowSettings(low_watermark=0.4), recall=RecallSettings(limit=5)),
        context=Context(
            token_counter=HuggingFaceCounter("tokenizer.json"),
            compactor=Chain([ClearResults(), Summarize(cheap)]),
            memory=memory,
            extractor=ModelExtractor(cheap),
            tool_selector=KeywordSelector(),
        ),
    )


async def results_are_typed(assistant: Assistant[Weather]) -> None:
    async with assistant:
        result = await assistant.run(["Look:", Image.from_path("a.png"), File(url="https://example.org/a.pdf")])
    assert_type(result, Result[Weather])
    assert_type(result.output, Weather)
    assert_type(result.usage, Usage)
    assert_type(result.status, Literal["completed", "waiting"])
    assert_type(result.tool_calls, tuple[CallResult, ...])


async def conversations_are_typed(assistant: Assistant[Weather]) -> None:
    conversation = assistant.conversation("c1", user="u1")
    assert_type(conversation, Conversation[Weather])
    assert_type((await conversation.run("Oslo?", request_id="r1")).output, Weather)
    assert_type(list(await conversation.history()), list[HistoryTurn])
    assert_type([turn.request_id for turn in await conversation.history()], list[str | None])
    assert_type(await conversation.info(), ConversationInfo)
    for call in (await conversation.resume()).waiting_for:
        await conversation.approve(call.call_id, by="Ann")


async def conversations_are_changed(assistant: Assistant[Weather]) -> None:
    conversation = assistant.conversation("c1", user="u1")
    page = await conversation.history(limit=10, before=99)
    assert_type(await conversation.fork("c2", after_turn=page[0].turn), Conversation[Weather])
    await conversation.rename("Oslo")
    await conversation.rewind(to_turn=None)
    for name, call in await conversation.unknown_calls():
        assert_type(call, CallResult)
        await conversation.resolve(name, happened=True, result="done", by="Ann")
    assert_type((await conversation.retry()).output, Weather)
    await conversation.close(reason="no use")
    assert_type([line async for line in conversation.export()], list[str])
    assert_type(list(await assistant.conversations(user="u1", limit=5)), list[ConversationInfo])


async def a_service_recovers(assistant: Assistant[str]) -> int:
    async with assistant, assistant.recovering(every=5.0):
        assert_type(await assistant.recover(limit=10), Recovery)
        assert_type([line async for line in assistant.export_user("u1")], list[str])
        assert_type(assistant.sync.call(assistant.recover), Recovery)
        return await assistant.erase_user("u1")


async def events_are_a_closed_union(assistant: Assistant[str]) -> Result[str]:
    async with assistant.stream("Oslo?", user="u1", conversation="c1", timeout=30.0) as run:
        assert_type(run, RunStream[str])
        async for event in run:
            assert_type(event, Event)
            shown(event)
        return await run.result()


def shown(event: Event) -> str:  # noqa: C901  (one branch a kind)
    match event.kind:
        case "token" | "reasoning_token" | "refusal_token" | "text_retracted":
            return event.text
        case "tool_request" | "approval_required":
            return f"{event.tool}({event.arguments})"
        case "tool_progress":
            return f"{event.tool}: {event.progress} of {event.total}, {event.message}"
        case "tool_result":
            return f"{event.tool}: {event.outcome} {event.text}"
        case "retrying":
            return f"attempt {event.attempt} in {event.delay} s: {event.error}"
        case "delayed":
            return f"{event.call} {event.name}: {event.reason}, {event.expected} s"
        case "fell_back":
            return f"{event.model} to {event.to}: {event.reason}, {event.error}"
        case "toolset_unavailable":
            return f"without {event.toolset}: {event.reason}"
        case "compacted":
            return f"{event.strategy}: {event.tokens_before} to {event.tokens_after} tokens"
        case "complete":
            return f"{event.status}, {event.usage.total_tokens} tokens"
        case "error":
            return str(event.error)
        case _:
            assert_never(event)


def the_sync_facade_is_typed(assistant: Assistant[Weather]) -> None:
    with assistant.sync as sync:
        assert_type(sync.run("Oslo?", user="u1", conversation="c1").output, Weather)
        with sync.stream("Oslo?") as run:
            for event in run:
                assert_type(event, Event)
            assert_type(run.result(), Result[Weather])


async def errors_carry_data(assistant: Assistant[str]) -> tuple[str, float | None] | None:
    try:
        await assistant.run("Oslo?")
    except CannotFit as error:
        return error.part, float(error.needed)
    except (ModelError, ConversationBusy) as error:
        return str(error), error.retry_after
    except AssistantKitError:
        return None
    return None
