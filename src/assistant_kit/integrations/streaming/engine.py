"""What the relay needs of an assistant beyond its public interface."""

from typing import Any

from assistant_kit.assembly import Assembly, Emit
from assistant_kit.assistant import Assistant
from assistant_kit.entries import TurnStarted
from assistant_kit.errors import ConversationNotFound
from assistant_kit.journal_reader import JournalReader
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

    async def started(self, user: str, conversation: str, request: str) -> TurnStarted:
        """Return how the turn of a request began, which is on record. Raises StoreError."""
        store = self.user_store(user)
        seq = await store.locate(conversation, f"request/{request}")
        assert seq is not None  # noqa: S101  (on record)
        entry = (await JournalReader(store, conversation).turn_at(seq))[0].entry
        assert isinstance(entry, TurnStarted)  # noqa: S101  (a turn begins with it)
        return entry

    async def is_unfinished(self, user: str, conversation: str) -> bool:
        """Tell whether the last turn of a conversation has no end. Raises StoreError."""
        try:
            turns = await JournalReader(self.user_store(user), conversation).turns(limit=1)
        except ConversationNotFound:
            return False
        return bool(turns) and turns[-1].outcome is None

    def after_turn(self, user: str, conversation: str) -> None:
        """Let be done in the background what comes after a turn, as it is after `run`."""
        assembly = self._assembly
        errands = assembly._after  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if errands is not None and assembly._has_errands:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            errands.take(AfterTurn(user=user, conversation=conversation))
