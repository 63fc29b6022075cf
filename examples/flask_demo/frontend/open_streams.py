"""The answers that are read now: so many for a user, and all of them end when the process does."""

import socket
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress

import httpx2

from examples.flask_demo.frontend.metrics import Metrics


class TooMany(Exception):
    """The user reads as many streams as one may."""


class Shut(Exception):
    """The process ends: no stream begins any more."""


class OpenStream:
    """The place of one stream."""

    def __init__(self, shut: threading.Event) -> None:
        self._shut = shut
        self._socket: socket.socket | None = None

    @property
    def is_shut(self) -> bool:
        """Whether the process ends."""
        return self._shut.is_set()

    def watch(self, response: httpx2.Response) -> None:
        """Take the response that is read now, so that it can be cut. Raises Shut."""
        found: object = response.extensions["network_stream"].get_extra_info("socket")
        self._socket = found if isinstance(found, socket.socket) else None
        if self.is_shut:
            raise Shut

    def wait(self, seconds: float) -> None:
        """Wait, or less when the process ends."""
        self._shut.wait(seconds)

    def cut(self) -> None:
        """Let the thread that waits for the next piece see the end."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # that of TLS is for its own thread


class OpenStreams:
    """Counts streams; from any thread."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        """Take how many a user may read at once."""
        self._most = most
        self._metrics = metrics
        self._lock = threading.Lock()
        self._shut = threading.Event()
        self._of_users: Counter[str] = Counter()
        self._open: set[OpenStream] = set()

    @contextmanager
    def one(self, user: str) -> Generator[OpenStream]:
        """Hold a place for a stream of a user. Raises TooMany."""
        opened = OpenStream(self._shut)
        with self._lock:
            if self._of_users[user] >= self._most:
                raise TooMany
            self._of_users[user] += 1
            self._open.add(opened)
        self._metrics.add("web_stream_readers", 1)
        try:
            yield opened
        finally:
            self._metrics.add("web_stream_readers", -1)
            with self._lock:
                self._of_users[user] -= 1
                self._of_users += Counter()  # drops users who have none
                self._open.discard(opened)

    def shut(self) -> None:
        """Cut all, and begin no more."""
        self._shut.set()
        with self._lock:
            for opened in self._open:
                opened.cut()
