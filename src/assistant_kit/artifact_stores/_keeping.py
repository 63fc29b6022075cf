"""What a store does with all artifacts of a user, by the handle it gives: every store is a keeper of users' data."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Final

from assistant_kit.artifact_stores._rules import exported
from assistant_kit.protocols.artifact_store import ArtifactNotFound, OwnedArtifacts
from assistant_kit.protocols.user_data import UserData

PLACE: Final = "artifacts"
_PAGE: Final = 100


class Keeping(ABC):
    """Erases and exports users."""

    @abstractmethod
    def for_user(self, user: str) -> OwnedArtifacts:
        """Return the handle through which alone the artifacts of `user` are reached. Raises InputError if empty."""

    async def erase_user(self, user: str) -> None:
        """Delete all artifacts of a user. Raises StoreError; may be repeated then."""
        await self.for_user(user).erase()

    async def export_user(self, user: str) -> AsyncIterator[UserData]:
        """Return the artifacts of a user with their bytes, in base64. Raises StoreError."""
        owned, after = self.for_user(user), ""
        while page := await owned.list(after=after, limit=_PAGE):
            for artifact in page:
                try:
                    data = await owned.read(artifact.id)
                except ArtifactNotFound:  # deleted meanwhile
                    continue
                yield UserData(place=PLACE, name=artifact.id, data=exported(artifact, data))
            after = page[-1].id
