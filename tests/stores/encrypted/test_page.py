"""The code that docs/encryption.md shows."""

from pathlib import Path

import pytest

from assistant_kit.stores.encrypted import EncryptedStore, MasterKeys
from assistant_kit.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


async def test_a_store_is_encrypted_and_its_keys_are_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chat.db"
    # --8<-- [start:generate]
    line = MasterKeys.generate("2026-11")
    # --8<-- [end:generate]
    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", line)

    # --8<-- [start:open]
    store = EncryptedStore(SQLiteStore(path), MasterKeys.from_environment())
    # --8<-- [end:open]
    await store.for_user("u1").release(await store.for_user("u1").claim("c1", owner="w", ttl=60))
    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", f"{MasterKeys.generate('2027-05')} {line}")
    await store.aclose()
    store = EncryptedStore(SQLiteStore(path), MasterKeys.from_environment())

    # --8<-- [start:rotate]
    after = ""
    while users := await store.kept.users(after=after):  # of the wrapped store: all who have keys
        for user in users:
            await store.rotate(user)
        after = users[-1]
    # --8<-- [end:rotate]

    monkeypatch.setenv("ASSISTANT_KIT_MASTER_KEYS", line)
    assert [info.conversation for info in await store.for_user("u1").conversations()] == ["c1"]
    await store.aclose()
