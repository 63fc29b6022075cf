"""Each text is embedded once: vectors are kept in memory, and in a file if there is one."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from threading import Lock

import anyio
import anyio.lowlevel

from assistant_kit.embedders._vector_file import VectorFile
from assistant_kit.errors import ConfigurationError
from assistant_kit.protocols.embedder import Embedder, Purpose, Vector


class CachedEmbedder:
    """An embedder that remembers. Texts are known by a hash of the embedder's name, the purpose and the text.

    The `size` vectors used last are kept in memory, and with `path` the `file_size` newest ones in an SQLite file,
    which several processes may share. A text that is asked for several times at once is embedded once. A file that
    cannot be used is named in a warning, and left alone. The embedder is closed with this one.

    The file holds vectors and hashes, no texts. Still, a vector tells something of its text: where texts have to be
    erased, use no file, or `clear()` it.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        size: int = 4_096,
        path: str | PathLike[str] | None = None,
        file_size: int = 100_000,
    ) -> None:
        if size < 1 or file_size < 1:
            raise ConfigurationError("CachedEmbedder: size and file_size are at least 1")
        self._embedder = embedder
        self._kept = _Newest(size)
        self._file = None if path is None else VectorFile(Path(path), most=file_size)
        self._under_way: dict[tuple[object, bytes], _UnderWay] = {}

    @property
    def name(self) -> str:
        """The name of the embedder inside."""
        return self._embedder.name

    @property
    def dimensions(self) -> int | None:
        """The length of the vectors, as the embedder inside knows it."""
        return self._embedder.dimensions

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Sequence[Vector]:
        """Return one vector for each text, in their order; only new texts are embedded."""
        await anyio.lowlevel.checkpoint()
        keys = [self._key(text, purpose) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        found: dict[bytes, Vector] = {}
        while missing := {key: text for key, text in wanted.items() if key not in found}:
            found |= await self._round(missing, purpose)
        return [found[key] for key in keys]

    async def clear(self) -> None:
        """Forget all vectors, in memory and in the file. Raises StoreError when the file cannot be emptied."""
        self._kept.clear()
        if self._file is not None:
            await self._file.clear()

    async def aclose(self) -> None:
        """Close the file and the embedder. May be called twice."""
        if self._file is not None:
            await self._file.aclose()
        await self._embedder.aclose()

    def _key(self, text: str, purpose: Purpose) -> bytes:
        whole = f"{self._embedder.name}\0{purpose}\0{text}"
        return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=20).digest()

    async def _round(self, wanted: Mapping[bytes, str], purpose: Purpose) -> Mapping[bytes, Vector]:
        """Return vectors of some of these texts: those that are kept, or new, or that others have asked for.

        It returns none of those whose asking was cancelled elsewhere. Raises what the embedder raises, also elsewhere.
        """
        found = self._kept.of(wanted)
        loop = anyio.lowlevel.current_token()
        others: dict[bytes, _UnderWay] = {}
        own: dict[bytes, str] = {}
        for key, text in wanted.items():
            if key not in found:
                waiting = self._under_way.get((loop, key))
                if waiting is None:
                    own[key] = text
                else:
                    others[key] = waiting
        if own:
            found |= await self._lead(own, purpose, loop)
        for key, waiting in others.items():
            await waiting.over.wait()
            if waiting.error is not None:
                raise waiting.error
            if waiting.vector is not None:
                found[key] = waiting.vector
        return found

    async def _lead(self, own: Mapping[bytes, str], purpose: Purpose, loop: object) -> Mapping[bytes, Vector]:
        """Look these texts up or embed them, while whoever else asks for them waits."""
        under_way = {key: _UnderWay() for key in own}
        self._under_way.update({(loop, key): mine for key, mine in under_way.items()})
        try:
            found = await self._looked_up(own, purpose)
            for key, vector in found.items():
                under_way[key].vector = vector
        except Exception as error:
            for mine in under_way.values():
                mine.error = error
            raise
        finally:
            for key, mine in under_way.items():
                del self._under_way[loop, key]
                mine.over.set()
        return found

    async def _looked_up(self, texts: Mapping[bytes, str], purpose: Purpose) -> Mapping[bytes, Vector]:
        found = {} if self._file is None else await self._file.read(list(texts))
        new = [key for key in texts if key not in found]
        if new:
            vectors = await self._embedder.embed([texts[key] for key in new], purpose=purpose)
            made = dict(zip(new, vectors, strict=True))
            found |= made
            if self._file is not None:
                await self._file.write(made)
        self._kept.add(found)
        return found


class _UnderWay:
    """A text that is being embedded. After `over`, without vector and error, whoever asked was cancelled."""

    __slots__ = ("error", "over", "vector")

    def __init__(self) -> None:
        self.over: anyio.Event = anyio.Event()
        self.vector: Vector | None = None
        self.error: Exception | None = None


class _Newest:
    """The vectors used last, for tasks of any thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = Lock()
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()

    def of(self, keys: Mapping[bytes, object]) -> dict[bytes, Vector]:
        """Return those that are kept."""
        with self._lock:
            found = {key: self._vectors[key] for key in keys if key in self._vectors}
            for key in found:
                self._vectors.move_to_end(key)
        return found

    def add(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep these, and no more than fit."""
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)

    def clear(self) -> None:
        """Keep none."""
        with self._lock:
            self._vectors.clear()
