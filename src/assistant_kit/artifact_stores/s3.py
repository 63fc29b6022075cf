"""Artifacts in S3, and in what speaks it.

    PREFIX/{sha256 of the user}/{id}      an artifact: one object, with what is known of it as its metadata

So an artifact is there with all that belongs to it, or not at all. obstore works in threads, so that every event loop
is served.
"""

# obstore's lists are typed for Arrow as well, which is not installed.
# pyright: reportUnknownMemberType=false

import base64
import binascii
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Final, Self, TypeVar

import anyio.to_thread

from assistant_kit.errors import ConfigurationError, MissingDependency, StoreCorrupt, StoreUnavailable, UnknownStore

try:
    import obstore
    from obstore import exceptions as foreign
    from obstore.store import S3Store
except ImportError as _missing:
    raise MissingDependency("obstore", "s3") from _missing

from assistant_kit.artifact_stores._keeping import Keeping
from assistant_kit.artifact_stores._reading import CheckedReader
from assistant_kit.artifact_stores._receiving import receive
from assistant_kit.artifact_stores._rules import (
    check_id,
    check_names,
    check_page,
    is_id,
    new_id,
    place_of,
    read_back,
    written,
)
from assistant_kit.protocols.artifact_store import ANY_BYTES, LIMIT, Artifact, ArtifactNotFound
from assistant_kit.side_by_side import side_by_side

if TYPE_CHECKING:
    from obstore.store import ClientConfig  # it is there for type checkers alone

T = TypeVar("T")

SCHEME: Final = "s3://"
TIMEOUT: Final = 30.0
"""Seconds for a request, and for all attempts at it, in a store that is made from an address."""

