"""A process that serves: `python -m tests.examples.web.tls.small_process MODE MAIN ADMIN`; it prints what happens."""

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from examples.flask_demo.serving import ServingError, listening, serve
from tests.examples.web.tls.service import hello


def tell(what: str) -> None:
    """Print at once."""
    print(what, flush=True)  # noqa: T201 - the test reads it


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Serve: /begun ends half a second after the stop, /never by itself never."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/begun":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await stopping.wait()
        await anyio.sleep(0.5)
        await send({"type": "http.response.body", "body": b"ended"})
    elif scope["path"] == "/never":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await anyio.sleep_forever()
    else:
        await hello(scope, receive, send)


async def lifespan(
    receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Open and close as MODE says."""
    await receive()
    if sys.argv[1] == "fails":
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    await send({"type": "lifespan.startup.complete"})
    tell("started")
    await receive()
    if sys.argv[1] == "hangs":
        await anyio.sleep_forever()
    tell("closed")
    await send({"type": "lifespan.shutdown.complete"})


def stop() -> None:
    """Note the signal."""
    tell("stopping")
    stopping.set()


if __name__ == "__main__":
    stopping = anyio.Event()
    logging.basicConfig(level=logging.WARNING)
    try:
        serve(listening(application, sys.argv[2], grace=1), listening(hello, sys.argv[3]), on_stop=stop)
    except ServingError as error:
        sys.exit(str(error))
    tell("ended")
