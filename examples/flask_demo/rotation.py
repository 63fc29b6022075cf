"""Putting what is kept of users under the newest master key, so that an older one can be thrown away."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TextIO

from assistant_kit import AssistantKitError


class Rotated(Protocol):
    """What wraps the data keys of each user under a master key."""

    async def rotate(self, user: str) -> None:
        """Wrap the keys of a user under the newest master key. Raises StoreError, DecryptionFailed."""
        ...


async def rotate_users(users: Iterable[str], places: Sequence[Rotated], out: TextIO) -> bool:
    """Rotate users one by one, say who could not be, and tell whether all could.

    It may be done while the service runs, and again after a failure.
    """
    count = failed = 0
    for user in users:
        count += 1
        try:
            for place in places:
                await place.rotate(user)
        except AssistantKitError as error:
            failed += 1
            out.write(f"FAILED  {user}: {error}\n")
    out.write(f"users={count} failed={failed}\n")
    return not failed
