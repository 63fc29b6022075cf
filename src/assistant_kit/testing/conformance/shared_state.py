"""The suite that every place for shared state passes."""

from assistant_kit.testing.conformance.index_workbench import place_name
from assistant_kit.testing.conformance.shared_state_changes import SharedStateChanges
from assistant_kit.testing.conformance.shared_state_sharing import SharedStateSharing

__all__ = ["SharedStateConformance", "place_name"]


class SharedStateConformance(SharedStateChanges, SharedStateSharing):
    """What `protocols/shared_state.py` promises, as tests. Derive a class from it in a test file of yours.

        @pytest.mark.anyio
        class TestMyState(SharedStateConformance):
            async def open_state(self, folder: Path) -> SharedState:
                return MyState(folder / "state.my")

            def elsewhere(self, folder: Path) -> str:
                return f"from mine import MyState; state = MyState({str(folder / 'state.my')!r})"

    `elsewhere` is for places that other processes reach. A place on a server is named by `place_name(folder)`, and
    removed in `remove_place`. Set `durable = False` for a place that ends with its object.
    """
