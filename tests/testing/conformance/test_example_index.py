from pathlib import Path

import pytest

from assistant_kit.testing.conformance.index import IndexConformance
from tests.testing.conformance.plain_index import PlainIndex


# --8<-- [start:suite]
@pytest.mark.anyio
class TestPlainIndex(IndexConformance):
    durable = False
    finds_words = False

    async def open_index(self, folder: Path) -> PlainIndex:  # noqa: ARG002  (memory has no place)
        return PlainIndex()


# --8<-- [end:suite]
