"""A service of a few lines, over real sockets."""

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from examples.flask_demo.serving import ServerTLS, listening, serving

MUCH = bytes(16_000_000)  # more than the buffers on the way hold


async def hello(scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Answer every request with 200, /much with a lot, and accept every WebSocket."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": MUCH if scope["path"] == "/much" else b"hello"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})


def free_address() -> str:
    """Return an address of this machine where nobody listens."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{asked.getsockname()[1]}"


@asynccontextmanager
async def running(tls: ServerTLS | None, *, grace: float = 10, keep_alive: int = 5) -> AsyncGenerator[str]:
    """Serve `hello` at an address; the end waits for its connections, for `grace` seconds.

    Connections that rest are closed after `keep_alive` seconds.
    """
    where = free_address()
    main = listening(hello, where, tls=tls, grace=grace)
    main.config.timeout_keep_alive = keep_alive
    async with anyio.create_task_group() as group:
        group.start_soon(serving, main)
        with anyio.fail_after(20):
            await main.ready.wait()
        yield where
        main.should_exit = True


def tools_of(folder: Path) -> ServerTLS:
    """Return how a tool server listens: to the orchestrator alone."""
    return ServerTLS(directory=folder, name="tools", allowed=("orchestrator",))
