"""Consent on the person's own machine: their browser comes back to a port of this process (RFC 8252)."""

import sys
import webbrowser
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

from assistant_kit.errors import ToolsetError
from assistant_kit.toolsets.mcp.oauth.consent import ConsentRequest

PORT: Final = 8976
_LONGEST: Final = 16_384  # bytes of a request that are read
_PAGE: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close\r\n\r\n"
    b"<!doctype html><title>Done</title><p>You can close this window and go back to the program."
)
_NOT_THIS: Final = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def show(url: str) -> None:
    """Open a URL in the browser, and write it down for the case that there is none."""
    sys.stderr.write(f"Open this page to give consent:\n{url}\n")
    webbrowser.open(url)


class Loopback:
    """Asks for consent in the browser of this machine, for programs on the command line.

    The port is always the same, because not every authorization server takes the return to another one than it has
    been told. `browse` opens the URL; it runs in a thread. One person is asked at a time.
    """

    def __init__(self, *, port: int = PORT, browse: Callable[[str], object] = show) -> None:
        self._port = port
        self._browse = browse
        self._one = anyio.Lock()

    @property
    def redirect_uri(self) -> str:
        """Where the browser comes back to."""
        return f"http://127.0.0.1:{self._port}/callback"

    async def ask(self, request: ConsentRequest) -> str:
        """Open the browser and wait until it comes back. Raises ToolsetError when the port is in use."""
        async with self._one:
            try:
                listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self._port)
            except OSError as error:
                raise ToolsetError(
                    "Loopback", f"port {self._port}, to which the browser comes back, is in use: give another port="
                ) from error
            found: list[str] = []
            async with listener, anyio.create_task_group() as tasks:

                async def visit(stream: ByteStream) -> None:
                    path = await _answered(stream, request.state)
                    if path is not None:
                        found.append(f"http://127.0.0.1:{self._port}{path}")
                        tasks.cancel_scope.cancel()

                # First the port, then the browser: whoever has consented before comes back at once.
                tasks.start_soon(listener.serve, visit)
                await anyio.to_thread.run_sync(self._browse, request.url, abandon_on_cancel=True)
        return found[0]


async def _answered(stream: ByteStream, state: str) -> str | None:
    """Answer one request; return its path when it is the one that is waited for: browsers ask for icons, too."""
    async with stream:
        try:
            head = b""
            while b"\r\n" not in head and len(head) < _LONGEST:
                head += await stream.receive()
            method, _, rest = head.partition(b"\r\n")[0].decode("ascii").partition(" ")
            path = rest.partition(" ")[0]
            awaited = method == "GET" and parse_qs(urlsplit(path).query).get("state") == [state]
            await stream.send(_PAGE if awaited else _NOT_THIS)
        except (anyio.EndOfStream, anyio.BrokenResourceError, ValueError):  # somebody else, or a browser that left
            return None
        return path if awaited else None
