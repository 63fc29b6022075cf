"""Waiting for a task on an MCP server to end, over connections that come and go."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import anyio
from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS, METHOD_NOT_FOUND, CallToolResult
from pydantic import ValidationError

from assistant_kit.errors import StoreError, ToolsetError
from assistant_kit.toolsets.mcp.delivery import delivery_of
from assistant_kit.toolsets.mcp.link import Link
from assistant_kit.toolsets.mcp.tasks import TaskState, cancel, look, note_of, result_of

RETRY = 0.25  # seconds, at least, before a server that could not be asked is asked again
CANCEL_GRACE = 2.0  # seconds to tell a server that nobody waits any more
_GONE = (INVALID_PARAMS, METHOD_NOT_FOUND)  # how servers say that they know no such task
_log = logging.getLogger("assistant_kit.tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A task that ended with an error of the server, in its words."""

    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """A task of which nobody can tell whether it took effect. `waits`: it lacks input that it will not get."""

    why: str
    waits: bool = False


class Left(ToolsetError):
    """The toolset has been left: there is no connection, and there will be none."""


Connect: TypeAlias = Callable[[], Awaitable[Link]]
"""Returns the connection, made anew if need be. Raises ToolsetError when that fails, Left when none will be made."""

End: TypeAlias = CallToolResult | Failed | Unclear


class WatchedTask:
    """A task that is asked after. `connect` gives the connection of the moment; `pause`: seconds to the first look."""

    def __init__(self, connect: Connect, task_id: str, *, pause: float = 0.0) -> None:
        self._connect = connect
        self._task_id = task_id
        self._pause = pause

    async def end(self, seconds: float | None) -> End | None:
        """Wait for the end; None when the time is over. A server that cannot be reached is tried until then."""
        with anyio.move_on_after(seconds):
            while True:
                await anyio.sleep(self._pause)
                end = await self._look()
                if end is not None:
                    return end
        return None

    async def end_or_cancel(
        self, seconds: float | None, *, note: Callable[[str], Awaitable[None]] | None = None
    ) -> End | None:
        """Put the task down by `note` and wait for its end; tell the server when nobody waits for it any more."""
        end: End | None = None
        try:
            with anyio.move_on_after(seconds):
                await self._put_down(note)
                end = await self.end(None)
        finally:
            if end is None or (isinstance(end, Unclear) and end.waits):
                await self._cancel()
        return end

    async def _put_down(self, note: Callable[[str], Awaitable[None]] | None) -> None:
        if note is None:
            return
        try:
            await note(note_of(self._task_id))
        except StoreError as error:  # the task runs: its result is worth more than the note, which only insures it
            _log.warning("the id of an MCP task could not be recorded: %s", error)

    async def _look(self) -> End | None:
        """Ask once; None while the task goes on, or when the server cannot be asked now."""
        try:
            link = await self._connect()
        except Left:
            return Unclear(why="the connection to the server was closed meanwhile")
        except ToolsetError:
            self._pause = max(self._pause, RETRY)
            return None
        try:
            task = await look(link.client, self._task_id)
            self._pause = task.pause
            return None if task.status == "working" else await _end(link.client, task)
        except MCPError as error:
            return self._no_answer(link, error)
        except ValidationError:
            return Unclear(why="the server's account of its task does not follow the protocol")

    def _no_answer(self, link: Link, error: MCPError) -> Unclear | None:
        delivery = delivery_of(error)
        if delivery is None and error.code in _GONE:
            return Unclear(why="the server does not know the task of this call any more")
        if delivery is not None and delivery.reconnect:
            link.close()
        self._pause = max(self._pause, RETRY)
        return None

    async def _cancel(self) -> None:
        with anyio.move_on_after(CANCEL_GRACE, shield=True), suppress(Left, MCPError, ToolsetError, ValidationError):
            link = await self._connect()
            await cancel(link.client, self._task_id)


async def _end(client: Client, task: TaskState) -> End:
    match task.status:
        case "cancelled":
            return Unclear(why="the server has cancelled its task")
        case "input_required":
            return Unclear(why="its task asks for input that this application does not give", waits=True)
        case _ if task.error is not None:
            return Failed(words=task.error.message)
        case _:
            pass
    try:
        return await result_of(client, task)
    except MCPError as error:
        if task.status == "failed" and delivery_of(error) is None:
            return Failed(words=error.message)
        raise
