"""Embedders for tests: one that knows which texts mean the same, one that is down, one that is slow."""

from array import array
from collections.abc import Mapping, Sequence

import anyio
import anyio.lowlevel

from assistant_kit.errors import ModelUnreachable
from assistant_kit.protocols.embedder import Purpose, Vector


class Meanings:
    """Gives each text the direction of its meaning; texts without one get directions of their own.

    `directions` are cosines and sines in a plane: (1, 0) and (0.98, 0.199) are near, (0, 1) is not.
    """

    def __init__(self, directions: Mapping[str, tuple[float, float]], *, dimensions: int = 16) -> None:
        self.asked: list[tuple[str, Purpose]] = []
        self.closed: int = 0
        self.name: str = "meanings"
        self.dimensions: int | None = dimensions
        self.size: int = dimensions
        self._directions = directions
        self._own: dict[str, int] = {}

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        await anyio.lowlevel.checkpoint()
        self.asked.extend((text, purpose) for text in texts)
        return [self._vector(text) for text in texts]

    async def aclose(self) -> None:
        self.closed += 1

    def _vector(self, text: str) -> Vector:
        vector = array("f", [0.0] * self.size)
        if text in self._directions:
            vector[0], vector[1] = self._directions[text]
        else:
            vector[2 + self._own.setdefault(text, len(self._own)) % (self.size - 2)] = 1.0
        return vector


class Down:
    """An embedder whose server does not answer, while `down`."""

    def __init__(self) -> None:
        self.down: bool = True
        self.dimensions: int | None = 16
        self.name: str = "meanings"
        self._up = Meanings({})

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        if self.down:
            raise ModelUnreachable("no answer", model=self.name)
        return await self._up.embed(texts, purpose=purpose)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()


class Endless(Down):
    """An embedder whose server never answers, while `down`."""

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        if self.down:
            await anyio.sleep_forever()
        return await super().embed(texts, purpose=purpose)
