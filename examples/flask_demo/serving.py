"""Runs a process's listeners: its own, by TLS where there is a folder of certificates, and a plain one for operators.

Both end on SIGTERM and SIGINT, after what is on its way, within bounds:

    tls = ServerTLS(directory=settings.tls_dir, name="orchestrator", allowed=("frontend",))
    serve(listening(app, settings.listen, tls=tls), listening(admin_app, settings.admin_listen), on_stop=…)
"""

import asyncio
import gc
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from examples.flask_demo.tls import peer_names, server_context

LAST_PORT = 65535
GRACE = 10.0
"""Seconds that requests have to end after a signal; closing the application has as many again."""
FAREWELL = 1.0
"""Seconds that the other side has to agree to the end of a connection by TLS, after the last that was sent to it."""
_FORBIDDEN = b'{"error":{"code":"forbidden","message":"this service does not serve the holder of that certificate"}}'
_log = logging.getLogger(__name__)
Application = Callable[[Any, Any, Any], Awaitable[None]]


class ServingError(Exception):
    """A process cannot serve; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS:
    """The certificate a service listens with, and the common names of those whose calls it takes."""

    directory: Path | str
    name: str
    allowed: tuple[str, ...]


class Listener(uvicorn.Server):
    """A server of uvicorn that says when it is ready, and leaves signals to `serve`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready: anyio.Event = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listening(app: Application, listen: str, *, tls: ServerTLS | None = None, grace: float = GRACE) -> Listener:
    """Return what serves an application of ASGI at `host:port`; plain HTTP without `tls`.

    Callers with a certificate of ours that are not `tls.allowed` get 403. Raises ServingError, tls.TLSError.
    """
    host, port = address(listen)
    context = None if tls is None else server_context(tls.directory, tls.name)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=H11Protocol if tls is None else _doorkeeper(tls.allowed),
        ssl_context_factory=None if context is None else partial(_given, context),
        timeout_graceful_shutdown=max(1, round(grace)),
        proxy_headers=False,  # nobody's word about an address or a scheme is taken here
        server_header=False,
        access_log=False,
        log_config=None,
    )
    return Listener(config)


def address(listen: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[v6]:port`. Raises ServingError."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= LAST_PORT:
        raise ServingError(f"{listen!r} is no address to listen on: set it to host:port, such as 127.0.0.1:8000")
    return host, int(port)


def settle() -> None:
    """Leave what a process has at its start, and keeps, out of all later searches for garbage.

    These are some hundred thousand objects: to look through them held everybody up for a quarter of a second at times.
    """
    gc.collect()
    gc.freeze()


def serve(main: Listener, admin: Listener | None = None, *, on_stop: Callable[[], None] | None = None) -> None:
    """Run a process's listeners until SIGTERM or SIGINT; see `serving`. Raises ServingError."""
    settle()
    with suppress(KeyboardInterrupt):
        anyio.run(partial(serving, main, admin, on_stop=on_stop))


async def serving(main: Listener, admin: Listener | None = None, *, on_stop: Callable[[], None] | None = None) -> None:
    """Run listeners until a signal; in the main thread of a process, on asyncio.

    `on_stop` is called at the first signal: from then on an application says that it is not ready, and ends its
    streams. Then requests have `grace` seconds, and closing the application as many again; a second signal ends all
    at once. The operators' listener goes last. Raises ServingError.
    """
    everyone = [main] if admin is None else [admin, main]
    with ExitStack() as stack, anyio.open_signal_receiver(SIGTERM, SIGINT) as signals:
        sockets = [stack.enter_context(_bound(one.config.host, one.config.port)) for one in everyone]
        async with anyio.create_task_group() as group:
            if admin is not None:
                group.start_soon(_run, admin, sockets[0], everyone)
            async with anyio.create_task_group() as until_stopped:
                until_stopped.start_soon(_stop, main, signals, until_stopped.cancel_scope, on_stop)
                await _run(main, sockets[-1], everyone)
                until_stopped.cancel_scope.cancel()
            for one in everyone:
                one.should_exit = True
    if not all(one.ready.is_set() for one in everyone):
        raise ServingError("the application did not start: the log above says why")


async def _run(listener: Listener, bound: socket.socket, everyone: Iterable[Listener]) -> None:
    with suppress(SystemExit):  # what uvicorn raises when an application does not start
        await listener.serve([bound])
    if not listener.ready.is_set():
        for one in everyone:
            one.should_exit = True


async def _stop(
    listener: Listener, signals: AsyncIterator[Signals], scope: anyio.CancelScope, on_stop: Callable[[], None] | None
) -> None:
    await anext(signals)
    if on_stop is not None:
        on_stop()
    listener.should_exit = True
    grace = listener.config.timeout_graceful_shutdown or GRACE
    with anyio.move_on_after(2 * grace):
        await anext(signals)
    _log.error("stopped before everything had ended")
    scope.cancel()


@contextmanager
def _bound(host: str, port: int) -> Generator[socket.socket]:
    """Take an address before anything starts, so that what is wrong with it is said in one line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
        except OSError as error:
            raise ServingError(f"cannot listen on {host}:{port}: {error.strerror}: set another address") from error
        yield taken


def _given(context: ssl.SSLContext, _config: uvicorn.Config, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    return context


class _Doorkeeper(H11Protocol):
    """How uvicorn speaks HTTP by TLS with callers of whom only some are served.

    A connection belongs to one caller, so it is decided when the connection is made; all requests on it, and upgrades
    to WebSocket, get the same answer.

    Python ends TLS only when the other side agrees, for 30 s; but callers look at a connection that rests no sooner
    than they need it again, and a process that wants to stop would wait for them.
    """

    allowed: frozenset[str] = frozenset()
    _farewell: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if not peer_names(transport) & self.allowed:
            self.app = _forbid
            self.ws_protocol_class = None

    def shutdown(self) -> None:
        if not self.transport.is_closing():  # closed twice, a transport of TLS forgets how to abort
            super().shutdown()
        self._let_go()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._let_go()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._let_go()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._farewell is not None:
            self._farewell.cancel()
        super().connection_lost(exc)

    def _let_go(self) -> None:
        if self._farewell is None and self.transport.is_closing():
            self._farewell = self.loop.call_later(FAREWELL, self._abort)

    def _abort(self) -> None:
        if self.transport.get_write_buffer_size():  # the other side still reads
            self._farewell = self.loop.call_later(FAREWELL, self._abort)
        else:
            self.transport.abort()


def _doorkeeper(callers: Iterable[str]) -> type[H11Protocol]:
    class Doorkeeper(_Doorkeeper):
        allowed = frozenset(callers)

    return Doorkeeper


async def _forbid(_scope: object, _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": _FORBIDDEN})
