"""The shared state that a policy was given: an object, or its address."""

from typing import cast

from assistant_kit import registry
from assistant_kit.protocols.shared_state import SharedState


class GivenState:
    """A shared state, made here where it was given by its address: then it is closed here, too.

    Raises UnknownStore, MissingDependency and ConfigurationError for an address that stands for nothing.
    """

    __slots__ = ("_made", "state")

    def __init__(self, given: SharedState | str) -> None:
        """Make what an address stands for; nothing is opened yet."""
        self._made = isinstance(given, str)
        self.state: SharedState = cast("SharedState", registry.make_state(given)) if isinstance(given, str) else given

    async def aclose(self) -> None:
        """Close what was made here."""
        if self._made:
            await self.state.aclose()
