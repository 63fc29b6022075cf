"""What a cancelled run may leave behind: tasks, threads, open files and sockets, warnings that nobody can raise."""

import asyncio
import gc
import socket
import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import sniffio

from tests.openai_server import OpenAIServer
from tests.openai_server.connection import Connection

PATIENCE = 5.0
"""Seconds for the other end of a connection to notice that it is closed."""
_OPEN = Path("/proc/self/fd")


def tasks() -> Counter[str]:
    """The tasks of this event loop by their names."""
    return Counter(str(task.name) for task in anyio.get_running_tasks())


def our_threads() -> Counter[str]:
    """The threads that the library has started."""
    return Counter(thread.name for thread in threading.enumerate() if thread.name.startswith("assistant_kit"))


def open_files() -> Counter[str]:
    """What is open in this process, sockets as such; nothing where the system does not tell."""
    if not _OPEN.is_dir():
        return Counter()
    names = list[str]()
    for entry in _OPEN.iterdir():
        try:
            names.append(str(entry.readlink()).partition(":")[0])
        except OSError:  # the folder itself was open while it was read
            continue
    return Counter(names)


class WatchedServer(OpenAIServer):
    """Can wait until all its clients have left."""

    async def is_left(self) -> bool:
        """Tell whether nobody is connected any more, before long."""
        loop = self._loop
        assert loop is not None
        place = urlsplit(self.base_url)

        def wait() -> bool:
            # Who was cancelled while connecting may still wait to be let in: when the last one is in, all are.
            with socket.create_connection((place.hostname, place.port), PATIENCE) as last:
                last.shutdown(socket.SHUT_WR)
                last.recv(1)
            gone = asyncio.run_coroutine_threadsafe(_all_left(self._connections), loop)
            try:
                gone.result(PATIENCE)
            except TimeoutError:
                gone.cancel()
                return False
            return True

        return await anyio.to_thread.run_sync(wait)


async def _all_left(connections: list[Connection]) -> None:
    for connection in list(connections):
        await connection.left.wait()


@contextmanager
def nothing_unheard(problems: list[str]) -> Generator[None]:
    """Note what is only ever printed: errors of tasks that nobody waits for, warnings of what is collected."""

    def unraisable(what: Any) -> None:
        problems.append(f"{what.exc_value!r} in {what.object!r}")

    def unheard(_: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
        problems.append(f"{what['message']}: {what.get('exception')!r}")

    loop = asyncio.get_running_loop() if sniffio.current_async_library() == "asyncio" else None
    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    if loop is not None:
        loop.set_exception_handler(unheard)
    try:
        yield
        gc.collect()
    finally:
        sys.unraisablehook = hook
        if loop is not None:
            loop.set_exception_handler(None)
