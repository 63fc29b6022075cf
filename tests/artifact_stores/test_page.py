"""The code that docs/artifacts.md shows."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from obstore.store import S3Store

from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.artifact_stores.folder import FolderArtifactStore
from assistant_kit.artifact_stores.s3 import S3ArtifactStore
from assistant_kit.documents.library import Documents
from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.protocols.artifact_store import ArtifactNotFound, ArtifactTooLarge
from assistant_kit.protocols.user_data import UserData
from assistant_kit.stores.encrypted import MasterKeys
from assistant_kit.testing.no_leak import assert_no_leak

pytestmark = pytest.mark.anyio


async def test_a_file_is_kept_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    # --8<-- [start:use]
    store = FolderArtifactStore(folder)
    files = store.for_user("ann")

    report = await files.put(b"All is well.", name="report.txt", media_type="text/plain")
    about = f"{report.id}: {report.name}, {report.size} bytes, SHA-256 {report.sha256}"

    data = await files.read(report.id)
    newest = (await files.list(limit=100))[-1]
    await files.delete(report.id)
    # --8<-- [end:use]
    assert data == b"All is well."
    assert newest == report
    assert "report.txt, 12 bytes" in about
    with pytest.raises(ArtifactNotFound):
        await files.info(report.id)


async def test_an_upload_is_taken_as_it_comes(tmp_path: Path) -> None:
    files = FolderArtifactStore(tmp_path).for_user("ann")

    async def upload() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 100

    # --8<-- [start:pieces]
    async def keep(pieces: AsyncIterator[bytes]) -> str:
        try:
            kept = await files.put(pieces, name="photo.png", media_type="image/png", limit=10_000_000)
        except ArtifactTooLarge as error:
            return f"The file has more than {error.limit} bytes."
        return kept.id

    async def send(artifact: str) -> int:
        sent = 0
        async with files.open(artifact) as reader:
            async for piece in reader:
                sent += len(piece)
        return sent

    # --8<-- [end:pieces]
    assert await send(await keep(upload())) == 300


async def test_a_file_is_read_into_documents(tmp_path: Path) -> None:
    store, documents = FolderArtifactStore(tmp_path), Documents(MemoryIndex())
    # --8<-- [start:documents]
    files = store.for_user("ann")
    manual = await files.put(b"# Notice\n\nThe notice period is four weeks.", name="manual.md")
    await documents.for_user("ann").add(manual.id, await files.read(manual.id), filename=manual.name)
    # --8<-- [end:documents]
    (found,) = await documents.for_user("ann").search("notice period")
    assert "four weeks" in found.text


def test_a_store_in_s3() -> None:
    # --8<-- [start:s3]
    store = S3ArtifactStore(
        S3Store(
            "my-bucket",
            prefix="assistant/files",
            region="eu-central-1",
            client_options={"timeout": timedelta(seconds=30)},
        )
    )
    same = make_artifact_store("s3://my-bucket/assistant/files")  # the rest stands in AWS_REGION and its like
    # --8<-- [end:s3]
    assert repr(store) == repr(same)


async def test_files_are_encrypted_and_their_keys_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "files"
    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", MasterKeys.generate("2026-11"))
    # --8<-- [start:encrypted]
    store = EncryptedArtifactStore(FolderArtifactStore(folder), MasterKeys.from_environment())
    # --8<-- [end:encrypted]
    made = await store.for_user("ann").put(b"All is well.", name="report.txt")
    assert_no_leak(folder, ["All is well.", "report.txt"])
    # --8<-- [start:rotate]
    for user in ("ann", "bob"):  # all who have files: your application knows them
        await store.rotate(user)
        await store.clear(user)
    # --8<-- [end:rotate]
    assert await store.for_user("ann").read(made.id) == b"All is well."


async def test_a_user_is_erased_and_exported(tmp_path: Path) -> None:
    store = FolderArtifactStore(tmp_path)
    await store.for_user("ann").put(b"x", name="a.txt")
    # --8<-- [start:user]
    told = [each async for each in store.export_user("ann")]  # with the bytes, in base64
    await store.erase_user("ann")
    # --8<-- [end:user]
    assert [each.data["base64"] for each in told if isinstance(each, UserData)] == ["eA=="]
    assert list(await store.for_user("ann").list()) == []
