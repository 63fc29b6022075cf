"""Entries as server-sent events (WHATWG HTML, section 9.2), written and read.

An entry is `id:`, `event:` and one line of `data:`, which is JSON in ASCII. While nothing happens, a comment tells that
the connection is alive.
"""

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, cast

import anyio

from assistant_kit.errors import AssistantKitError, InputError
from assistant_kit.integrations.streaming.failures import Tell, failure_of
from assistant_kit.integrations.streaming.following import place_of
from assistant_kit.integrations.streaming.wire import error_data
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.event_log import Entry

MEDIA_TYPE: Final = "text/event-stream"
FAILED: Final = "failed"
"""The name of an event that is no part of the log: the stream cannot go on, and `error` says why. The reader connects
again, with the last id that it has."""

HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""So that no cache keeps a stream, and no proxy holds it back."""

_ALIVE: Final = b": alive\n\n"
_LONGEST: Final = 16 * 1024 * 1024  # characters of one event


class Arriving(Protocol):
    """Where entries come from, such as `Relay.follow`."""

    async def arrived(self) -> Sequence[Entry]:
        """Return the next entries, none at the end. May be cancelled; nothing is lost by it."""
        ...

    async def aclose(self) -> None:
        """Follow no more."""
        ...


def written(entry: Entry) -> bytes:
    """Return an entry as it is sent."""
    return f"id: {entry.id}\nevent: {entry.name}\ndata: {json.dumps(entry.data)}\n\n".encode("ascii")


def failed(error: BaseException, *, tell: Tell = failure_of) -> bytes:
    """Return what ends a stream that cannot go on."""
    return f"event: {FAILED}\ndata: {json.dumps({'error': error_data(error, tell=tell)})}\n\n".encode("ascii")


def retry(seconds: float) -> bytes:
    """Return what tells a client how long to wait before it connects again."""
    return f"retry: {round(seconds * 1000)}\n\n".encode("ascii")


def last_event_id(header: str | None) -> int | None:
    """Return the id in a `Last-Event-ID` header; None when there is none. Raises InputError."""
    return place_of(header)


async def stream(entries: Arriving, *, alive: float = 15.0, tell: Tell = failure_of) -> AsyncGenerator[bytes]:
    """Return entries as bytes to send, a comment after each `alive` seconds without one.

    It asks for more only when it is asked for more: of a client who reads slowly nothing is held here, but in the log.
    An error of the library ends the stream with an event `failed`. The entries are closed at the end; close a stream
    that is left early (`contextlib.aclosing`).
    """
    try:
        while True:
            found: Sequence[Entry] | None = None
            # Around the waiting alone: a scope must not be open while a generator is left.
            with anyio.move_on_after(alive):
                found = await entries.arrived()
            if found is None:
                yield _ALIVE
            elif found:
                yield b"".join(map(written, found))
            else:
                return
    except AssistantKitError as error:
        yield failed(error, tell=tell)
    finally:
        with anyio.CancelScope(shield=True):
            await entries.aclose()


class Parser:
    """Reads entries from bytes that may be cut anywhere, within a character too.

    `last_id` is the newest id, to connect again with; None while there was none. `retry` is what the server wants a
    client to wait before that, in seconds; None while it has said nothing.
    """

    def __init__(self) -> None:
        self.last_id: int | None = None
        self.retry: float | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""
        self._after_return = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[Entry]:
        """Take bytes, and return the entries that are whole by now. Raises InputError for data that are not JSON.

        An entry without an id has the last one that there was, or 0. Names of entries that the library does not know
        are passed on.
        """
        text = self._decoder.decode(piece)
        if not text:
            return []
        was_cut, self._after_return = self._after_return, text.endswith("\r")
        if was_cut:  # between the two characters of the end of a line
            text = text.removeprefix("\n")
        *lines, self._line = (self._line + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
        self._check(len(self._line))
        found = (self._take(line) for line in lines)
        return [entry for entry in found if entry is not None]

    def _take(self, line: str) -> Entry | None:
        if not line:
            return self._dispatched()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._size += len(value)
                self._check(self._size)
            case "event":
                self._name = value
            case "id" if value.isascii() and value.isdecimal():
                self.last_id = int(value)
            case "retry" if value.isascii() and value.isdecimal():
                self.retry = int(value) / 1000
            case _:  # a comment, or a field that there will be one day
                pass
        return None

    def _dispatched(self) -> Entry | None:
        name, data = self._name or "message", "\n".join(self._data)
        self._name, self._size, seen = "", 0, bool(self._data)
        self._data.clear()
        return Entry(id=self.last_id or 0, name=name, data=_object(data)) if seen else None

    def _check(self, size: int) -> None:
        if size > _LONGEST:
            raise InputError(f"an event has more than {_LONGEST} characters: this is no stream of ours")


def _object(text: str) -> JsonObject:
    try:
        data = json.loads(text)
    except ValueError:
        raise InputError("the data of an event are not JSON: this is no stream of ours") from None
    if not isinstance(data, dict):
        raise InputError("the data of an event are no JSON object: this is no stream of ours")
    return cast("JsonObject", data)


def read(pieces: Iterable[bytes], parser: Parser | None = None) -> Iterator[Entry]:
    """Return the entries of a stream of bytes, such as the body of a response, as they come. Raises InputError."""
    reading = Parser() if parser is None else parser
    for piece in pieces:
        yield from reading.feed(piece)


async def read_async(pieces: AsyncIterable[bytes], parser: Parser | None = None) -> AsyncIterator[Entry]:
    """Return the entries of a stream of bytes, as `read` does."""
    reading = Parser() if parser is None else parser
    async for piece in pieces:
        for entry in reading.feed(piece):
            yield entry
