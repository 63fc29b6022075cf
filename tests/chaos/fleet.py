"""Worker processes: forked, told what to do, killed, frozen and woken. Nobody else's processes are touched."""

import ctypes
import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import anyio

from tests.chaos.worker import Command, Reply, Worker

Backend: TypeAlias = Literal["asyncio", "trio"]
MakeWorker: TypeAlias = Callable[[int, int], Worker]

_PR_SET_PDEATHSIG = 1
_BACKENDS: tuple[Backend, ...] = ("asyncio", "trio")


@dataclass(slots=True, kw_only=True, eq=False)
class Process:
    """A worker process. `frozen_until` is 0 while it runs; `commands` is -1 when nothing more is sent."""

    name: str
    pid: int
    commands: int
    replies: int
    rest: bytes = b""
    frozen_until: float = 0.0
    exit_code: int | None = None


class Fleet:
    """Worker processes. They are children of this one, which must have no other threads when one is started.

    Forked and not spawned: to start again after a kill costs milliseconds then, and servers fork as well.
    """

    def __init__(self, make: MakeWorker, folder: Path) -> None:
        self._make = make
        self._folder = folder
        self._started = 0
        self._selector = selectors.DefaultSelector()
        self.processes: list[Process] = []

    def start(self) -> Process:
        """Start a worker, on asyncio and trio in turn."""
        self._started += 1
        name = f"worker-{self._started}"
        commands, replies = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            ours = [fd for one in self.processes for fd in (one.commands, one.replies) if fd >= 0]
            for fd in (*ours, commands[1], replies[0]):
                os.close(fd)
            self._be_worker(name, _BACKENDS[self._started % 2], commands[0], replies[1])
        os.close(commands[0])
        os.close(replies[1])
        os.set_blocking(replies[0], False)
        process = Process(name=name, pid=pid, commands=commands[1], replies=replies[0])
        self.processes.append(process)
        self._selector.register(replies[0], selectors.EVENT_READ, process)
        return process

    def _be_worker(self, name: str, backend: Backend, commands: int, replies: int) -> None:
        """Be the worker, and never return."""
        code = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # Linux: end with the driver, frozen or not
            log = os.open(self._folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, sys.stdout.fileno())
            os.dup2(log, sys.stderr.fileno())
            anyio.run(self._make(commands, replies).serve, backend=backend)
            code = 0
        except BaseException:  # noqa: BLE001  (whatever it is stands in the log, and this process goes no further)
            traceback.print_exc()
        finally:
            os._exit(code)

    def send(self, process: Process, command: Command) -> None:
        """Tell a worker what to do; one that is gone hears nothing."""
        with suppress(BrokenPipeError):
            os.write(process.commands, json.dumps(asdict(command)).encode() + b"\n")

    def kill(self, process: Process) -> list[Reply]:
        """Kill a worker with SIGKILL, and return what it has said before."""
        os.kill(process.pid, signal.SIGKILL)
        return self._bury(process)

    def freeze(self, process: Process, seconds: float) -> None:
        """Stop a worker in whatever it does."""
        os.kill(process.pid, signal.SIGSTOP)
        process.frozen_until = time.monotonic() + seconds

    def thaw_due(self, now: float) -> None:
        """Wake those who have been frozen for long enough."""
        for process in self.processes:
            if 0 < process.frozen_until <= now:
                os.kill(process.pid, signal.SIGCONT)
                process.frozen_until = 0.0

    def replies(self, timeout: float) -> Iterator[tuple[Process, Reply]]:
        """Wait for at most so many seconds, and return what workers have said."""
        for key, _ in self._selector.select(timeout):
            process: Process = key.data
            for reply in _read(process):
                yield process, reply

    def ended(self) -> list[Process]:
        """Workers that have ended by themselves; they are forgotten."""
        gone = [process for process in self.processes if os.waitpid(process.pid, os.WNOHANG) != (0, 0)]
        for process in gone:
            self._forget(process)
        return gone

    def close(self, patience: float) -> list[Process]:
        """Let all finish what they do and end; return those that had to be killed or failed."""
        for process in self.processes:
            os.close(process.commands)
            process.commands = -1
        give_up = time.monotonic() + patience
        failed: list[Process] = []
        for process in list(self.processes):
            while process.exit_code is None and time.monotonic() < give_up:
                pid, status = os.waitpid(process.pid, os.WNOHANG)
                if pid:
                    process.exit_code = os.waitstatus_to_exitcode(status)
                    self._forget(process)
                else:
                    time.sleep(0.01)
            if process.exit_code != 0:
                failed.append(process)
        return failed

    def kill_all(self) -> None:
        """Leave no process behind."""
        for process in list(self.processes):
            self.kill(process)

    def _bury(self, process: Process) -> list[Reply]:
        os.waitpid(process.pid, 0)
        said = list(_read(process))
        self._forget(process)
        return said

    def _forget(self, process: Process) -> None:
        self.processes.remove(process)
        self._selector.unregister(process.replies)
        os.close(process.replies)
        if process.commands >= 0:
            os.close(process.commands)
            process.commands = -1


def _read(process: Process) -> Iterator[Reply]:
    """Read whole lines, as many as there are; one that was cut off was never said."""
    with suppress(BlockingIOError):
        while data := os.read(process.replies, 65536):
            process.rest += data
    *lines, process.rest = process.rest.split(b"\n")
    for line in lines:
        facts = json.loads(line)
        yield Reply(**facts | {"calls": tuple(facts["calls"])})
