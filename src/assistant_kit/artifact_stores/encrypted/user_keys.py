"""The data keys of users: wrapped by a master key, in the wrapped store itself, as artifacts that nobody sees.

Each is a small artifact, which bears the key's random id as its name. Renewing puts a copy under the newest master key
beside it, and then deletes the old one. Who erases a user erases the keys before everything else.
"""

import json
import os
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, Self

from assistant_kit.artifact_stores.encrypted.sealing import KEY_BYTES
from assistant_kit.errors import StoreCorrupt
from assistant_kit.protocols.artifact_store import Artifact, ArtifactNotFound, OwnedArtifacts
from assistant_kit.protocols.key_provider import KeyProvider, WrappedKey

KEY_ID_BYTES: Final = 16

_PAGE: Final = 100
_CACHED: Final = 1000  # users whose keys are kept in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class UserKey:
    """A data key with its name, in hexadecimal: both random, so that a name is never used for two keys."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Make a key."""
        return cls(key_id=os.urandom(KEY_ID_BYTES).hex(), secret=os.urandom(KEY_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentKey:
    """The key under which to seal, and the artifact in which it stands."""

    key: UserKey
    artifact: str


class UserKeys:
    """Finds, makes and renews the data keys of users. Threads and event loops may share it.

    `kept` is where the keys of the user stand. Methods raise StoreCorrupt when a key does not open, and StoreError.
    """

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider
        self._lock = Lock()
        self._users: OrderedDict[str, _Known] = OrderedDict()

    async def current(self, user: str, kept: OwnedArtifacts) -> CurrentKey:
        """Return the key under which to seal now, making the first one if there is none."""
        known = self._known(user).current
        if known is not None and await _is_there(kept, known.artifact):
            return known
        seen = ""
        while found := await _every(kept):
            if found[-1].id == seen:
                raise StoreCorrupt(f"the data key {found[-1].name} of user {user!r} has no bytes: it is damaged")
            seen = found[-1].id
            with suppress(ArtifactNotFound):  # renewed or erased meanwhile
                return self._seal_under(user, await self._read(user, kept, found[-1]), seen)
        key = UserKey.new()  # others who begin at this moment make one as well: all of them are kept
        return self._seal_under(user, key, await self._write(user, kept, key))

    async def find(self, user: str, kept: OwnedArtifacts, key_id: str) -> UserKey | None:
        """Return a key by its id; None when it is not kept, or not any more."""
        known = self._known(user).keys.get(key_id)
        if known is not None:
            return known
        seen = ""
        while found := [each for each in await _every(kept) if each.name == key_id]:
            if found[-1].id == seen:
                return None
            seen = found[-1].id
            with suppress(ArtifactNotFound):  # renewed or erased meanwhile
                return await self._read(user, kept, found[-1])
        return None

    async def is_kept(self, kept: OwnedArtifacts, current: CurrentKey) -> bool:
        """Tell whether a key is still there, if under another master key."""
        if await _is_there(kept, current.artifact):
            return True
        return any(each.name == current.key.key_id for each in await _every(kept))

    async def renew(self, user: str, kept: OwnedArtifacts) -> None:
        """Wrap all keys under the newest master key, and make a new one for what follows."""
        found = await _every(kept)
        for old in found:
            with suppress(ArtifactNotFound):  # erased, or renewed by somebody else meanwhile: as below
                new = await self._write(user, kept, await self._read(user, kept, old))
                if not await kept.delete(old.id):
                    await kept.delete(new)
        if found:
            await self._write(user, kept, UserKey.new())

    def forget(self, user: str) -> None:
        """Forget the keys of a user."""
        with self._lock:
            self._users.pop(user, None)

    def _known(self, user: str) -> "_Known":
        with self._lock:
            return self._users.get(user, _NOTHING)

    def _seal_under(self, user: str, key: UserKey, artifact: str) -> CurrentKey:
        current = CurrentKey(key=key, artifact=artifact)
        self._remember(user, key, current)
        return current

    def _remember(self, user: str, key: UserKey, current: CurrentKey | None = None) -> None:
        with self._lock:
            known = self._users.get(user, _NOTHING)
            self._users[user] = _Known(current=current or known.current, keys={**known.keys, key.key_id: key})
            self._users.move_to_end(user)
            if len(self._users) > _CACHED:
                self._users.popitem(last=False)

    async def _write(self, user: str, kept: OwnedArtifacts, key: UserKey) -> str:
        wrapped = await self._provider.wrap(key.secret, context=_context(user, key.key_id))
        shown = {"v": 1, "master": wrapped.master, "wrapped": b64encode(wrapped.data).decode()}
        return (await kept.put(json.dumps(shown).encode(), name=key.key_id)).id

    async def _read(self, user: str, kept: OwnedArtifacts, artifact: Artifact) -> UserKey:
        key_id, text = artifact.name, await kept.read(artifact.id)
        try:
            told = json.loads(text)
            wrapped = WrappedKey(master=told["master"], data=b64decode(told["wrapped"], validate=True))
            secret = await self._provider.unwrap(wrapped, context=_context(user, key_id))
        except (ValueError, TypeError, LookupError) as error:
            raise StoreCorrupt(f"the data key {key_id} of user {user!r} does not open: {error}") from error
        if len(secret) != KEY_BYTES:
            raise StoreCorrupt(f"the data key {key_id} of user {user!r} has {len(secret)} bytes")
        key = UserKey(key_id=key_id, secret=secret)
        self._remember(user, key)
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is in memory of a user."""

    current: CurrentKey | None
    keys: Mapping[str, UserKey]


_NOTHING: Final = _Known(current=None, keys={})


async def _every(kept: OwnedArtifacts) -> Sequence[Artifact]:
    found: list[Artifact] = []
    while page := await kept.list(after=found[-1].id if found else "", limit=_PAGE):
        found += page
    return found


async def _is_there(kept: OwnedArtifacts, artifact: str) -> bool:
    try:
        await kept.info(artifact)
    except ArtifactNotFound:
        return False
    return True


def _context(user: str, key_id: str) -> str:
    return f"assistant_kit artifact key {key_id} of {user}"
