"""Hearing of changes in resources, in both generations of the protocol."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import anyio
from mcp import Client, MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.subscriptions import ResourceUpdated
from mcp.types import EmptyResult, SubscribeRequest, SubscribeRequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from assistant_kit.background import Background
from assistant_kit.toolsets.mcp.link import Link


class Changed:
    """The addresses of resources that may be others, each once until it is taken."""

    def __init__(self, uris: Sequence[str]) -> None:
        self._waiting: dict[str, None] = dict.fromkeys(uris)
        self._over = False
        self._news = anyio.Event()

    def hear(self, uri: str | None) -> None:
        """Note that a resource may be another; None: that nothing more will be heard."""
        if uri is None:
            self._over = True
        else:
            self._waiting[uri] = None
        self._news.set()

    async def each(self) -> AsyncGenerator[str]:
        """Give the addresses as they come."""
        while True:
            while self._waiting:
                uri = next(iter(self._waiting))
                del self._waiting[uri]
                yield uri
            if self._over:
                return
            self._news = anyio.Event()
            await self._news.wait()


@asynccontextmanager
async def watching(link: Link, uris: Sequence[str]) -> AsyncGenerator[AsyncGenerator[str]]:
    """Give the addresses of resources whenever they may be others. Raises MCPError."""
    changed = Changed(uris)
    modern = link.client.protocol_version in MODERN_PROTOCOL_VERSIONS
    hearing = _by_stream(link.client, uris, changed) if modern else _by_subscription(link, uris, changed)
    async with hearing:
        yield changed.each()


@asynccontextmanager
async def _by_stream(client: Client, uris: Sequence[str], changed: Changed) -> AsyncGenerator[None]:
    ready = anyio.Event()
    refusals: list[MCPError] = []

    async def listen() -> None:
        try:
            async with client.listen(resource_subscriptions=uris) as events:
                ready.set()
                async for event in events:
                    changed.hear(cast("ResourceUpdated", event).uri)  # nothing else was asked for
        except SubscriptionLost:
            pass
        except MCPError as error:
            refusals.append(error)
        finally:
            changed.hear(None)
            ready.set()

    async with Background(listen):
        await ready.wait()
        if refusals:
            raise refusals[0]
        yield


@asynccontextmanager
async def _by_subscription(link: Link, uris: Sequence[str], changed: Changed) -> AsyncGenerator[None]:
    link.listeners.append(changed.hear)
    try:
        for uri in uris:
            await link.client.session.send_request(
                SubscribeRequest(params=SubscribeRequestParams(uri=uri)), EmptyResult
            )
        yield
    finally:
        link.listeners.remove(changed.hear)
