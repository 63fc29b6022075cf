"""An MCP server as a process of its own: started, spoken to over its pipes, and always stopped.

The SDK's transport gives neither the process id nor the exit code nor what the server wrote before it died, and
leaves grandchildren of a server that exits by itself (reference/mcp.md, defects 9 and 11).
"""

import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import AsyncResource, ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import MCPError
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest, jsonrpc_message_adapter

from assistant_kit.toolsets.mcp.delivery import undelivered
from assistant_kit.toolsets.mcp.repair import broken_answer

Incoming: TypeAlias = MemoryObjectSendStream[SessionMessage | Exception]
Streams: TypeAlias = "tuple[MemoryObjectReceiveStream[SessionMessage | Exception], Outbox]"

MAX_MESSAGE = 256 * 1024 * 1024  # bytes of one line; a server that never ends its line must not fill the memory
TAIL = 4096  # bytes of the server's last words that are kept
FLUSH_GRACE = 0.5  # seconds for a message under way
EXIT_GRACE = 2.0  # seconds to exit after the end of input; server-gitlab takes 2.1
KILL_GRACE = 1.0  # seconds after each signal
POLL = 0.01  # seconds between looks at the exit code
_BROKEN = (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError)


class CannotStart(Exception):
    """A command could not be started; the text says why and what to do."""


@dataclass(slots=True)
class _Line:
    """A message on its way; `sent` stays None when it was cut off in between and nobody can tell."""

    text: bytes
    settled: anyio.Event = field(default_factory=anyio.Event)
    sent: bool | None = None


