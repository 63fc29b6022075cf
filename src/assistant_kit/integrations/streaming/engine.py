"""What the relay needs of an assistant beyond its public interface."""

from typing import Any

from assistant_kit.assembly import Assembly, Emit
from assistant_kit.assistant import Assistant
from assistant_kit.protocols.policy import Priority
from assistant_kit.protocols.store import Store, UserStore
from assistant_kit.run.errands import AfterTurn
from assistant_kit.run.masking import Masks
from assistant_kit.session import Session
from assistant_kit.settings import Settings


class Engine:
    """The parts behind an assistant. Raises ConfigurationError when it has no store."""

    def __init__(self, assistant: Assistant[Any]) -> None:
        # The facade shows runs that are read to their end or stopped; a relay needs those that are left to others.
        assembly: Assembly[Any] = assistant._assembly  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._assembly = assembly
        self.store: Store = assembly.store()
        self.settings: Settings = assembly._parts.settings  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def user_store(self, user: str) -> UserStore:
        """Return the store's handle for a user. Raises InputError."""
        return self._assembly.user_store(user)

    def masks(self, user: str) -> Masks | None:
        """Return what masks private data of a user, if that is wanted."""
        return self._assembly.masks(user)

    async def session(self, user: str, conversation: str, emit: Emit, priority: Priority) -> Session:
        """Return what runs turns of a conversation that nobody else holds. Raises ConfigurationError."""
        return await self._assembly.session(user, conversation, emit, stream=True, on_busy="fail", priority=priority)

    def after_turn(self, user: str, conversation: str) -> None:
        """Let be done in the background what comes after a turn, as it is after `run`."""
        assembly = self._assembly
        errands = assembly._after  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if errands is not None and assembly._has_errands:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            errands.take(AfterTurn(user=user, conversation=conversation))
