"""What answers a message: the assistant of this library, or the OpenAI Agents SDK (agents_engine.py)."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol, Unpack

from assistant_kit import Assistant, Result, RunStream
from assistant_kit.run.options import RunOptions


class Engine(Protocol):
    """Answers messages in conversations. `repeats` tells whether it answers a message once under its key."""

    @property
    def repeats(self) -> bool:
        """Whether the `request_id` of a run is known to it."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Hold open what it needs of its own."""
        ...

    async def run(self, message: str, **options: Unpack[RunOptions]) -> Result[str]:
        """Return the answer. Raises AssistantKitError."""
        ...

    def stream(self, message: str, **options: Unpack[RunOptions]) -> RunStream[str]:
        """Return the answer as it comes."""
        ...


class AssistantEngine:
    """The assistant of this library."""

    repeats: bool = True

    def __init__(self, assistant: Assistant[str]) -> None:
        """Take the assistant, which is open."""
        self._assistant = assistant

    def running(self) -> AbstractAsyncContextManager[None]:
        """Hold nothing: the assistant is opened by itself."""
        return nullcontext()

    async def run(self, message: str, **options: Unpack[RunOptions]) -> Result[str]:
        """Return the answer. Raises AssistantKitError."""
        return await self._assistant.run(message, **options)

    def stream(self, message: str, **options: Unpack[RunOptions]) -> RunStream[str]:
        """Return the answer as it comes."""
        return self._assistant.stream(message, **options)