class Outbox:
    """The way to the input of a process, which tells a caller whose message did not get there.

    It stands where the SDK expects the stream it writes to. The SDK's own stream says only that the connection has
    closed, and not whether the message was sent before.
    """

    def __init__(self, stdin: ByteSendStream) -> None:
        self._stdin = stdin
        self._queue, self._lines = anyio.create_memory_object_stream[_Line](0)
        self._refusing = False
        self.done: anyio.Event = anyio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more messages; those under way are still written."""
        self._queue.close()

    def close(self) -> None:
        """Drop what is under way."""
        self._queue.close()
        self._lines.close()

    def refuse(self) -> None:
        """From now on let nothing pass: the process has ended."""
        self._refusing = True

    async def send(self, item: SessionMessage) -> None:
        """Write a message. Raises MCPError for a request, BrokenResourceError for others, when it was not sent."""
        line = _Line(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        try:
            await self._queue.send(line)
            await line.settled.wait()
        except _BROKEN:
            line.sent = False
        if line.sent is False:
            if isinstance(item.message, JSONRPCRequest):
                error = undelivered("the server's process has ended", may_have_run=False, reconnect=True)
                raise MCPError.from_error_data(error)
            raise anyio.BrokenResourceError

    async def run(self, on_close: Callable[[], None]) -> None:
        """Write line by line; `on_close` is called when the process takes no more."""
        try:
            async for line in self._lines:
                try:
                    line.sent = not self._refusing and await self._write(line.text)
                finally:
                    line.settled.set()
                if not line.sent:
                    self._refusing = True
                    on_close()
        finally:
            self.close()
            self.done.set()

    async def _write(self, text: bytes) -> bool:
        try:
            await self._stdin.send(text)
            await anyio.lowlevel.checkpoint()  # asyncio hears of a broken pipe a turn of its loop later
            await self._stdin.send(b"")
        except _BROKEN:
            return False
        return True


class StdioServer:
    """One run of a server's command.

    `on_close` is called as soon as the server can no longer be spoken to.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None,
        cwd: str | Path | None,
        on_close: Callable[[], None],
    ) -> None:
        self._command = command
        self._env = env
        self._cwd = cwd
        self._on_close = on_close
        self._exit_code: int | None = None
        self._ended_itself = False
        self._stopping = False
        self._tail = b""
        self._stderr_read = anyio.Event()

    def account(self) -> str:
        """Say what is known of the process: its exit code, and the last it wrote; empty when nothing is."""
        words = self._tail.decode(errors="replace").strip()
        end = "" if self._exit_code is None else f"its process ended with {_exit(self._exit_code)}"
        said = f"the last it wrote: {words}" if words else ""
        return "; ".join(piece for piece in (end, said) if piece)

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Streams]:
        """Run the process while the context is open. Raises CannotStart."""
        process = await self._spawn()
        # No checkpoint between here and the `try`: a cancellation there would leave the process behind.
        incoming, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        async with anyio.create_task_group() as group:
            stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
            assert stdin is not None  # noqa: S101  (opened with pipes)
            assert stdout is not None  # noqa: S101
            assert stderr is not None  # noqa: S101
            outbox = Outbox(stdin)
            group.start_soon(self._read, stdout, incoming, outbox)
            group.start_soon(outbox.run, self._on_close)
            group.start_soon(self._read_stderr, stderr)
            try:
                yield received, outbox
            finally:
                with anyio.CancelScope(shield=True):  # every wait in it is bounded
                    self._stopping = True
                    received.close()
                    await outbox.aclose()
                    await self._stop(process, stdin, outbox)
                    for resource in (stdin, stdout, stderr, incoming):
                        await _close(resource)
                    outbox.close()
                    _close_transport(process)
                group.cancel_scope.cancel()

    async def _spawn(self) -> Process:
        process = None
        environment = {**get_default_environment(), **(self._env or {})}
        try:
            with anyio.CancelScope(shield=True):  # short, and a half-started process has no owner
                process = await anyio.open_process(
                    list(self._command), env=environment, cwd=self._cwd, start_new_session=True
                )
        except (OSError, ValueError) as error:
            raise CannotStart(self._cannot_start(error)) from error
        assert process is not None  # noqa: S101  (the scope ends by itself)
        return process

    def _cannot_start(self, error: OSError | ValueError) -> str:
        program = self._command[0]
        if self._cwd is not None and not Path(self._cwd).is_dir():
            return f"cannot start {program!r}: cwd {str(self._cwd)!r} is not a folder"
        match error:
            case FileNotFoundError():
                return f"command {program!r} was not found: install it, give its full path, or set PATH in env="
            case PermissionError():
                return f"command {program!r} may not be executed: look at its permissions"
            case _:
                return f"command {program!r} cannot be started: {error}"

    async def _read(self, stdout: ByteReceiveStream, incoming: Incoming, outbox: "Outbox") -> None:
        lines = BufferedByteReceiveStream(stdout)
        with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, *_BROKEN):
            while True:
                message = self._parse(await lines.receive_until(b"\n", MAX_MESSAGE))
                if message is not None:
                    await incoming.send(message)
        self._ended_itself = not self._stopping
        outbox.refuse()
        self._on_close()
        incoming.close()
        with suppress(anyio.EndOfStream, *_BROKEN):  # a server that cannot write cannot exit either
            while True:
                await stdout.receive()

    def _parse(self, line: bytes) -> SessionMessage | None:
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:  # noise: a banner, a print() left in the server
            self._remember(line + b"\n")
            answer = broken_answer(line)
            return None if answer is None else SessionMessage(answer)

    async def _read_stderr(self, stderr: ByteReceiveStream) -> None:
        try:
            with suppress(anyio.EndOfStream, *_BROKEN):
                while True:
                    self._remember(await stderr.receive())
        finally:
            self._stderr_read.set()

    def _remember(self, words: bytes) -> None:
        self._tail = (self._tail + words)[-TAIL:]

    async def _stop(self, process: Process, stdin: ByteSendStream, outbox: Outbox) -> None:
        """Close the input, wait, then signal: the server, and whatever it has started."""
        with anyio.move_on_after(FLUSH_GRACE):
            await outbox.done.wait()
        await _close(stdin)
        if not await _ended(process, EXIT_GRACE):
            _signal(process, signal.SIGTERM)
            await _ended(process, KILL_GRACE)
        _kill(process)  # also after an exit in good order: it reaches the children that were left
        await _ended(process, KILL_GRACE)
        with anyio.move_on_after(KILL_GRACE):
            await self._stderr_read.wait()
        if self._ended_itself:
            self._exit_code = process.returncode


async def _ended(process: Process, seconds: float) -> bool:
    # Not process.wait(): on asyncio that waits for the ends of the pipes too, which a grandchild may hold.
    with anyio.move_on_after(seconds):
        while process.returncode is None:  # noqa: ASYNC110  (no event tells of an exit)
            await anyio.sleep(POLL)
    return process.returncode is not None


def _signal(process: Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":  # pragma: no cover  (no process groups there)
            process.terminate()
        else:
            os.killpg(process.pid, number)  # the process leads a group of its own


def _kill(process: Process) -> None:
    _signal(process, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)


async def _close(resource: AsyncResource) -> None:
    with suppress(*_BROKEN):
        await resource.aclose()


def _close_transport(process: Process) -> None:
    """Close asyncio's own hold on the process, which stays open while a stray grandchild holds a pipe."""
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    if transport is not None:
        transport.close()


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
