"""An artifact store around another one, which sees neither bytes nor names.

In the wrapped store a user has three places, each as a user of its own whose name is a hash:

    keys      the user's data keys, wrapped by a master key
    facts     for each artifact its name, media type, size, SHA-256 and the key of its bytes, sealed under a data key
    bytes     for each artifact its bytes, sealed under the artifact's own key

An artifact is there when its facts are: they are put when its bytes are, and deleted before them. So a page of a list
costs a small read for each artifact, and nothing needs to be gathered before it is sent on.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from assistant_kit.artifact_stores._keeping import Keeping
from assistant_kit.artifact_stores._reading import CheckedReader
from assistant_kit.artifact_stores._receiving import blocks
from assistant_kit.artifact_stores._rules import check_names, check_page, place_of
from assistant_kit.artifact_stores.encrypted.facts import (
    LARGEST,
    Facts,
    Place,
    Record,
    kept_as,
    marked,
    new_key,
    new_mark,
    parsed,
    written,
)
from assistant_kit.artifact_stores.encrypted.sealing import Opening, Sealing, sealed_size
from assistant_kit.artifact_stores.encrypted.user_keys import CurrentKey, UserKeys
from assistant_kit.errors import StoreCorrupt, StoreUnavailable
from assistant_kit.protocols.artifact_store import (
    ANY_BYTES,
    LIMIT,
    Artifact,
    ArtifactNotFound,
    ArtifactStore,
    OwnedArtifacts,
)
from assistant_kit.protocols.key_provider import KeyProvider
from assistant_kit.side_by_side import side_by_side

ABANDONED: Final = 86_400.0
"""Seconds after which nobody goes on with bytes that belong to no artifact."""

_AT_ONCE: Final = 16  # reads for one page
_LAST_STEP: Final = 30.0  # seconds that a cancelled call may take so that nothing is left half done
_SETTLED: Final = 60.0  # seconds after which the last step of a put is over, on whichever machine
_PAGE: Final = 1000


class EncryptedArtifactStore(Keeping):
    """Seals what goes into `store` under keys of each user, which the master keys of `keys` wrap.

    `kept` is the wrapped store: use it through this one only. What was put without it is not seen. Its ids are all of
    one length, as those of our stores are. `clock` tells the time, in seconds since 1970.
    """

    def __init__(self, store: ArtifactStore, keys: KeyProvider, *, clock: Callable[[], float] = time.time) -> None:
        self.kept: ArtifactStore = store
        self._keys = UserKeys(keys)
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kept!r})"

    def for_user(self, user: str) -> "EncryptedArtifacts":
        """Return the handle of a user. Raises InputError if empty."""
        return EncryptedArtifacts(user, _Places.of(self.kept, user), self._keys, self._clock)

    async def check(self) -> None:
        """Ask the wrapped store whether it can be used. Raises StoreError."""
        await self.kept.check()

    async def aclose(self) -> None:
        """Close the wrapped store."""
        await self.kept.aclose()

    async def rotate(self, user: str) -> None:
        """Wrap the user's data keys under the newest master key, and make a new one for what follows.

        What was put before stays as it is, and readable. Raises StoreCorrupt when a master key is missing, StoreError;
        may be repeated then.
        """
        await self._keys.renew(user, _Places.of(self.kept, user).keys)

    async def clear(self, user: str) -> int:
        """Delete bytes that belong to no artifact, and return how many they were.

        A process leaves such bytes that dies between its two writes, or is not told what became of the second. Nobody
        can see or open them. Those of the last day stay: they may become an artifact yet. Raises StoreError.
        """
        places, count = _Places.of(self.kept, user), 0
        wanted = {each.name async for each in _every(places.facts)}
        async for each in _every(places.bytes):
            if each.id not in wanted and each.created_at < self._clock() - ABANDONED:
                count += await places.bytes.delete(each.id)
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """What a user has in the wrapped store."""

    keys: OwnedArtifacts
    facts: OwnedArtifacts
    bytes: OwnedArtifacts

    @classmethod
    def of(cls, store: ArtifactStore, user: str) -> "_Places":
        hidden = place_of(user)
        return cls(
            keys=store.for_user(f"keys of {hidden}"),
            facts=store.for_user(f"facts of {hidden}"),
            bytes=store.for_user(f"bytes of {hidden}"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The facts of an artifact as they are kept. `artifact` is what the wrapped store knows of them."""

    artifact: Artifact
    record: Record

    @property
    def id(self) -> str:
        return marked(self.artifact.id, self.record.mark)


