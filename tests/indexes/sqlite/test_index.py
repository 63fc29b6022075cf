from pathlib import Path

import pytest

from assistant_kit.indexes.sqlite import SQLiteIndex
from assistant_kit.protocols.search_index import SearchIndex
from assistant_kit.testing.conformance.index import IndexConformance


# --8<-- [start:suite]
@pytest.mark.anyio
class TestSQLiteIndex(IndexConformance):
    async def open_index(self, folder: Path) -> SearchIndex:
        return SQLiteIndex(folder / "passages.db")


# --8<-- [end:suite]
