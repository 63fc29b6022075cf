"""The code that docs/export.md shows."""

from pathlib import Path

import pytest

from assistant_kit.protocols.store import Append, NewRecord, UserStore
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.transfer import export_conversation, export_user, import_lines

pytestmark = pytest.mark.anyio


async def talked(store: UserStore) -> UserStore:
    lease = await store.claim("c1", owner="w", ttl=60)
    record = NewRecord(record_id="r1", kind="note", body=b'{"v":1}')
    await store.append(Append(lease=lease, expected_seq=0, records=[record], state="idle", open_turn=None))
    await store.release(lease)
    return store


async def test_a_user_is_exported_to_a_file_and_imported_from_it(tmp_path: Path) -> None:
    path = tmp_path / "u1.jsonl"
    journals = await talked(MemoryStore(audit=True).for_user("u1"))
    others = MemoryStore().for_user("u1")

    # --8<-- [start:export]
    with path.open("w", encoding="utf-8") as file:
        async for line in export_user(journals):
            file.write(line)
    # --8<-- [end:export]
    # --8<-- [start:import]
    with path.open(encoding="utf-8") as file:
        names = await import_lines(others, file)
    # --8<-- [end:import]

    assert names == ["c1"]
    assert await others.locate("c1", "r1") == 1
    assert '"line":"audit"' in path.read_text(encoding="utf-8")


async def test_one_conversation_is_exported() -> None:
    journals = await talked(MemoryStore().for_user("u1"))

    # --8<-- [start:one]
    lines = [line async for line in export_conversation(journals, "c1")]
    # --8<-- [end:one]

    assert len(lines) == 4
