from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Literal, cast

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp.types import INTERNAL_ERROR, METHOD_NOT_FOUND, ServerCapabilities, SubscriptionFilter, ToolsCapability

from assistant_kit.toolsets.mcp.news import watch_tools
from tests.policies.timing import LOOPS, in_virtual_time

End = Literal["lost", "ended", "refused", "unknown", "not told"]


class Server:
    """A connection of the SDK whose streams of news end as they are told to, one after the other."""

    def __init__(self, *ends: End, version: str = "2026-07-28", announces: bool = True) -> None:
        self.protocol_version = version
        self.server_capabilities = ServerCapabilities(tools=ToolsCapability(list_changed=announces))
        self.opened: list[float] = []
        self.ends: Sequence[End] = ends

    @asynccontextmanager
    async def listen(self, *, tools_list_changed: bool) -> AsyncGenerator[object]:
        end = self.ends[len(self.opened)]
        self.opened.append(anyio.current_time())
        await anyio.lowlevel.checkpoint()
        if end in ("refused", "unknown"):
            raise MCPError(METHOD_NOT_FOUND if end == "unknown" else INTERNAL_ERROR, "no")
        yield News(end, SubscriptionFilter(tools_list_changed=tools_list_changed and end != "not told"))


class News:
    def __init__(self, end: End, honored: SubscriptionFilter) -> None:
        self.honored = honored
        self.end = end

    async def __aiter__(self) -> AsyncIterator[object]:
        yield SimpleNamespace()
        if self.end == "lost":
            raise SubscriptionLost


async def heard(server: Server) -> int:
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    with anyio.fail_after(1000):
        await watch_tools(cast("Client", server), changed)
    return changes


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_that_ends_is_opened_again_and_what_was_missed_counts_as_a_change(loop: str) -> None:
    async def scene() -> None:
        server = Server("lost", "ended", "unknown")
        assert await heard(server) == 4
        assert len(server.opened) == 3

    in_virtual_time(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_that_refuses_is_asked_less_and_less(loop: str) -> None:
    async def scene() -> None:
        refusals: list[End] = ["refused"] * 6
        server = Server(*refusals, "unknown")
        assert await heard(server) == 0
        gaps = [later - sooner for sooner, later in zip(server.opened, server.opened[1:], strict=False)]
        assert gaps == sorted(gaps)
        assert 8 <= gaps[-1] <= 16

    in_virtual_time(loop, scene)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "server", [Server(version="2025-11-25"), Server(announces=False), Server("unknown"), Server("not told")]
)
async def test_a_server_that_announces_nothing_is_not_listened_to(server: Server) -> None:
    server.opened.clear()
    await heard(server)
    assert len(server.opened) == len(server.ends)
