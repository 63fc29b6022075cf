"""The real SDK, asking the test server."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import anyio
from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    RunResult,
    RunResultStreaming,
    RunState,
    function_tool,
)
from agents.memory import Session
from openai import AsyncOpenAI

from tests.openai_server import Answer, Call, OpenAIServer

Wire = Literal["responses", "chat"]
Way = Literal["whole", "streamed"]
PATIENCE = 30.0
QUIET = RunConfig(tracing_disabled=True)
TWO_STEPS = (
    Answer(
        tool_calls=(Call("weather", {"city": "Oslo"}, "call_o"), Call("weather", {"city": "Bergen"}, "call_b")),
        reasoning="Two cities.",
    ),
    Answer("Sunny in both."),
)


@function_tool
def weather(city: str) -> str:
    """Today's weather in a city."""
    return f"sunny in {city}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Runs an agent through one wire format, streamed or not."""

    agent: Agent
    way: Way = "whole"

    async def run(self, asked: Any, session: Session, **options: Any) -> RunResult | RunResultStreaming:
        options = {"run_config": QUIET, **options}
        with anyio.fail_after(PATIENCE):
            if self.way == "whole":
                return await Runner.run(self.agent, asked, session=session, **options)
            result = Runner.run_streamed(self.agent, asked, session=session, **options)
            async for _ in result.stream_events():
                pass
            return result


@asynccontextmanager
async def driving(
    server: OpenAIServer, wire: Wire, *, way: Way = "whole", tools: Sequence[Any] = (weather,), **options: Any
) -> AsyncGenerator[Driver]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="test", max_retries=0) as client:
        kind = OpenAIResponsesModel if wire == "responses" else OpenAIChatCompletionsModel
        model: Model = kind(model="m", openai_client=client)
        yield Driver(agent=Agent(name="a", model=model, tools=list(tools), **options), way=way)


async def restored(driver: Driver, state: str) -> RunState[Any, Any]:
    """Return the state of a run that another process has put away."""
    return await RunState.from_string(driver.agent, state)
