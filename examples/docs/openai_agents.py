"""An agent of the OpenAI Agents SDK, on the storage and within the limits of this library."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import openai
from agents import Agent, Runner, RunResult, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.usage import Usage as AgentsUsage
from openai.types.responses import ResponseTextDeltaEvent

from assistant_kit import (
    Assistant,
    Bulkhead,
    CircuitBreaker,
    ConversationBusy,
    LeaseSettings,
    MemoryState,
    Quota,
    QuotaExceeded,
    Quotas,
    RateLimit,
    guarded,
)
from assistant_kit.integrations.openai_agents import StoreSession, run_usage
from assistant_kit.protocols.policy import Call
from assistant_kit.protocols.store import Store
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.testing.scripted_model import ScriptedModel as OurScriptedModel
from assistant_kit.token_counters.tiktoken import TiktokenCounter


@function_tool
def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"sunny in {city}"


# --8<-- [start:session]
async def answer(agent: Agent, store: Store, user: str, conversation: str, text: str) -> tuple[int, str]:
    session = StoreSession(store, user=user, conversation=conversation)
    try:
        result = await Runner.run(agent, text, session=session)
    except ConversationBusy as busy:  # somebody writes to it, and went on doing so
        return 409, f"try again in {busy.retry_after:.0f} s"
    return 200, result.final_output


# --8<-- [end:session]


# --8<-- [start:window]
def windowed(store: Store, user: str, conversation: str) -> StoreSession:
    return StoreSession(
        store,
        user=user,
        conversation=conversation,
        max_tokens=60_000,  # of the history: leave room for instructions, tools and the answer
        token_counter=TiktokenCounter("o200k_base"),
        lease=LeaseSettings(wait=10),  # seconds for which a busy conversation is waited for
    )


# --8<-- [end:window]


# --8<-- [start:limits]
def is_outage(error: BaseException) -> bool:
    return isinstance(error, openai.APIConnectionError | openai.InternalServerError | openai.RateLimitError)


policies = (
    Quotas(
        Quota("a day's tokens", limit=10_000, unit="tokens", window="day"),
        state=MemoryState(),  # one that workers share: "postgresql://…", "redis://…"
        kinds=["other"],
    ),
    Bulkhead(20, kinds=["other"]),
    RateLimit(requests_per_minute=500, kinds=["other"]),
    CircuitBreaker(counts=is_outage),
)


async def limited(agent: Agent, session: StoreSession, text: str) -> RunResult:
    call = Call(
        name="agent",
        user=session.user,
        prompt_tokens=4_000,  # what one run takes at most: as much is reserved before it
        output_tokens=1_000,
        usage=run_usage,  # what it took is booked after it
    )
    with anyio.fail_after(60):
        return await guarded(lambda: Runner.run(agent, text, session=session), *policies, name="agent", call=call)


# --8<-- [end:limits]


# --8<-- [start:streamed]
async def streamed(agent: Agent, session: StoreSession, text: str) -> AsyncIterator[str]:
    result = Runner.run_streamed(agent, text, session=session)
    async for event in result.stream_events():
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
            yield event.data.delta


# --8<-- [end:streamed]


# --8<-- [start:moving]
async def moved(assistant: Assistant[str], user: str, conversation: str) -> None:
    result = await assistant.run("And tomorrow?", user=user, conversation=conversation)
    print(result.output)
    for turn in await assistant.conversation(conversation, user=user).history():
        print(f"{turn.input} -> {turn.text} {[call.tool for call in turn.tool_calls]}")


# --8<-- [end:moving]


async def main() -> None:
    # --8<-- [start:tracing]
    set_tracing_disabled(True)  # else the SDK sends what was said to OpenAI's traces
    # --8<-- [end:tracing]
    store = MemoryStore()
    used = AgentsUsage(requests=1, input_tokens=3_000, output_tokens=1_000, total_tokens=4_000)
    steps = [
        [function_call("weather", {"city": "Oslo"}, call_id="call_1")],
        [assistant_message("Sunny.")],
        [assistant_message("You are welcome.")],
        [assistant_message("Hello.")],
        [assistant_message("Hello again.")],
    ]
    agent = Agent(name="a", model=ScriptedModel(steps, default_usage=used), tools=[weather])
    print(*await answer(agent, store, "ann", "c1", "Weather in Oslo?"))
    print([piece async for piece in streamed(agent, windowed(store, "ann", "c1"), "Thank you.")])
    for text in ("Hello?", "Hello again?", "Still there?"):
        try:
            result = await limited(agent, StoreSession(store, user="bob", conversation="c1"), text)
            print(result.final_output, run_usage(result).total_tokens)
        except QuotaExceeded as error:
            print(f"{error.left} {error.unit} are left, {error.needed} are needed")
    with OurScriptedModel(["Rain."]) as model:
        async with Assistant(model, store=store) as assistant:
            await moved(assistant, "ann", "c1")


if __name__ == "__main__":
    asyncio.run(main())