class EncryptedArtifacts:
    """The artifacts of one user.

    An id is that of the facts in the wrapped store, and their mark: whoever exchanges them for other facts changes the
    id, and the old one is of nothing.
    """

    def __init__(self, user: str, places: _Places, keys: UserKeys, clock: Callable[[], float]) -> None:
        self._user = user
        self._places = places
        self._keys = keys
        self._clock = clock

    async def put(
        self, data: bytes | AsyncIterable[bytes], *, name: str, media_type: str = ANY_BYTES, limit: int = LIMIT
    ) -> Artifact:
        """Keep bytes: all or nothing, as durable as in the wrapped store.

        Raises ArtifactTooLarge, InputError, StoreError, and what `data` raises.
        """
        check_names(name, media_type)
        async with blocks(data, limit) as gathered:
            current = await self._keys.current(self._user, self._places.keys)
            key = new_key()
            sealing = Sealing(key)
            sealed = await self._places.bytes.put(sealing.sealed(gathered), name="bytes", limit=sealed_size(limit))
        facts = Facts(name=name, media_type=media_type, size=sealing.size, sha256=sealing.sha256, key=key)
        return await self._told(facts, current, sealed.id)

    async def _told(self, facts: Facts, current: CurrentKey, sealed: str) -> Artifact:
        """Make an artifact of what was put.

        When the user is erased meanwhile, so is the artifact, of which nobody knows yet: its data key is gone.
        """
        place = Place(user=self._user, sealed=sealed, mark=new_mark())
        with anyio.move_on_after(_LAST_STEP, shield=True):
            made = await self._places.facts.put(written(facts, current.key, place), name=sealed)
            if not await self._keys.is_kept(self._places.keys, current):
                await self._places.facts.delete(made.id)
                await self._places.bytes.delete(sealed)
            return _artifact(marked(made.id, place.mark), made, facts)
        raise StoreUnavailable("the wrapped artifact store did not answer in time: the artifact was kept or not")

    async def info(self, artifact: str) -> Artifact:
        """Return what is known of an artifact. Raises ArtifactNotFound, StoreError."""
        with _known_as(artifact):
            found = await self._found(artifact)
            return _artifact(artifact, found.artifact, await self._facts(found))

    async def read(self, artifact: str) -> bytes:
        """Return all bytes of an artifact. Raises ArtifactNotFound, StoreError."""
        async with self.open(artifact) as reader:
            return b"".join([piece async for piece in reader])

    @asynccontextmanager
    async def open(self, artifact: str) -> AsyncGenerator[CheckedReader]:
        """Read an artifact in pieces: none that was changed is returned. Raises ArtifactNotFound, StoreError."""
        async with AsyncExitStack() as stack:
            with _known_as(artifact):
                found = await self._found(artifact)
                facts = await self._facts(found)
                sealed = await stack.enter_async_context(self._places.bytes.open(found.artifact.name))
            pieces, opening = aiter(sealed), Opening(facts.key, facts.size)

            async def next_piece() -> bytes:
                with _known_as(artifact), _opening(artifact):
                    return await opening.next_piece(pieces)

            yield CheckedReader(_artifact(artifact, found.artifact, facts), next_piece)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Artifact]:
        """Return artifacts in the order of their ids, behind `after`. Raises StoreError."""
        check_page(limit)
        page = await self._places.facts.list(after=kept_as(after) or after, limit=limit)
        shown: dict[str, Artifact] = {}

        async def look(kept: str) -> None:
            with suppress(ArtifactNotFound):  # deleted meanwhile
                found = await self._kept(kept)
                shown[kept] = _artifact(found.id, found.artifact, await self._facts(found))

        await side_by_side([partial(look, each.id) for each in page], limit=_AT_ONCE)
        return [shown[each.id] for each in page if each.id in shown]

    async def delete(self, artifact: str) -> bool:
        """Delete an artifact, and tell whether there was one. Raises StoreError.

        With the facts goes the key of the bytes: nobody can open these any more, wherever there may be copies.
        """
        try:
            kept = await self._deletable(artifact)
        except ArtifactNotFound:
            return False
        was_there = await self._places.facts.delete(kept.id)
        with anyio.move_on_after(_LAST_STEP, shield=True):
            await self._places.bytes.delete(kept.name)
        return was_there

    async def erase(self) -> int:
        """Delete all artifacts of this user, and return their number. Raises StoreError; may be repeated then.

        What is put at this moment stays whole or goes: who puts it under a key that is gone deletes it, and what had
        been put before the keys went is deleted here, after them.
        """
        self._keys.forget(self._user)
        count = await self._places.facts.erase()
        await self._places.bytes.erase()
        await self._places.keys.erase()
        async for late in _every(self._places.facts):
            count += await self._places.facts.delete(late.id)
            await self._places.bytes.delete(late.name)
        return count

    async def _found(self, artifact: str) -> _Found:
        """Return the record of an artifact. Raises ArtifactNotFound, StoreCorrupt."""
        kept = kept_as(artifact)
        if kept is None:
            raise ArtifactNotFound(artifact)
        found = await self._kept(kept)
        if found.id != artifact:
            raise ArtifactNotFound(artifact)
        return found

    async def _deletable(self, artifact: str) -> Artifact:
        """Return what is kept of an artifact, if it is damaged as well. Raises ArtifactNotFound."""
        try:
            return (await self._found(artifact)).artifact
        except StoreCorrupt:
            return await self._places.facts.info(kept_as(artifact) or artifact)

    async def _kept(self, kept: str) -> _Found:
        async with self._places.facts.open(kept) as reader:
            if reader.artifact.size > LARGEST:
                raise StoreCorrupt(f"the facts of an artifact are kept in {kept!r}, and this is none: it is damaged")
            text = b"".join([piece async for piece in reader])
        with _opening(kept):
            return _Found(artifact=reader.artifact, record=parsed(text))

    async def _facts(self, found: _Found) -> Facts:
        """Return what a record says. Raises ArtifactNotFound, StoreCorrupt."""
        key = await self._keys.find(self._user, self._places.keys, found.record.key_id)
        if key is None:
            await self._places.facts.info(found.artifact.id)  # the user may be erased at this moment
            if found.artifact.created_at > self._clock() - _SETTLED:  # who has put it is about to delete it
                raise ArtifactNotFound(found.id)
            raise StoreCorrupt(f"artifact {found.id!r} does not open: the data key {found.record.key_id} is not there")
        with _opening(found.id):
            return found.record.opened(key, Place(user=self._user, sealed=found.artifact.name, mark=found.record.mark))


def _artifact(name: str, made: Artifact, facts: Facts) -> Artifact:
    return Artifact(
        id=name,
        name=facts.name,
        media_type=facts.media_type,
        size=facts.size,
        sha256=facts.sha256,
        created_at=made.created_at,
    )


async def _every(owned: OwnedArtifacts) -> AsyncIterator[Artifact]:
    after = ""
    while page := await owned.list(after=after, limit=_PAGE):
        for each in page:
            yield each
        after = page[-1].id


@contextmanager
def _known_as(artifact: str) -> Generator[None]:
    """Name the artifact as its user knows it."""
    try:
        yield
    except ArtifactNotFound as error:
        raise ArtifactNotFound(artifact) from error


@contextmanager
def _opening(artifact: str) -> Generator[None]:
    try:
        yield
    except ValueError as error:
        raise StoreCorrupt(f"artifact {artifact!r} does not open: {error}") from error
