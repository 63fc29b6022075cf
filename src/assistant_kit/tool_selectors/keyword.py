"""Chooses tools by the words that they share with the question."""

from collections.abc import Callable, Sequence
from typing import Final

from assistant_kit.tool_ranking import KeywordRanking, fitting
from assistant_kit.tool_spec import ToolSpec


class KeywordSelector:
    """Chooses the tools whose names, descriptions and parameters share words with the question.

    It asks nobody. A question that shares no word with any tool gets the
    first ones that fit; so does the room that is left.
    """

    def __init__(self) -> None:
        self._ranking: Final = KeywordRanking()

    async def select(
        self, question: str, tools: Sequence[ToolSpec], *, max_tokens: int, tokens: Callable[[ToolSpec], int]
    ) -> Sequence[ToolSpec]:
        """Return tools of `max_tokens` together at most, in the order in which they were given."""
        return fitting(self._ranking.of(question, tools), tools, max_tokens=max_tokens, tokens=tokens)
