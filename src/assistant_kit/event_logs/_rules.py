"""What every log decides in the same way, as functions of values."""

from typing import Final, Self

from assistant_kit.errors import ConfigurationError, InputError
from assistant_kit.protocols.event_log import RESET, Entry, Standing
from assistant_kit.protocols.user_data import Kept

MAX_NAME: Final = 1000
"""Characters of a user or a conversation."""

FIRST_AFTER_NOTHING: Final = 0
"""The id of a reader who has loaded a conversation of which the log knew nothing."""


class Nothing:
    """What is exported of a user: what events say is in the journal."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Kept:
        raise StopAsyncIteration


def new_era(now: float) -> int:
    """Return the number after which the ids of a conversation begin that nothing is known of.

    Milliseconds since 1970: as no conversation has 1000 events each second of its life, ids that were given before it
    was forgotten are smaller.
    """
    return int(now * 1000)


def is_known(after: int, *, start: int, floor: int, last: int) -> bool:
    """Tell whether all that followed an id is still there.

    `start` is the id before the first that was ever given, `floor` that before the first that is kept.
    """
    if after == FIRST_AFTER_NOTHING:
        return floor == start
    return floor <= after <= last


def reset(standing: Standing, *, floor: int) -> Entry:
    """Return the entry that says that events are missing; it leads to the mark, if what follows that is there."""
    to = standing.mark if standing.mark >= floor else standing.last
    return Entry(id=to, name=RESET, data={"last_event_id": str(to)})


def check_keep(seconds: float, most: int) -> None:
    """Refuse a log that would keep nothing. Raises ConfigurationError."""
    if not seconds > 0 or most < 1:
        raise ConfigurationError(f"keep is a positive number of seconds and most at least 1, not {seconds!r}, {most!r}")


def check_read(conversation: str, after: int | None, limit: int = 1) -> None:
    """Refuse what cannot be read. Raises InputError."""
    check_name("conversation", conversation)
    if limit < 1 or (after is not None and after < 0):
        raise InputError(f"after is an id, at least 0, and limit at least 1, not {after!r} and {limit!r}")


def check_name(what: str, name: str) -> None:
    """Refuse a name that some place cannot hold. Raises InputError."""
    if not 0 < len(name) <= MAX_NAME:
        raise InputError(f"a {what} has 1 to {MAX_NAME} characters, and this one {len(name)}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} {name!r} has characters that cannot be stored: lone surrogates") from None
