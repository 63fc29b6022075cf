"""The file of vectors that a cache keeps, while another process uses it."""

import logging
import sqlite3
from array import array
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from assistant_kit.embedders._vector_file import VectorFile
from assistant_kit.errors import StoreUnavailable

pytestmark = pytest.mark.anyio
KEY, VECTOR = b"key", array("f", [0.0, 1.0])


async def test_a_file_that_another_process_reads_is_not_called_cleared(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    file = VectorFile(path, most=10, busy=0.01)
    await file.write({KEY: VECTOR})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM vectors").fetchone()
        with anyio.fail_after(20), pytest.raises(StoreUnavailable):
            await file.clear()
    await file.clear()
    assert await file.read([KEY]) == {}
    await file.aclose()


async def test_a_file_that_another_process_writes_is_read_and_written_again_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vectors.db"
    file = VectorFile(path, most=10, busy=0.01)
    await file.write({KEY: VECTOR})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await file.write({b"other": VECTOR})
        assert await file.read([KEY, b"other"]) == {KEY: VECTOR}
        other.execute("ROLLBACK")
    await file.write({b"other": VECTOR})
    assert await file.read([KEY, b"other"]) == {KEY: VECTOR, b"other": VECTOR}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    await file.aclose()
