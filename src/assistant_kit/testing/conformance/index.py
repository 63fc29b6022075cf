"""The suite that every search index passes."""

from assistant_kit.testing.conformance.index_concurrency import IndexConcurrency
from assistant_kit.testing.conformance.index_deletion import IndexDeletion
from assistant_kit.testing.conformance.index_filters import IndexFilters
from assistant_kit.testing.conformance.index_isolation import IndexIsolation
from assistant_kit.testing.conformance.index_nearest import IndexNearest
from assistant_kit.testing.conformance.index_pages import IndexPages
from assistant_kit.testing.conformance.index_places import IndexPlaces
from assistant_kit.testing.conformance.index_puts import IndexPuts
from assistant_kit.testing.conformance.index_words import IndexWords
from assistant_kit.testing.conformance.index_workbench import place_name

__all__ = ["IndexConformance", "place_name"]


class IndexConformance(
    IndexPuts,
    IndexWords,
    IndexNearest,
    IndexFilters,
    IndexPages,
    IndexDeletion,
    IndexIsolation,
    IndexConcurrency,
    IndexPlaces,
):
    """What `protocols/search_index.py` promises, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyIndex(IndexConformance):
            async def open_index(self, folder: Path) -> SearchIndex:
                return MyIndex(folder / "passages.my")

    An index on a server names its place by `place_name(folder)`, and removes it in `remove_place`. Set `durable =
    False` for an index that ends with its object, `finds_words = False` for one that finds vectors alone,
    `serves_event_loops = False` for one whose object belongs to one event loop.
    """