_ADDRESS: Final = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]*)(?:/([A-Za-z0-9!_.*'()/-]*))?")
_KNOWN: Final = "artifact"  # the name of the metadata, without x-amz-meta-
_PIECE: Final = 2**21  # bytes of a request
_SPOOLED: Final = 2**23  # bytes that are held in memory before a temporary file takes them
_BATCH: Final = 1000  # objects that one request can delete
_AT_ONCE: Final = 16  # requests for one page


class S3ArtifactStore(Keeping):
    """Artifacts in `store`, an `obstore.store.S3Store`, which has bucket, prefix, credentials, encryption, time limits.

    `clock` tells the time, in seconds since 1970.
    """

    def __init__(self, store: S3Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    @classmethod
    def from_address(cls, address: str) -> Self:
        """Return the store in `s3://bucket/prefix`; the rest is in the environment: `AWS_REGION`, `AWS_ENDPOINT`, ….

        Raises UnknownStore, ConfigurationError.
        """
        if not address.startswith(SCHEME):
            raise UnknownStore(address, [SCHEME])
        parts = _ADDRESS.fullmatch(address)
        if parts is None:
            raise ConfigurationError(f"{address!r} names no bucket: write s3://bucket or s3://bucket/prefix")
        patience = timedelta(seconds=TIMEOUT)
        options: ClientConfig = {"timeout": patience}
        if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"):
            options["allow_http"] = True  # obstore does not look there when it is given any option
        try:
            store = S3Store(
                parts[1],
                prefix=(parts[2] or "").strip("/") or None,
                client_options=options,
                retry_config={"retry_timeout": patience},
            )
        except (foreign.BaseError, ValueError) as error:
            raise ConfigurationError(f"{address!r}: {_first_line(error)}: see the variables AWS_…") from error
        return cls(store)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store!r})"

    def for_user(self, user: str) -> "S3Artifacts":
        """Return the handle of a user. Raises InputError if empty."""
        return S3Artifacts(self._store, place_of(user), self._clock)

    async def check(self) -> None:
        """Ask the bucket for the name of one object. Raises StoreUnavailable."""
        await _look(self._store)

    async def aclose(self) -> None:
        """Do nothing: connections close by themselves."""


class S3Artifacts:
    """The artifacts of one user."""

    def __init__(self, store: S3Store, place: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._place = place
        self._clock = clock

    async def put(
        self, data: bytes | AsyncIterable[bytes], *, name: str, media_type: str = ANY_BYTES, limit: int = LIMIT
    ) -> Artifact:
        """Keep bytes: all or nothing. They are sent when all have come, large ones in several parts.

        Raises ArtifactTooLarge, InputError, StoreError.
        """
        check_names(name, media_type)
        begin = partial(_Incoming, self._store, self._place, name=name, media_type=media_type, clock=self._clock)
        return await receive(data, begin, limit=limit, leaving=True)

    async def info(self, artifact: str) -> Artifact:
        """Return what is known of an artifact. Raises ArtifactNotFound, StoreError."""
        check_id(artifact)
        try:
            return await _in_thread(partial(self._info, artifact), artifact)
        except ArtifactNotFound:
            await _look(self._store)  # the answer is the same when there is no bucket
            raise

    async def read(self, artifact: str) -> bytes:
        """Return all bytes of an artifact. Raises ArtifactNotFound, StoreError."""
        async with self.open(artifact) as reader:
            return b"".join([piece async for piece in reader])

    @asynccontextmanager
    async def open(self, artifact: str) -> AsyncGenerator[CheckedReader]:
        """Read an artifact in pieces, each by a request of its own: a slow reader holds no connection.

        Raises ArtifactNotFound, also when it is deleted meanwhile, and StoreError.
        """
        info = await self.info(artifact)
        starts = iter(range(0, info.size, _PIECE))

        async def next_piece() -> bytes:
            start = next(starts, None)
            return b"" if start is None else await _in_thread(partial(self._piece, artifact, start), artifact)

        yield CheckedReader(info, next_piece)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[Artifact]:
        """Return artifacts in the order of their ids, behind `after`. Raises StoreError."""
        check_page(limit)
        names = await _in_thread(partial(self._names, after, limit))
        found: dict[str, Artifact] = {}

        async def look(name: str) -> None:
            with suppress(ArtifactNotFound):  # deleted meanwhile
                found[name] = await self.info(name)

        await side_by_side([partial(look, name) for name in names], limit=_AT_ONCE)
        return [found[name] for name in names if name in found]

    async def delete(self, artifact: str) -> bool:
        """Delete an artifact, and tell whether there was one. Raises StoreError."""
        try:
            await self.info(artifact)
        except ArtifactNotFound:
            return False
        await _in_thread(lambda: obstore.delete(self._store, self._key(artifact)))
        return True

    async def erase(self) -> int:
        """Delete all artifacts of this user, and return their number. Raises StoreError; may be repeated then."""
        return await _in_thread(self._erase)

    def _key(self, artifact: str) -> str:
        return f"{self._place}/{artifact}"

    def _info(self, artifact: str) -> Artifact:
        got = obstore.get(self._store, self._key(artifact), options={"head": True})
        place = f"{self._store!r}: {self._key(artifact)}"
        try:
            text = base64.b64decode(got.attributes.get(_KNOWN, ""), validate=True)
        except binascii.Error:
            text = b""
        info = read_back(text, place)
        if got.meta["size"] != info.size:
            raise StoreCorrupt(f"{place} has {got.meta['size']} bytes, not {info.size}: it is damaged")
        return info

    def _piece(self, artifact: str, start: int) -> bytes:
        return bytes(obstore.get_range(self._store, self._key(artifact), start=start, length=_PIECE))

    def _names(self, after: str, limit: int) -> Sequence[str]:
        names: list[str] = []
        offset = self._key(after) if is_id(after) else None
        for chunk in obstore.list(self._store, prefix=self._place, offset=offset):
            listed = (entry["path"].rpartition("/")[2] for entry in chunk)
            names += [name for name in listed if is_id(name) and name > after]
            if len(names) >= limit:
                break
        return names[:limit]

    def _erase(self) -> int:
        count = 0
        for chunk in obstore.list(self._store, prefix=self._place, chunk_size=_BATCH):
            paths = [entry["path"] for entry in chunk]
            obstore.delete(self._store, paths)
            count += sum(is_id(path.rpartition("/")[2]) for path in paths)
        return count


class _Incoming:
    """Bytes that gather here before they are sent; see `_receiving.Incoming`."""

    def __init__(self, store: S3Store, place: str, *, name: str, media_type: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._place = place
        self._name = name
        self._media_type = media_type
        self._clock = clock
        self._file = SpooledTemporaryFile[bytes](max_size=_SPOOLED)  # `discard` closes it

    def write(self, block: bytes) -> None:
        with _ours():
            self._file.write(block)

    def commit(self, size: int, sha256: str) -> Artifact:
        now = self._clock()
        artifact = Artifact(
            id=new_id(now), name=self._name, media_type=self._media_type, size=size, sha256=sha256, created_at=now
        )
        self._file.seek(0)
        with _ours():
            obstore.put(
                self._store,
                f"{self._place}/{artifact.id}",
                self._file,
                attributes={
                    "Content-Type": artifact.media_type,
                    "Content-Disposition": "attachment",  # whoever shares a link to it: no page of ours
                    _KNOWN: base64.b64encode(written(artifact)).decode(),
                },
            )
        return artifact

    def discard(self) -> None:
        self._file.close()


async def _look(store: S3Store) -> None:
    await _in_thread(lambda: next(iter(obstore.list(store, chunk_size=1)), None))


async def _in_thread(action: Callable[[], T], artifact: str | None = None) -> T:
    """Do something that blocks, and turn its errors into ours. A cancellation does not wait for it."""

    def act() -> T:
        with _ours(artifact):
            return action()

    return await anyio.to_thread.run_sync(act, abandon_on_cancel=True)


@contextmanager
def _ours(artifact: str | None = None) -> Generator[None]:
    try:
        yield
    except (foreign.BaseError, OSError, ValueError) as error:
        if artifact is not None and isinstance(error, FileNotFoundError):
            raise ArtifactNotFound(artifact) from error
        raise StoreUnavailable(f"S3: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return what an error says; further lines show the innards of the client."""
    return str(error).partition("\n")[0][:300]
