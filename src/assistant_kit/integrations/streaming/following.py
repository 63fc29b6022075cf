"""What a reader gets of a conversation."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from anyio.lowlevel import checkpoint

from assistant_kit.errors import InputError
from assistant_kit.protocols.event_log import Entry, EventReader
from assistant_kit.run.masking import Masks

ENDS: Final = ("complete", "error")
"""The names of the events with which the run of a turn ends."""


class Following:
    """The entries of a conversation for one reader, as they come: an asynchronous iterator and context manager.

    The log has pseudonyms, as the journal does: values are put back here, where `masks` are given. With a `request_id`
    it ends behind the end of that turn. `place` is the user and the conversation. Waiting for an entry may be
    cancelled: nothing is lost by it.
    """

    def __init__(
        self,
        reader: EventReader,
        masks: Masks | None,
        *,
        request_id: str | None = None,
        recorded: Sequence[Entry] = (),
        place: tuple[str, str] = ("", ""),
    ) -> None:
        self.place = place
        self._reader = reader
        self._masks = masks
        self._request_id = request_id
        self._stored: Sequence[Entry] = recorded
        self._ready: deque[Entry] = deque()
        self._over = False

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Follow no more."""
        await self.aclose()

    def __aiter__(self) -> Self:
        """Iterate over the entries."""
        return self

    async def __anext__(self) -> Entry:
        """Return the next entry. Raises StoreError: follow again from the last id."""
        if not self._ready:
            await self._fetch()
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def arrived(self) -> Sequence[Entry]:
        """Wait for the next entry and return it with all that have arrived; an empty sequence ends it."""
        if not self._ready:
            await self._fetch()
        found = tuple(self._ready)
        self._ready.clear()
        return found

    async def aclose(self) -> None:
        """Follow no more; may be called twice."""
        self._over = True
        await self._reader.aclose()

    async def _fetch(self) -> None:
        await checkpoint()
        if self._over:
            return
        if not self._stored:
            self._stored = self._up_to_end(await self._reader.next())
        # Kept until they are restored: that may be cancelled, or fail.
        readable = [await self._restored(entry) for entry in self._stored]
        self._stored = ()
        self._ready.extend(readable)
        self._over = self._over or self._is_end(readable[-1])

    def _up_to_end(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        end = next((place for place, entry in enumerate(entries, 1) if self._is_end(entry)), None)
        return entries[:end]

    def _is_end(self, entry: Entry) -> bool:
        return self._request_id is not None and is_end(entry, self._request_id)

    async def _restored(self, entry: Entry) -> Entry:
        return entry if self._masks is None else replace(entry, data=await self._masks.object(entry.data))


def is_end(entry: Entry, request_id: str) -> bool:
    """Tell whether the run of a turn ends with this entry."""
    return entry.name in ENDS and entry.data.get("request_id") == request_id


def place_of(after: int | str | None) -> int | None:
    """Return an id as it comes from a reader, such as a `Last-Event-ID` header. Raises InputError."""
    if isinstance(after, int | None):
        return after
    text = after.strip()
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise InputError("the id of an event is a whole number")
    return int(text)
