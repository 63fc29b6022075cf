"""The suite that every memory passes."""

from assistant_kit.testing.conformance.index_workbench import place_name
from assistant_kit.testing.conformance.memory_forgetting import MemoryForgetting
from assistant_kit.testing.conformance.memory_isolation import MemoryIsolation
from assistant_kit.testing.conformance.memory_recall import MemoryRecall
from assistant_kit.testing.conformance.memory_remembering import MemoryRemembering
from assistant_kit.testing.conformance.memory_sharing import MemorySharing

__all__ = ["MemoryConformance", "place_name"]


class MemoryConformance(MemoryRemembering, MemoryRecall, MemoryForgetting, MemoryIsolation, MemorySharing):
    """What `protocols/memory.py` promises, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyMemory(MemoryConformance):
            async def open_memory(self, folder: Path) -> Memory:
                return MyMemory(folder / "memories.my")

    A memory on a server names its place by `place_name(folder)`, and removes it in `remove_place`. Set `durable =
    False` for a memory that ends with its object, `serves_event_loops = False` for one whose object belongs to one
    event loop.
    """
