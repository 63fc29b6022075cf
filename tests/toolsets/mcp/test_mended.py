from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import MCPError
from mcp.client import Transport
from mcp.shared.message import SessionMessage
from mcp.types import REQUEST_TIMEOUT, ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from assistant_kit.toolsets.mcp.mended import SILENCE, mended_transport
from tests.policies.timing import LOOPS, in_virtual_time

BARE: dict[str, Any] = {"structuredContent": {"a": 1}}  # a result without content


class Wire:
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        self.incoming: MemoryObjectSendStream[SessionMessage | Exception]
        self.outgoing: MemoryObjectReceiveStream[SessionMessage]

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[tuple[Any, Any]]:
        self.incoming, reading = anyio.create_memory_object_stream[SessionMessage | Exception](9)
        writing, self.outgoing = anyio.create_memory_object_stream[SessionMessage](9)
        with self.incoming, reading, writing, self.outgoing:
            yield reading, writing


def request(key: int | str, method: str = "tools/call", **params: Any) -> SessionMessage:
    return SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=key, method=method, params=params or None))


def answer(key: int | str, result: dict[str, Any]) -> SessionMessage:
    return SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=key, result=dict(result)))


@asynccontextmanager
async def opened() -> AsyncGenerator[tuple[Any, Any, Wire]]:
    wire = Wire()
    transport = mended_transport(cast("Transport", wire.open()), list[str]().append)
    async with transport as (reading, writing), reading, writing:
        yield reading, writing, wire


@pytest.mark.anyio
async def test_an_answer_is_put_right_for_the_request_it_answers_whatever_the_form_of_its_id() -> None:
    async with opened() as (reading, writing, wire):
        for sent, back in ((1, 1), (2, "2"), ("a", "a")):
            await writing.send(request(sent))
            wire.incoming.send_nowait(answer(back, BARE))
            assert (await anext(reading)).message.result["content"] == []


@pytest.mark.anyio
async def test_an_answer_that_nobody_waits_for_is_left_alone() -> None:
    async with opened() as (reading, writing, wire):
        wire.incoming.send_nowait(answer(7, BARE))
        assert (await anext(reading)).message.result == BARE
        await writing.send(request(1))
        cancelled = JSONRPCNotification(jsonrpc="2.0", method="notifications/cancelled", params={"requestId": 1})
        await writing.send(SessionMessage(cancelled))
        wire.incoming.send_nowait(answer(1, BARE))
        assert (await anext(reading)).message.result == BARE


@pytest.mark.anyio
async def test_the_version_that_was_agreed_on_counts() -> None:
    async with opened() as (reading, writing, wire):
        await writing.send(request(1, "initialize"))
        wire.incoming.send_nowait(answer(1, {"protocolVersion": "2026-07-28"}))
        await anext(reading)
        await writing.send(request(2))
        wire.incoming.send_nowait(answer(2, BARE))
        assert (await anext(reading)).message.result["resultType"] == "complete"


@pytest.mark.anyio
async def test_a_failure_without_an_id_is_that_of_the_only_request_that_waits() -> None:
    failure = ErrorData(code=-32600, message="what?")
    async with opened() as (reading, writing, wire):
        for keys, found in (((1,), 1), ((2, 3), None)):
            for key in keys:
                await writing.send(request(key))
            wire.incoming.send_nowait(SessionMessage(JSONRPCError(jsonrpc="2.0", id=None, error=failure)))
            assert (await anext(reading)).message.id == found


@pytest.mark.anyio
async def test_what_is_no_message_passes_and_the_end_is_the_end() -> None:
    async with opened() as (reading, writing, wire):
        await writing.aclose()
        wire.incoming.send_nowait(ValueError())
        assert isinstance(await anext(reading), ValueError)
        wire.incoming.close()
        assert [item async for item in reading] == []
        assert reading.last_context is None


@pytest.mark.parametrize("loop", LOOPS)
def test_a_probe_that_nobody_answers_is_given_up_soon(loop: str) -> None:
    async def scene() -> None:
        async with opened() as (reading, writing, wire):
            begun = anyio.current_time()
            with pytest.raises(MCPError) as failure:
                await writing.send(request(1, "server/discover"))
            assert failure.value.code == REQUEST_TIMEOUT
            assert anyio.current_time() == begun + SILENCE
            wire.incoming.send_nowait(answer(1, {}))  # late
            await anext(reading)
            wire.incoming.close()

            async def listen() -> None:
                assert [item async for item in reading] == []

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                await writing.send(request(2, "server/discover"))  # nobody is there any more
            assert anyio.current_time() == begun + SILENCE

    in_virtual_time(loop, scene)
