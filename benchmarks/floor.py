"""The same client at its low level: bytes out, bytes in, and no more work in between than the wire format needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeAlias, assert_never

import httpx2
from openai import AsyncOpenAI, AsyncStream
from pydantic_core import from_json, to_json

from benchmarks.peer import Peer
from benchmarks.typed import CHAT_TOOLS, RUN, TOOLS
from benchmarks.workload import INSTRUCTIONS, MODEL, QUESTION, Outcome, Wire

JSON: TypeAlias = dict[str, Any]


async def post(client: AsyncOpenAI, path: str, body: JSON) -> JSON:
    """One request that is not streamed."""
    response = await client.post(path, content=to_json(body), cast_to=httpx2.Response)
    return from_json(response.content)


async def events(client: AsyncOpenAI, path: str, body: JSON) -> AsyncGenerator[JSON]:
    """The events of one streamed request, read to the end so that the connection can be used again."""
    stream = await client.post(path, content=to_json(body), cast_to=object, stream=True, stream_cls=AsyncStream[object])
    rest = b""
    async with stream, aclosing(stream.response.aiter_raw()) as chunks:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data: ") and line != b"data: [DONE]":
                    yield from_json(line[6:])


class FloorChat:
    """Chat Completions as dictionaries."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def turn(self) -> Outcome:
        messages: list[JSON] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": QUESTION},
        ]
        body = {"model": MODEL, "messages": messages, "tools": CHAT_TOOLS}
        count = 0
        while True:
            message = (await post(self._client, "/chat/completions", body))["choices"][0]["message"]
            calls: list[JSON] = message.get("tool_calls") or []
            if not calls:
                return Outcome(message["content"], tool_calls=count)
            messages.append(message)
            messages += await asyncio.gather(*(self._run(call) for call in calls))
            count += len(calls)

    async def _run(self, call: JSON) -> JSON:
        text = await RUN[call["function"]["name"]](call["function"]["arguments"])
        return {"role": "tool", "tool_call_id": call["id"], "content": text}

    async def token(self) -> Outcome:
        messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": QUESTION}]
        body: JSON = {"model": MODEL, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        pieces: list[str] = []
        async with aclosing(events(self._client, "/chat/completions", body)) as chunks:
            async for chunk in chunks:
                if chunk["choices"] and (text := chunk["choices"][0]["delta"].get("content")):
                    pieces.append(text)  # noqa: PERF401 - as one reads a stream
        return Outcome("".join(pieces), tokens=len(pieces))


class FloorResponses:
    """Responses as dictionaries."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    async def turn(self) -> Outcome:
        items: list[JSON] = [{"role": "user", "content": QUESTION}]
        body = {"model": MODEL, "instructions": INSTRUCTIONS, "input": items, "tools": TOOLS, "store": False}
        count = 0
        while True:
            output: list[JSON] = (await post(self._client, "/responses", body))["output"]
            calls = [item for item in output if item["type"] == "function_call"]
            if not calls:
                return Outcome(output[-1]["content"][0]["text"], tool_calls=count)
            items += output
            items += await asyncio.gather(*(self._run(call) for call in calls))
            count += len(calls)

    async def _run(self, call: JSON) -> JSON:
        text = await RUN[call["name"]](call["arguments"])
        return {"type": "function_call_output", "call_id": call["call_id"], "output": text}

    async def token(self) -> Outcome:
        question = [{"role": "user", "content": QUESTION}]
        body = {"model": MODEL, "instructions": INSTRUCTIONS, "input": question, "stream": True, "store": False}
        pieces: list[str] = []
        async with aclosing(events(self._client, "/responses", body)) as received:
            async for event in received:
                if event["type"] == "response.output_text.delta":
                    pieces.append(event["delta"])  # noqa: PERF401 - the same
        return Outcome("".join(pieces), tokens=len(pieces))


@asynccontextmanager
async def open_floor(base_url: str, wire: Wire) -> AsyncGenerator[Peer]:
    async with AsyncOpenAI(base_url=base_url, api_key="bench", max_retries=0) as client:
        match wire:
            case "chat":
                yield FloorChat(client)
            case "responses":
                yield FloorResponses(client)
            case _:
                assert_never(wire)
