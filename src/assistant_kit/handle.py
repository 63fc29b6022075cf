"""A conversation, as the application holds it."""

from collections.abc import Sequence
from typing import Generic, TypeVar, cast

from assistant_kit.assembly import Assembly, Emit
from assistant_kit.messages import UserInput
from assistant_kit.run.emitter import ignore
from assistant_kit.run.history import HistoryTurn
from assistant_kit.run.options import RunOptions
from assistant_kit.run.result import Result
from assistant_kit.run.stream import RunStream
from assistant_kit.session import read_history

OutputT = TypeVar("OutputT")


class Conversation(Generic[OutputT]):
    """A user's conversation with an assistant."""

    def __init__(self, assembly: Assembly[OutputT], conversation: str, user: str) -> None:
        """Name a conversation; it begins with the first run. Raises ConfigurationError when there is no store."""
        self._assembly = assembly
        self._store = assembly.user_store(user)
        self.id = conversation
        self.user = user

    async def run(
        self, message: UserInput, *, request_id: str | None = None, timeout: float | None = None
    ) -> Result[OutputT]:
        """Run a turn in this conversation."""
        return await self._assembly.run(message, self._options(request_id, timeout))

    def stream(
        self, message: UserInput, *, request_id: str | None = None, timeout: float | None = None
    ) -> RunStream[OutputT]:
        """Run a turn in this conversation and read its events."""
        return self._assembly.stream(message, self._options(request_id, timeout))

    async def resume(self, *, timeout: float | None = None) -> Result[OutputT]:
        """Go on with a turn that was interrupted, or that waited for a decision."""
        return await self._resume(ignore, stream=False, timeout=timeout)

    def stream_resumed(self, *, timeout: float | None = None) -> RunStream[OutputT]:
        """Go on with an interrupted or waiting turn and read its events."""
        return RunStream(lambda emit: self._resume(emit, stream=True, timeout=timeout))

    async def approve(self, call_id: str, *, by: str = "") -> None:
        """Allow a tool call that waits for approval; `resume` then makes it. Raises InputError if none waits."""
        await self._decide(call_id, approved=True, by=by)

    async def deny(self, call_id: str, *, by: str = "") -> None:
        """Refuse a tool call that waits for approval; `resume` then tells the model."""
        await self._decide(call_id, approved=False, by=by)

    async def history(self) -> Sequence[HistoryTurn]:
        """Return the turns so far, the oldest first. Raises ConversationNotFound."""
        return await read_history(self._store, self.id)

    async def delete(self) -> None:
        """Delete the conversation. Raises ConversationNotFound, ConversationBusy."""
        await self._store.delete(self.id)

    async def _resume(self, emit: Emit, *, stream: bool, timeout: float | None) -> Result[OutputT]:
        session = await self._assembly.session(self.user, self.id, emit, stream=stream, timeout=timeout)
        return cast("Result[OutputT]", await session.resume())

    async def _decide(self, call_id: str, *, approved: bool, by: str) -> None:
        session = await self._assembly.session(self.user, self.id)
        await session.decide(call_id, approved=approved, by=by)

    def _options(self, request_id: str | None, timeout: float | None) -> RunOptions:
        options = RunOptions(user=self.user, conversation=self.id)
        if request_id is not None:
            options["request_id"] = request_id
        if timeout is not None:
            options["timeout"] = timeout
        return options
