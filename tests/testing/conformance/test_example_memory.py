from pathlib import Path

import pytest

from assistant_kit.indexes.memory import MemoryIndex
from assistant_kit.memories.indexed import IndexMemory
from assistant_kit.testing.conformance.memory import MemoryConformance
from assistant_kit.testing.conformance.memory_workbench import remember_later
from tests.testing.conformance.plain_memory import PlainMemory


# --8<-- [start:suite]
@pytest.mark.anyio
class TestPlainMemory(MemoryConformance):
    durable = False

    async def open_memory(self, folder: Path) -> PlainMemory:  # noqa: ARG002  (memory has no place)
        return PlainMemory()


# --8<-- [end:suite]


class OneLoop(TestPlainMemory):
    """A memory whose object belongs to one event loop."""

    __test__ = False
    serves_event_loops = False


@pytest.mark.anyio
async def test_a_memory_of_one_event_loop_is_not_asked_from_several() -> None:
    suite, memory = OneLoop(), PlainMemory()
    with pytest.raises(pytest.skip.Exception):
        await suite.test_several_event_loops_share_a_memory(memory.for_user("alice"), "asyncio")


@pytest.mark.anyio
async def test_where_the_clock_stands_still_a_text_is_remembered_until_it_goes_on() -> None:
    times = iter([1.0, 1.0, 1.0, 2.0])
    user = IndexMemory(MemoryIndex(), now=lambda: next(times)).for_user("alice")
    first = await user.remember("first")
    assert (await remember_later(user, "second", than=first.updated_at)).updated_at == 2.0
