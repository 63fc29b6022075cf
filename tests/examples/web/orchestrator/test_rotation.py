"""A new master key, and an end to the old one."""

from pathlib import Path

import pytest
from anyio import to_thread

from assistant_kit.artifact_stores import make_artifact_store
from assistant_kit.artifact_stores.encrypted import EncryptedArtifactStore
from assistant_kit.errors import DecryptionFailed, StoreCorrupt
from assistant_kit.maskers.store_vault import StoreVault
from assistant_kit.protocols.masker import Private
from assistant_kit.protocols.store import Append, NewRecord
from assistant_kit.stores.encrypted import MasterKeys
from examples.flask_demo.orchestrator.__main__ import main
from examples.flask_demo.orchestrator.databases import Databases
from examples.flask_demo.orchestrator.users import Users

pytestmark = pytest.mark.anyio
OLD, NEW = (MasterKeys.generate(name) for name in ("old", "new"))


class Kept:
    """What is kept of Ann, as somebody with these master keys sees it."""

    def __init__(self, folder: Path, *keys: str) -> None:
        self.databases = Databases.at(f"sqlite:///{folder / 'web.db'}")
        self._keys = MasterKeys.from_text("\n".join(keys))
        self._files = EncryptedArtifactStore(make_artifact_store((folder / "files").as_uri()), self._keys)

    async def write(self) -> str:
        """Keep a record, a private value and a file, and return the file's id."""
        users = Users(self.databases.users())
        users.open()
        users.seen("ann")
        users.close()
        store = self.databases.journals(self._keys)
        ann = store.for_user("ann")
        lease = await ann.claim("c", owner="w", ttl=5.0)
        record = NewRecord(record_id="r1", kind="k", body=b"hello")
        await ann.append(
            Append(lease=lease, expected_seq=0, records=[record], state="idle", open_turn=None, release=True)
        )
        await store.aclose()
        vault = StoreVault(self.databases.vault(self._keys))
        assert await vault.for_user("ann").hide([Private(kind="EMAIL", value="ann@example.org")]) == ["<EMAIL_1>"]
        await vault.aclose()
        return (await self._files.for_user("ann").put(b"text", name="a.txt", media_type="text/plain")).id

    async def read(self, file: str) -> tuple[bytes, str, bytes]:
        """Return them. Raises DecryptionFailed, StoreCorrupt."""
        store, vault = self.databases.journals(self._keys), StoreVault(self.databases.vault(self._keys))
        try:
            (record,) = await store.for_user("ann").read("c")
            revealed = await vault.for_user("ann").reveal(["<EMAIL_1>"])
            return record.body, revealed["<EMAIL_1>"], await self._files.for_user("ann").read(file)
        finally:
            await store.aclose()
            await vault.aclose()


async def test_after_a_rotation_the_old_master_key_is_not_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (b"hello", "ann@example.org", b"text")
    file = await Kept(tmp_path, OLD).write()
    with pytest.raises((DecryptionFailed, StoreCorrupt)):
        await Kept(tmp_path, NEW).read(file)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'web.db'}")
    monkeypatch.setenv("FILES_URL", (tmp_path / "files").as_uri())

    monkeypatch.setenv("MASTER_KEYS", NEW)
    assert await to_thread.run_sync(main, ["rotate"]) == 1
    assert "FAILED  ann: " in capsys.readouterr().out
    assert await Kept(tmp_path, OLD).read(file) == kept

    monkeypatch.setenv("MASTER_KEYS", f"{NEW}\n{OLD}")
    assert await to_thread.run_sync(main, ["rotate"]) == 0
    assert capsys.readouterr().out == "users=1 failed=0\n"
    assert await Kept(tmp_path, NEW).read(file) == kept


async def test_a_rotation_without_a_place_for_files_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'web.db'}")
    monkeypatch.setenv("MASTER_KEYS", NEW)
    monkeypatch.delenv("FILES_URL", raising=False)
    assert await to_thread.run_sync(main, ["rotate"]) == 2
    assert "FILES_URL" in capsys.readouterr().err
