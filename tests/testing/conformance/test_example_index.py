from pathlib import Path

import pytest

from assistant_kit.testing.conformance.index import IndexConformance, place_name
from tests.testing.conformance.plain_index import PlainIndex


# --8<-- [start:suite]
@pytest.mark.anyio
class TestPlainIndex(IndexConformance):
    durable = False
    finds_words = False

    async def open_index(self, folder: Path) -> PlainIndex:  # noqa: ARG002  (memory has no place)
        return PlainIndex()


# --8<-- [end:suite]


class OneLoop(TestPlainIndex):
    """An index whose object belongs to one event loop."""

    __test__ = False
    serves_event_loops = False


@pytest.mark.anyio
async def test_an_index_of_one_event_loop_is_not_asked_from_several() -> None:
    suite, index = OneLoop(), PlainIndex()
    with pytest.raises(pytest.skip.Exception):
        await suite.test_several_event_loops_share_an_index(index.for_owner("alice"), "asyncio")


def test_a_place_on_a_server_has_a_name_that_every_server_takes() -> None:
    names = {place_name(Path(folder)) for folder in ("/srv/a", "/srv/b", "/srv/A b/ü")}
    assert len(names) == 3
    assert all(name.isalnum() and name.isascii() and name.islower() and name[0].isalpha() for name in names)
