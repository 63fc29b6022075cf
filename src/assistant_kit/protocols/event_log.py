"""The contract of what keeps the events of conversations for a while, for readers in any process.

A journal says what has happened; an event log shows it while it happens. Only one worker writes about a conversation at
a time, and any number of readers follow it, each from the event on that it has seen last. The log may forget: then a
reader is told by an entry named `reset`, and reads the journal again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from assistant_kit.messages import JsonObject
from assistant_kit.protocols.user_data import Keeper

RESET = "reset"
"""The name of the entry that says that events are missing: `{"last_event_id": "17"}`. It comes from the log itself, and
its id is the one to go on from."""

Mark: TypeAlias = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event as it is written: its name on the wire and its data."""

    name: str
    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event of a conversation. Ids are whole numbers; from one entry to the next they grow by one."""

    id: int
    name: str
    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the log of a conversation goes.

    `last` is the id of the newest entry and `mark` the one from which a reader goes on who has read the journal: what
    came before is in there. Both are 0 when the log knows nothing of the conversation.
    """

    last: int = 0
    mark: int = 0


class EventWriter(Protocol):
    """Writes the events of one conversation, until somebody else opens it."""

    @property
    def standing(self) -> Standing:
        """How far the log goes, by what this writer knows."""
        ...

    async def append(self, events: Sequence[NewEvent], *, mark: Mark | None = None) -> int:
        """Write events, all or none, and return the id of the last one.

        `mark` moves the place from which a reader goes on who has read the journal: to before these events, as a turn
        begins with them, or after them, as it ends. Either forgets that somebody wanted a turn to be stopped. Raises
        LeaseLost when somebody with a higher fence has opened the conversation since, StoreError; after another error
        than LeaseLost nobody knows whether the events were written: append the same ones again before others, and they
        are not doubled. Where the log has forgotten what it had, ids go on, and the mark stands before these events.
        """
        ...

    async def stop_asked(self) -> None:
        """Return when somebody wants the turn to be stopped, at once if that is so already. Raises StoreError."""
        ...


class EventReader(Protocol):
    """Follows one conversation, from an event on."""

    async def next(self) -> Sequence[Entry]:
        """Return the next entries, at least one: what is kept, and then what comes, as soon as it is there.

        When entries are missing, the first one is RESET. May be cancelled; nothing is lost by it. Raises StoreError:
        ask again, or open another reader.
        """
        ...

    async def aclose(self) -> None:
        """Follow no more; may be called twice."""
        ...


class UserEventLog(Protocol):
    """The events of the conversations of one user."""

    async def open(self, conversation: str, *, fence: int) -> EventWriter:
        """Become the one who writes; those who did so before cannot any more.

        `fence` is that of the writer's lease on the journal: the log takes the word of the newest. Raises LeaseLost
        when somebody with a higher one has opened it, StoreError, InputError.
        """
        ...

    async def standing(self, conversation: str) -> Standing:
        """Return how far the log of a conversation goes. Raises StoreError, InputError."""
        ...

    async def read(self, conversation: str, *, after: int | None = None, limit: int = 1000) -> Sequence[Entry]:
        """Return the first entries after an id, or of those that are kept; none when there are none yet.

        When the log does not know what followed that id, the one entry is RESET. 0 stands for the beginning. Raises
        StoreError, InputError.
        """
        ...

    def follow(self, conversation: str, *, after: int | None = None) -> EventReader:
        """Return a reader for what follows an id, by the rules of `read`. Raises InputError."""
        ...

    async def ask_stop(self, conversation: str) -> None:
        """Tell whoever writes that the turn is to be stopped, and who goes on with it if that worker has died.

        Raises StoreError, InputError.
        """
        ...

    async def forget(self, conversation: str) -> None:
        """Delete the events of a conversation. Raises StoreError, InputError."""
        ...


class EventLog(Keeper, Protocol):
    """Keeps events, each conversation for a while. It connects when it is first used.

    Ids begin at a number taken from the clock, so that they go on when a conversation was forgotten, and what a reader
    has of before is not taken for something of now. `erase_user` deletes the events of a user; `export_user` returns
    nothing, as all that they say is in the journal.
    """

    def for_user(self, user: str) -> UserEventLog:
        """Return the handle through which alone the events of `user` are reached. Raises InputError if empty."""
        ...

    async def aclose(self) -> None:
        """Free what is held; may be called twice."""
        ...
