"""Drives the server with the official client, one scripted reply a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from .replies import JSON, Reply
from .server import OpenAIServer

HELLO: list[JSON] = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def connected(server: OpenAIServer, api_key: str = "test") -> AsyncGenerator[AsyncOpenAI]:
    with anyio.fail_after(5):
        async with AsyncOpenAI(base_url=server.base_url, api_key=api_key, max_retries=0) as client:
            yield client


async def respond(server: OpenAIServer, reply: Reply, **body: Any) -> Response:
    server.script([reply])
    async with connected(server) as client:
        return await client.responses.create(model="m", input="hello", extra_body=body)


async def respond_streamed(server: OpenAIServer, reply: Reply) -> list[ResponseStreamEvent]:
    server.script([reply])
    async with connected(server) as client, await client.responses.create(model="m", input="hi", stream=True) as stream:
        return [event async for event in stream]


async def complete(server: OpenAIServer, reply: Reply, **body: Any) -> ChatCompletion:
    server.script([reply])
    async with connected(server) as client:
        return await client.chat.completions.create(model="m", messages=[], extra_body={"messages": HELLO, **body})


async def complete_streamed(server: OpenAIServer, reply: Reply, **body: Any) -> list[ChatCompletionChunk]:
    server.script([reply])
    async with (
        connected(server) as client,
        await client.chat.completions.create(
            model="m", messages=[], stream=True, extra_body={"messages": HELLO, **body}
        ) as stream,
    ):
        return [chunk async for chunk in stream]
