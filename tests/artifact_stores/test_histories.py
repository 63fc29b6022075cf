"""Random histories of two users on every store, each compared with dictionaries."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias
from uuid import uuid4

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant_kit.artifact_stores.folder import FolderArtifactStore
from assistant_kit.artifact_stores.memory import MemoryArtifactStore
from assistant_kit.artifact_stores.s3 import S3ArtifactStore
from assistant_kit.protocols.artifact_store import Artifact, ArtifactNotFound, ArtifactStore, ArtifactTooLarge
from tests.artifact_stores.encrypted.places import in_folder
from tests.artifact_stores.s3_place import s3_store
from tests.services.s3 import S3Server

Open: TypeAlias = Callable[[Path], ArtifactStore]
USERS = ["alice", "bob"]
LIMIT = 40
STEPS = st.lists(
    st.tuples(
        st.sampled_from(USERS),
        st.sampled_from(["put", "put", "pieces", "read", "delete", "list", "erase"]),
        st.binary(max_size=LIMIT + 10),
        st.integers(0, 7),
    ),
    max_size=25,
)


@pytest.fixture(scope="module", params=["memory", "folder", "s3", "encrypted"])
def opener(request: pytest.FixtureRequest) -> Open:
    match request.param:
        case "memory":
            return lambda _: MemoryArtifactStore()
        case "folder":
            return lambda folder: FolderArtifactStore(folder / "files")
        case "encrypted":
            return lambda folder: in_folder(folder / "files")
        case _:
            server: S3Server = request.getfixturevalue("s3_server")
            return lambda _: S3ArtifactStore(s3_store(server, uuid4().hex))


class History:
    """What has been put and not deleted, and by whom."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.kept: dict[str, dict[str, tuple[Artifact, bytes]]] = {user: {} for user in USERS}
        self.ids: list[str] = ["a_" + "0" * 26]

    async def step(self, user: str, what: str, data: bytes, number: int) -> None:
        owned, mine = self.store.for_user(user), self.kept[user]
        some = self.ids[number % len(self.ids)]  # of whichever user, deleted or not
        match what:
            case "put" | "pieces":
                given = data if what == "put" else _pieces(data, number + 1)
                if len(data) > LIMIT:
                    with pytest.raises(ArtifactTooLarge):
                        await owned.put(given, name="x", limit=LIMIT)
                    return
                artifact = await owned.put(given, name=f"{number}", limit=LIMIT)
                mine[artifact.id] = artifact, data
                self.ids.append(artifact.id)
            case "read" if some in mine:
                assert (await owned.info(some), await owned.read(some)) == mine[some]
            case "read":
                with pytest.raises(ArtifactNotFound):
                    await owned.read(some)
            case "delete":
                assert await owned.delete(some) == (mine.pop(some, None) is not None)
            case "erase":
                assert await owned.erase() == len(mine)
                mine.clear()
            case _:
                found = await owned.list(after=some, limit=number + 1)
                assert [each.id for each in found] == sorted(name for name in mine if name > some)[: number + 1]

    async def end(self) -> None:
        for user, mine in self.kept.items():
            owned = self.store.for_user(user)
            assert {each.id: each for each in await owned.list()} == {name: info for name, (info, _) in mine.items()}
            for name, (_, data) in mine.items():
                assert await owned.read(name) == data


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@given(steps=STEPS)
@settings(max_examples=10)
def test_a_store_behaves_as_dictionaries_would(opener: Open, steps: list[tuple[str, str, bytes, int]]) -> None:
    async def live(folder: Path) -> None:
        with anyio.fail_after(60):
            history = History(opener(folder))
            for step in steps:
                await history.step(*step)
            await history.end()

    with TemporaryDirectory() as folder:
        anyio.run(live, Path(folder), backend="trio" if len(steps) % 2 else "asyncio")
