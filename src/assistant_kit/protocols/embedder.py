"""The contract of what turns texts into vectors.

`assistant_kit.testing.conformance.embedder` has the tests that every embedder passes.
"""

from array import array
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

Vector: TypeAlias = "array[float]"  # not to be subscripted before Python 3.12
"""A direction in space: an array of 32-bit floats (type code `f`) of length 1, so that a dot product is a cosine."""

Purpose: TypeAlias = Literal["document", "query"]
"""What a text is embedded for: some models read what is searched and what is searched for differently."""


class Embedder(Protocol):
    """Turns texts into vectors that are near each other when the texts mean the same."""

    @property
    def name(self) -> str:
        """The name of model and settings, such as `openai:text-embedding-4-small/512`.

        Vectors of one name can be compared, and no others: an index keeps the name and refuses another one.
        """
        ...

    @property
    def dimensions(self) -> int | None:
        """The length of the vectors; None where only the first answer tells."""
        ...

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        """Return one vector for each text, in their order. Any number of texts, of any length.

        An empty text, and one longer than the model reads, get a vector too (the latter of its beginning). Raises
        ModelError, ConfigurationError.
        """
        ...

    async def aclose(self) -> None:
        """Free what is held; the embedder is not used afterwards. May be called twice."""
        ...
