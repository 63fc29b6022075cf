"""The hand-written loop a competent user writes on AsyncOpenAI: typed calls, typed objects, pydantic arguments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import assert_never

from openai import AsyncOpenAI
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ChatCompletionToolMessageParam,
)
from openai.types.responses import (
    FunctionToolParam,
    ResponseFunctionToolCall,
    ResponseFunctionToolCallParam,
    ResponseInputItemParam,
)
from openai.types.responses.response_input_item_param import FunctionCallOutput
from pydantic import BaseModel

from benchmarks.peer import Peer
from benchmarks.workload import INSTRUCTIONS, MODEL, QUESTION, Outcome, Wire, price, weather


class WeatherArguments(BaseModel):
    """Arguments of `weather`."""

    city: str
    days: int


class PriceArguments(BaseModel):
    """Arguments of `price`."""

    origin: str
    destination: str


async def run_weather(arguments: str) -> str:
    given = WeatherArguments.model_validate_json(arguments)
    return await weather(given.city, given.days)


async def run_price(arguments: str) -> str:
    given = PriceArguments.model_validate_json(arguments)
    return await price(given.origin, given.destination)


RUN: dict[str, Callable[[str], Awaitable[str]]] = {"weather": run_weather, "price": run_price}
ARGUMENTS: dict[str, type[BaseModel]] = {"weather": WeatherArguments, "price": PriceArguments}
DESCRIPTIONS = {"weather": weather.__doc__ or "", "price": price.__doc__ or ""}

CHAT_TOOLS: list[ChatCompletionFunctionToolParam] = [
    {
        "type": "function",
        "function": {"name": name, "description": DESCRIPTIONS[name], "parameters": model.model_json_schema()},
    }
    for name, model in ARGUMENTS.items()
]
TOOLS: list[FunctionToolParam] = [
    {
        "type": "function",
        "name": name,
        "description": DESCRIPTIONS[name],
        "parameters": model.model_json_schema(),
        "strict": False,
    }
    for name, model in ARGUMENTS.items()
]


class TypedChat:
    """`client.chat.completions.create`."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def turn(self) -> Outcome:
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": QUESTION},
        ]
        count = 0
        while True:
            completion = await self._client.chat.completions.create(model=MODEL, messages=messages, tools=CHAT_TOOLS)
            message = completion.choices[0].message
            if not message.tool_calls:
                return Outcome(message.content or "", tool_calls=count)
            calls = [call for call in message.tool_calls if isinstance(call, ChatCompletionMessageFunctionToolCall)]
            messages.append(
                {
                    "role": "assistant",
                    "content": message.content,
                    "tool_calls": [
                        {
                            "id": call.id,
                            "type": "function",
                            "function": {"name": call.function.name, "arguments": call.function.arguments},
                        }
                        for call in calls
                    ],
                }
            )
            messages += await asyncio.gather(*(self._run(call) for call in calls))
            count += len(calls)

    async def _run(self, call: ChatCompletionMessageFunctionToolCall) -> ChatCompletionToolMessageParam:
        text = await RUN[call.function.name](call.function.arguments)
        return {"role": "tool", "tool_call_id": call.id, "content": text}

    async def token(self) -> Outcome:
        stream = await self._client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
        pieces: list[str] = []
        async with stream:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    pieces.append(chunk.choices[0].delta.content)  # noqa: PERF401 - as one reads a stream
        return Outcome("".join(pieces), tokens=len(pieces))


class TypedResponses:
    """`client.responses.create`, with the history kept by the user (`store=False`)."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def turn(self) -> Outcome:
        items: list[ResponseInputItemParam] = [{"role": "user", "content": QUESTION}]
        count = 0
        while True:
            response = await self._client.responses.create(
                model=MODEL, instructions=INSTRUCTIONS, input=items, tools=TOOLS, store=False
            )
            calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
            if not calls:
                return Outcome(response.output_text, tool_calls=count)
            items += [_as_input(call) for call in calls]
            items += await asyncio.gather(*(self._run(call) for call in calls))
            count += len(calls)

    async def _run(self, call: ResponseFunctionToolCall) -> FunctionCallOutput:
        text = await RUN[call.name](call.arguments)
        return {"type": "function_call_output", "call_id": call.call_id, "output": text}

    async def token(self) -> Outcome:
        stream = await self._client.responses.create(
            model=MODEL,
            instructions=INSTRUCTIONS,
            input=[{"role": "user", "content": QUESTION}],
            stream=True,
            store=False,
        )
        pieces: list[str] = []
        async with stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    pieces.append(event.delta)  # noqa: PERF401 - the same
        return Outcome("".join(pieces), tokens=len(pieces))


def _as_input(call: ResponseFunctionToolCall) -> ResponseFunctionToolCallParam:
    return {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}


@asynccontextmanager
async def open_typed(base_url: str, wire: Wire) -> AsyncGenerator[Peer]:
    async with AsyncOpenAI(base_url=base_url, api_key="bench", max_retries=0) as client:
        match wire:
            case "chat":
                yield TypedChat(client)
            case "responses":
                yield TypedResponses(client)
            case _:
                assert_never(wire)
