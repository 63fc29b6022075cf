"""The code that docs/audit.md shows."""

from pathlib import Path

import pytest

from assistant_kit.audit import Anchor, anchor, verify
from assistant_kit.stores.sqlite import SQLiteStore
from tests.audit.histories import append

pytestmark = pytest.mark.anyio


async def test_a_user_is_verified_and_an_anchor_is_kept_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, notebook = tmp_path / "chat.db", tmp_path / "anchors.txt"
    # --8<-- [start:open]
    store = SQLiteStore(path, audit=True)
    # --8<-- [end:open]
    await append(store.for_user("u1"), "c1", records=2)

    # --8<-- [start:anchor]
    head = await anchor(store.for_user("u1"))
    notebook.write_text(f"{head}\n")  # for example 12:9f86d081…
    # --8<-- [end:anchor]

    # --8<-- [start:verify]
    noted = Anchor.parse(notebook.read_text())
    report = await verify(store.for_user("u1"), anchor=noted)
    print(report.ok, report.records, "records in", report.conversations, "conversations")  # noqa: T201
    for finding in report.findings:
        print(finding)  # noqa: T201
    # --8<-- [end:verify]

    assert capsys.readouterr().out == "True 2 records in 1 conversations\n"
    await store.aclose()
