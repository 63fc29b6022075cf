"""The contract of what chooses tools when not all of them fit into a request."""

from collections.abc import Callable, Sequence
from typing import Protocol

from assistant_kit.tool_spec import ToolSpec


class ToolSelector(Protocol):
    """Chooses the tools that bear on a question. It is asked only when the descriptions of all take too much room."""

    async def select(
        self, question: str, tools: Sequence[ToolSpec], *, max_tokens: int, tokens: Callable[[ToolSpec], int]
    ) -> Sequence[ToolSpec]:
        """Return tools of `max_tokens` together at most, as counted by `tokens`, in the order in which they were given.

        The same question and tools give the same choice, so that a run that is resumed goes on with it. Raises
        ModelError.
        """
        ...
