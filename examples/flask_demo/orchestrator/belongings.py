"""What is kept of users beside conversations, so that the assistant's erasure and export reach it as well."""

from collections.abc import AsyncIterator, Sequence

from anyio import to_thread

from assistant_kit import UserData
from assistant_kit.protocols.policy import Call, Proceed, T
from assistant_kit.protocols.user_data import Keeper, Kept
from examples.flask_demo.orchestrator.users import Users


class Belongings:
    """A policy that lets every call through: the assistant asks its policies for what they keep of a user."""

    def __init__(self, keepers: Sequence[Keeper]) -> None:
        """Take what keeps data of users: files, events, counts, the table of users."""
        self._keepers = keepers

    async def around(self, call: Call, proceed: Proceed[T]) -> T:
        """Make the call."""
        return await proceed(call)

    async def erase_user(self, user: str) -> None:
        """Erase what is kept of a user. Raises StoreError; may be repeated then."""
        for keeper in self._keepers:
            await keeper.erase_user(user)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return all that `erase_user` would erase. Raises StoreError."""
        for keeper in self._keepers:
            async for kept in keeper.export_user(user):
                yield kept


class KeptUsers:
    """The table of users, as what keeps data of users."""

    def __init__(self, users: Users) -> None:
        """Take the table."""
        self._users = users

    async def erase_user(self, user: str) -> None:
        """Delete somebody."""
        await to_thread.run_sync(self._users.forget, user)

    async def export_user(self, user: str) -> AsyncIterator[Kept]:
        """Return what is known of somebody."""
        found = await to_thread.run_sync(self._users.get, user)
        if found is not None:
            yield UserData(
                place="users", name=user, data={"first_seen": found.first_seen, "last_seen": found.last_seen}
            )
