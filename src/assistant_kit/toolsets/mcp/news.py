"""Hearing of changes in a server's tools, in the newer protocol, where they are announced on a stream of its own."""

import random
from collections.abc import Callable

import anyio
from mcp import Client, MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp.types import METHOD_NOT_FOUND
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from assistant_kit.toolsets._availability import pause


async def watch_tools(client: Client, changed: Callable[[], None]) -> None:
    """Call `changed` whenever the tools may be others, as long as the connection lasts.

    A stream that ends is opened again, after a pause that grows. There is no replay: what was announced before the
    server has agreed to tell is not told, so `changed` is called then, too.
    """
    tools = client.server_capabilities.tools
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or tools is None or not tools.list_changed:
        return
    failures = 0
    while True:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                changed()
                if not changes.honored.tools_list_changed:
                    return
                async for _ in changes:
                    failures = 0
                    changed()
        except SubscriptionLost:
            pass
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND:
                return
        failures += 1
        await anyio.sleep(pause(failures, chance=random.random()))  # noqa: S311  (no secret: it spreads the returns)
