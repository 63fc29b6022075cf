"""Vectors without a model: for tests, for demos, and where nothing else can be had.

Texts are near each other when they share words or parts of words. Meaning is not known to it: "car" and "automobile"
have nothing in common.
"""

import math
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from zlib import crc32

from anyio.lowlevel import checkpoint

from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.embedder import Purpose, Vector

READ = 20_000
"""Characters that are read of a text."""

_WORD = re.compile(r"\w+")
_GRAM = 3
_PARTS = 0.5  # what the parts of a word weigh together, beside the word itself
_SPREAD = 0x9E3779B1  # Knuth's multiplicative hashing: neighbouring checksums go to distant places
_BITS = 0xFFFFFFFF
_SIGN = 0x80000000
_BETWEEN = 64  # texts between two moments for other tasks
_MOST_DIMENSIONS = 65_536


class HashingEmbedder:
    """Feature hashing of words and of their parts of three letters; the same vector on every machine, for ever.

    A word weighs more the longer it is, and repeating it adds little (sublinear term frequency). Case, width and
    accents do not matter. About 30 µs for a sentence. Raises ConfigurationError for dimensions that make no sense.
    Source: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
    """

    def __init__(self, dimensions: int = 256) -> None:
        if not 1 < dimensions <= _MOST_DIMENSIONS:
            raise ConfigurationError(f"HashingEmbedder: dimensions are 2 to {_MOST_DIMENSIONS:,}, not {dimensions}")
        self._dimensions = dimensions

    @property
    def name(self) -> str:
        """The name of the rule and the length of its vectors."""
        return f"hashing-1/{self._dimensions}"

    @property
    def dimensions(self) -> int:
        """The length of the vectors."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        """Return one vector for each text: of its first 20,000 characters."""
        del purpose
        vectors: list[Vector] = []
        for number, text in enumerate(texts):
            if number % _BETWEEN == 0:
                await checkpoint()
            vectors.append(self._vector(text[:READ]))
        return vectors

    async def aclose(self) -> None:
        """Free nothing: nothing is held."""

    def _vector(self, text: str) -> Vector:
        dimensions = self._dimensions
        sums = [0.0] * dimensions
        for word, times in Counter(_WORD.findall(_plain(text))).items():
            often = 1.0 + math.log(times)
            for place, weight in _features(word):
                sums[place % dimensions] += often * weight
        length = math.hypot(*sums)
        if length == 0.0:  # no words, or features that take each other away
            return array("f", [1.0] + [0.0] * (dimensions - 1))
        return array("f", [value / length for value in sums])


def _plain(text: str) -> str:
    """Return a text without what makes no difference: case, width, accents."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    return apart if apart.isascii() else "".join(letter for letter in apart if not unicodedata.combining(letter))


@lru_cache(maxsize=16_384)
def _features(word: str) -> tuple[tuple[int, float], ...]:
    """Return hash and signed weight of a word and of its parts."""
    weight = math.log(1.0 + len(word))
    parts = list(_parts(word))
    share = weight * _PARTS / math.sqrt(len(parts))
    return (_feature(word, weight), *(_feature(part, share) for part in parts))


def _parts(word: str) -> Iterator[str]:
    marked = f"<{word}>"
    return (marked[start : start + _GRAM] for start in range(len(marked) - _GRAM + 1))


def _feature(text: str, weight: float) -> tuple[int, float]:
    mixed = crc32(text.encode("utf-8", "surrogatepass")) * _SPREAD & _BITS
    return (mixed & ~_SIGN) >> 7, -weight if mixed & _SIGN else weight
