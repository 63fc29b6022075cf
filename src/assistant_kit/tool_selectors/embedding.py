"""Chooses tools by what they mean."""

import logging
from collections.abc import Callable, Sequence
from operator import mul
from typing import Final

from assistant_kit.errors import ModelError
from assistant_kit.protocols.embedder import Embedder, Vector
from assistant_kit.tool_ranking import KeywordRanking, fitting, prose_of, ranked
from assistant_kit.tool_spec import ToolSpec

_log = logging.getLogger("assistant_kit.tools")
MOST = 4096
"""Vectors that are kept: 24 MB of 1,536 dimensions."""


class EmbeddingSelector:
    """Chooses the tools whose descriptions mean most nearly what the question does.

    The vectors of tools are kept by their content, so that in the long run one text, the question, is embedded for a
    choice. When the embedder fails, the choice is made by words, and a warning is logged. The embedder is not closed.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder: Final = embedder
        self._by_words: Final = KeywordRanking()
        self._known: dict[str, Vector] = {}

    async def select(
        self, question: str, tools: Sequence[ToolSpec], *, max_tokens: int, tokens: Callable[[ToolSpec], int]
    ) -> Sequence[ToolSpec]:
        """Return tools of `max_tokens` together at most, in the order in which they were given."""
        try:
            ranking = await self._ranking(question, tools)
        except ModelError as error:
            _log.warning("tools are chosen by their words: %s cannot be asked: %s", self._embedder.name, error)
            ranking = self._by_words.of(question, tools)
        return fitting(ranking, tools, max_tokens=max_tokens, tokens=tokens)

    async def _ranking(self, question: str, tools: Sequence[ToolSpec]) -> Sequence[int]:
        texts = [prose_of(tool) for tool in tools]
        vectors = await self._vectors(texts)
        (asked,) = await self._embedder.embed([question], purpose="query")
        return ranked([sum(map(mul, asked, vectors[text])) for text in texts])

    async def _vectors(self, texts: Sequence[str]) -> dict[str, Vector]:
        known = self._known
        vectors = {text: known[text] for text in texts if text in known}
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            vectors.update(zip(new, await self._embedder.embed(new), strict=True))
            if len(known) + len(new) > MOST:
                known.clear()
            known.update(vectors)
        return vectors
