import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from assistant_kit.artifact_stores import folder as folder_module
from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores._folders import ABANDONED, clear, move
from assistant_kit.artifact_stores.folder import FolderArtifactStore
from assistant_kit.errors import ConfigurationError, StoreCorrupt, StoreError, StoreUnavailable, UnknownStore
from assistant_kit.protocols.artifact_store import ArtifactNotFound, ArtifactStore
from assistant_kit.testing.conformance.artifact_store import ArtifactStoreConformance
from assistant_kit.testing.conformance.artifact_store_workbench import NEVER_MADE, PATIENCE, pieces_of

pytestmark = pytest.mark.anyio


# --8<-- [start:suite]
class TestFolderArtifactStore(ArtifactStoreConformance):
    async def open_store(self, folder: Path) -> ArtifactStore:
        return FolderArtifactStore(folder / "files")


# --8<-- [end:suite]


def unfinished(root: Path) -> list[str]:
    return sorted(entry.name for entry in (root / ".unfinished").iterdir())


def the_folder_of(root: Path, artifact: str) -> Path:
    (found,) = root.glob(f"*/{artifact}")
    return found


async def test_everything_is_for_its_owner_alone_and_under_no_name_of_a_user(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "files"
    artifact = await FolderArtifactStore(root).for_user("../alice").put(b"x", name="../secret.txt")

    found = the_folder_of(root, artifact.id)
    assert sorted(entry.name for entry in found.iterdir()) == ["bytes", "info.json"]
    assert (found / "bytes").read_bytes() == b"x"
    assert {stat.S_IMODE(place.stat().st_mode) for place in (root, found, found.parent)} == {0o700}
    assert "alice" not in str(found)
    assert "secret" not in str(found)
    assert unfinished(root) == []


async def test_what_a_process_that_died_has_left_is_not_seen_and_is_cleared_after_a_day(tmp_path: Path) -> None:
    root = tmp_path / "files"
    alice = FolderArtifactStore(root).for_user("alice")
    await alice.put(b"x", name="x")
    for name in ("new-old", "new-young", "gone-half"):
        (root / ".unfinished" / name).mkdir()
        (root / ".unfinished" / name / "bytes").write_bytes(b"left behind")
    (root / ".unfinished" / "new-a file").write_bytes(b"whose?")
    for place in (root / ".unfinished" / "new-old" / "bytes", root / ".unfinished" / "new-old"):
        changed = place.stat().st_mtime - ABANDONED - 60
        os.utime(place, (changed, changed))

    await alice.put(b"y", name="y")

    assert unfinished(root) == ["new-a file", "new-young"]
    assert [each.name for each in await alice.list()] == ["x", "y"]


async def test_bytes_that_come_slowly_are_not_taken_for_abandoned(tmp_path: Path) -> None:
    root = tmp_path / "files"
    store = FolderArtifactStore(root)
    seen: list[list[str]] = []

    async def slowly() -> object:
        yield b"x" * 300_000
        (begun,) = (root / ".unfinished").iterdir()
        os.utime(begun, (1.0, 1.0))  # begun long ago; the last bytes have just come
        await store.for_user("bob").put(b"his", name="y")
        seen.append(unfinished(root))
        yield b"y"

    artifact = await store.for_user("alice").put(slowly(), name="x")  # pyright: ignore[reportArgumentType]  (it yields)
    assert len(seen[0]) == 1
    assert artifact.size == 300_001


def test_two_may_clear_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone-1").mkdir()
    monkeypatch.setattr(shutil, "rmtree", _twice(shutil.rmtree))  # somebody else is a little faster

    clear(tmp_path)

    assert list(tmp_path.iterdir()) == []


def _twice(remove: Callable[[Path], None]) -> Callable[[Path], None]:
    def twice(path: Path) -> None:
        remove(path)
        remove(path)

    return twice


async def test_damage_is_said_and_nothing_damaged_is_returned(tmp_path: Path) -> None:
    root = tmp_path / "files"
    alice = FolderArtifactStore(root).for_user("alice")
    ids = [(await alice.put(b"x" * 300_000, name="x")).id for _ in range(3)]
    changed, without_info, without_bytes = (the_folder_of(root, name) for name in ids)
    (changed / "bytes").write_bytes(b"x" * 299_999 + b"y")
    (without_info / "info.json").write_text("[]")
    (without_bytes / "bytes").unlink()

    with pytest.raises(StoreCorrupt):
        await alice.read(ids[0])
    for look in (alice.info(ids[1]), alice.read(ids[1]), alice.list()):
        with pytest.raises(StoreCorrupt):
            await look
    with pytest.raises(ArtifactNotFound):
        await alice.read(ids[2])


async def test_a_place_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.write_text("a file")
    store = FolderArtifactStore(root)
    alice = store.for_user("alice")

    for ask in (
        store.check(),
        alice.put(b"x", name="x"),
        alice.info(NEVER_MADE),
        alice.list(),
        alice.delete(NEVER_MADE),
        alice.erase(),
    ):
        with pytest.raises(StoreUnavailable):
            await ask
    assert root.read_text() == "a file"


async def test_a_folder_that_cannot_be_written_to_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderArtifactStore(tmp_path)
    await store.check()
    monkeypatch.setattr(os, "access", _never)  # root may write anywhere

    with pytest.raises(StoreUnavailable):
        await store.check()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a disk that is always full")
@pytest.mark.parametrize("size", [1, 3_000_000])
async def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    alice = FolderArtifactStore(tmp_path).for_user("alice")
    monkeypatch.setattr(folder_module, "_BYTES", "full")
    await alice.put(b"x", name="x")
    make = Path.mkdir

    def make_full(path: Path, mode: int = 0o777, **options: bool) -> None:
        make(path, mode, **options)
        if path.name.startswith("new-"):
            (path / "full").symlink_to("/dev/full")

    monkeypatch.setattr(Path, "mkdir", make_full)
    monkeypatch.setattr(Path, "open", _without_x(Path.open))

    with pytest.raises(StoreUnavailable) as caught:
        await alice.put(pieces_of(b"x" * size), name="y")

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert [each.name for each in await alice.list()] == ["x"]
    assert unfinished(tmp_path) == []


def _never(_path: Path, _mode: int) -> bool:
    return False


def _without_x(opened: Callable[[Path, str], object]) -> Callable[[Path, str], object]:
    """Open what is there already: the device."""

    def open_any(path: Path, mode: str = "r") -> object:
        return opened(path, mode.replace("x", "w"))

    return open_any


def test_an_artifact_finds_its_place_while_the_user_is_erased(tmp_path: Path) -> None:
    place = tmp_path / "user" / "artifact"
    stop = threading.Event()

    def erase() -> None:
        while not stop.is_set():
            shutil.rmtree(place.parent, ignore_errors=True)

    eraser = threading.Thread(target=erase)
    eraser.start()
    try:
        for number in range(10):
            new = tmp_path / f"new-{number}"
            new.mkdir()
            move(new, place)
            assert not new.exists()
    finally:
        stop.set()
        eraser.join()


def test_what_is_not_there_cannot_be_moved(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "new", tmp_path / "user" / "artifact")


_PUTTING = """
import sys, anyio
from assistant_kit.artifact_stores import make_artifact_store

async def main():
    alice = make_artifact_store(sys.argv[1]).for_user("alice")
    while True:
        made = await alice.put(bytes([65]) * 100_000, name="x")
        print(made.id, flush=True)
        await alice.delete((await alice.list(limit=1))[0].id)

anyio.run(main)
"""


def test_a_process_that_is_killed_leaves_whole_artifacts_only(tmp_path: Path) -> None:
    address = (tmp_path / "files").as_uri()
    alice = make_artifact_store(address).for_user("alice")

    async def look() -> None:
        for artifact in await alice.list():
            assert await alice.read(artifact.id) == b"A" * 100_000

    for lines in (1, 2):
        with subprocess.Popen([sys.executable, "-c", _PUTTING, address], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(lines * 7):
                assert process.stdout.readline()
            process.send_signal(signal.SIGKILL)

        anyio.run(look)


async def test_cancelling_waits_for_the_disk_and_leaves_nothing_behind(tmp_path: Path) -> None:
    alice = FolderArtifactStore(tmp_path).for_user("alice")
    with anyio.fail_after(PATIENCE), anyio.CancelScope() as scope:
        scope.cancel()
        await alice.put(b"x", name="x")

    assert scope.cancelled_caught
    assert list(await alice.list()) == []


@pytest.mark.parametrize(
    ("address", "path"), [("file:///var/files", "/var/files"), ("file:///a%20b/%3F%2e", "/a b/?."), ("file:///", "/")]
)
def test_an_address_names_a_folder(address: str, path: str) -> None:
    assert repr(make_artifact_store(address)) == f"FolderArtifactStore({path!r})"


@pytest.mark.parametrize("address", ["file://", "file://files", "file:///a?b", "file:///a%00b", "file://host/a"])
def test_an_address_that_names_no_folder_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        make_artifact_store(address)


@pytest.mark.parametrize("address", ["", "files", "file:files", "http://host/", "S3://bucket", "memory:x"])
def test_an_address_of_nothing_that_is_known_is_refused(address: str) -> None:
    with pytest.raises(UnknownStore):
        make_artifact_store(address)


async def test_errors_of_the_file_system_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = FolderArtifactStore(tmp_path).for_user("alice")
    artifact = await alice.put(b"x", name="x")

    def fails(*_: object) -> int:
        raise OSError(errno.EIO, "the disk has failed")

    monkeypatch.setattr(os, "fsync", fails)
    for ask in (alice.put(b"x", name="y"), alice.delete(artifact.id), alice.erase()):
        with pytest.raises(StoreError):
            await ask
