"""Encrypted stores whose files a test can look into and change, and stores that are disturbed at a chosen moment."""

import json
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from itertools import count
from pathlib import Path

from assistant_kit.artifact_stores._keeping import Keeping
from assistant_kit.artifact_stores._rules import place_of
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.artifact_stores.folder import FolderArtifactStore
from assistant_kit.artifact_stores.memory import MemoryArtifactStore
from assistant_kit.protocols.artifact_store import (
    ANY_BYTES,
    LIMIT,
    Artifact,
    ArtifactReader,
    ArtifactStore,
    OwnedArtifacts,
)
from assistant_kit.stores.encrypted import MasterKeys

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
KEYS = MasterKeys({"old": OLD})
BOTH = MasterKeys({"new": NEW, "old": OLD})
ONLY_NEW = MasterKeys({"new": NEW})

_SECONDS = count(1_795_000_000)
LATER = 4e9  # seconds: long after whatever was put

Meddle = Callable[[str, str], Awaitable[None]]


def in_folder(root: Path, keys: MasterKeys = KEYS) -> EncryptedArtifactStore:
    """Return a store that remembers nothing of what others did."""
    return EncryptedArtifactStore(FolderArtifactStore(root, clock=_clock), keys, clock=lambda: LATER)


def _clock() -> float:
    """Return another second each time, so that ids are in the order in which they were made."""
    return float(next(_SECONDS))


def kept(root: Path, kind: str, user: str = "ann") -> list[Path]:
    """Return the folders of `keys`, `facts` or `bytes` of a user, in the order in which they were put."""
    return sorted((root / place_of(f"{kind} of {place_of(user)}")).glob("a_*"))


def inside(store: ArtifactStore, kind: str, user: str = "ann") -> OwnedArtifacts:
    """Return `keys`, `facts` or `bytes` of a user in the wrapped store."""
    return store.for_user(f"{kind} of {place_of(user)}")


def files(root: Path) -> list[Path]:
    """Return all files that are there."""
    return sorted(path for path in root.rglob("*") if path.is_file())


def rewrite(folder: Path, data: bytes) -> None:
    """Change what is kept, as one does who knows our files: the hash beside it is that of the changed bytes."""
    info = json.loads((folder / "info.json").read_text())
    (folder / "bytes").write_bytes(data)
    (folder / "info.json").write_text(json.dumps({**info, "size": len(data), "sha256": sha256(data).hexdigest()}))


def exchange(one: Path, other: Path) -> None:
    """Let two folders have each other's place."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


class Meddled(Keeping):
    """A store in memory that calls `meddle(kind, method)` before each request to `keys`, `facts` and `bytes`."""

    def __init__(self) -> None:
        self.memory: MemoryArtifactStore = MemoryArtifactStore(clock=_clock)
        self.meddle: Meddle = leave_alone
        self.requests: list[str] = []

    def for_user(self, user: str) -> "MeddledArtifacts":
        return MeddledArtifacts(self, user.partition(" ")[0], self.memory.for_user(user))

    async def check(self) -> None:
        await self.memory.check()

    async def aclose(self) -> None:
        await self.memory.aclose()

    async def request(self, kind: str, method: str) -> None:
        self.requests.append(f"{method} {kind}")
        await self.meddle(kind, method)


class MeddledArtifacts:
    def __init__(self, store: Meddled, kind: str, owned: OwnedArtifacts) -> None:
        self._store = store
        self._kind = kind
        self._owned = owned

    async def put(
        self, data: bytes | AsyncIterable[bytes], *, name: str, media_type: str = ANY_BYTES, limit: int = LIMIT
    ) -> Artifact:
        await self._store.request(self._kind, "put")
        return await self._owned.put(data, name=name, media_type=media_type, limit=limit)

    async def info(self, artifact: str) -> Artifact:
        await self._store.request(self._kind, "info")
        return await self._owned.info(artifact)

    async def read(self, artifact: str) -> bytes:
        await self._store.request(self._kind, "read")
        return await self._owned.read(artifact)

    def open(self, artifact: str) -> AbstractAsyncContextManager[ArtifactReader]:
        self._store.requests.append(f"open {self._kind}")
        return self._owned.open(artifact)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Artifact]:
        await self._store.request(self._kind, "list")
        return await self._owned.list(after=after, limit=limit)

    async def delete(self, artifact: str) -> bool:
        await self._store.request(self._kind, "delete")
        return await self._owned.delete(artifact)

    async def erase(self) -> int:
        await self._store.request(self._kind, "erase")
        return await self._owned.erase()


async def leave_alone(_kind: str, _method: str) -> None:
    """Do nothing."""
