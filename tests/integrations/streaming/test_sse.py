from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import InputError, StoreUnavailable
from assistant_kit.integrations.streaming import sse
from assistant_kit.integrations.streaming.response import EventResponse
from assistant_kit.protocols.event_log import Entry

pytestmark = pytest.mark.anyio

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
entries = st.lists(
    st.builds(
        Entry,
        id=st.integers(0, 2**53),
        name=st.sampled_from(["token", "complete", "message"]),
        data=st.dictionaries(st.text(), values, max_size=3),
    ),
    max_size=5,
)


class Script:
    """Entries that arrive in batches; None is a silence, an error is raised."""

    def __init__(self, *batches: Sequence[Entry] | Exception | None) -> None:
        self.batches = list(batches)
        self.closed = False

    async def arrived(self) -> Sequence[Entry]:
        if not self.batches:
            return ()
        batch = self.batches.pop(0)
        if batch is None:
            await anyio.sleep_forever()
        if isinstance(batch, Exception):
            raise batch
        assert batch is not None
        return batch

    async def aclose(self) -> None:
        self.closed = True


def token(number: int, text: str = "x") -> Entry:
    return Entry(id=number, name="token", data={"text": text})


def test_an_entry_is_an_id_a_name_and_a_line_of_json() -> None:
    assert sse.written(token(17, "a\n💧")) == b'id: 17\nevent: token\ndata: {"text": "a\\n\\ud83d\\udca7"}\n\n'


@given(entries, st.data())
def test_what_is_written_is_read_however_it_is_cut(written: list[Entry], data: st.DataObject) -> None:
    whole = b"".join([b": alive\n\n", sse.retry(1.5), *map(sse.written, written)])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    parser = sse.Parser()

    assert list(sse.read(pieces, parser)) == written
    assert parser.last_id == (written[-1].id if written else None)
    assert parser.retry == 1.5


@given(st.sampled_from(["\n", "\r", "\r\n"]), st.data())
def test_a_stream_of_another_server_is_read_as_the_standard_says(end: str, data: st.DataObject) -> None:
    lines = ["\ufeffdata: {", 'data:"a": "é💧"}', "id:5", "other: x", "", "event: y", "", "id: x", 'data: {"b": 1}', ""]
    whole = end.join([*lines, ""]).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    # What is not ended by an empty line is dropped; a carriage return at the end may be half of a line's end.
    found = list(sse.read([*pieces, b"\n"]))

    assert found == [
        Entry(id=5, name="message", data={"a": "é💧"}),
        Entry(id=5, name="message", data={"b": 1}),
    ]


def test_an_entry_without_an_id_has_none_of_its_own() -> None:
    assert next(sse.read([sse.failed(StoreUnavailable("x"))])).id == 0


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: [1]\n\n", b"data: x\n\n"])
def test_what_is_no_stream_of_ours_is_an_error(data: bytes) -> None:
    with pytest.raises(InputError):
        list(sse.read([data]))


@pytest.mark.parametrize("piece", [b"x" * (1024 * 1024), b"data: " + b"x" * (1024 * 1024) + b"\n"])
def test_an_event_without_an_end_is_given_up(piece: bytes) -> None:
    with pytest.raises(InputError):
        list(sse.read([piece] * 20))


async def test_a_stream_is_read_as_it_comes() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield sse.written(token(1))[:9]
        yield sse.written(token(1))[9:]

    assert [entry async for entry in sse.read_async(pieces())] == [token(1)]


async def test_entries_that_arrive_together_are_sent_together() -> None:
    script = Script([token(1), token(2)], [token(3)])

    sent = [piece async for piece in sse.stream(script)]

    assert sent == [sse.written(token(1)) + sse.written(token(2)), sse.written(token(3))]
    assert script.closed


async def test_a_comment_says_that_a_silent_stream_is_alive() -> None:
    with anyio.fail_after(5):
        sent = [piece async for piece in sse.stream(Script(None, None, [token(1)]), alive=0.001)]

    assert sent == [b": alive\n\n", b": alive\n\n", sse.written(token(1))]


async def test_a_stream_that_cannot_go_on_says_so() -> None:
    sent = b"".join([piece async for piece in sse.stream(Script([token(1)], StoreUnavailable("hunter2")))])

    assert [entry.name for entry in sse.read([sent])] == ["token", "failed"]
    assert b"hunter2" not in sent
    parser = sse.Parser()
    parser.feed(sent)
    assert parser.last_id == 1


@pytest.mark.parametrize(("header", "found"), [(None, None), ("", None), (" ", None), ("17", 17), (" 0 ", 0)])
def test_a_last_event_id_is_read(header: str | None, found: int | None) -> None:
    assert sse.last_event_id(header) == found


@pytest.mark.parametrize("header", ["x", "-1", "1.5", "\u0661", "1 2"])
def test_a_last_event_id_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(InputError):
        sse.last_event_id(header)


async def _answered(response: EventResponse, *, leave_after: int | None = None) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []
    left = anyio.Event()
    asked = iter([{"type": "http.request"}])

    async def receive() -> MutableMapping[str, Any]:
        for message in asked:
            return dict(message)
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if leave_after is not None and len(sent) > leave_after:
            left.set()
        await anyio.lowlevel.checkpoint()

    with anyio.fail_after(5):
        await response({"type": "http"}, receive, send)
    return sent


async def test_a_response_sends_entries_until_they_end() -> None:
    script = Script([token(1)], [token(2)])

    begin, *bodies = await _answered(EventResponse(script, retry_after=2.0, headers={"X-Request-ID": "r"}))

    headers = dict(begin["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert (headers[b"cache-control"], headers[b"x-request-id"]) == (b"no-store", b"r")
    assert b"content-length" not in headers
    body = b"".join(message["body"] for message in bodies)
    assert body == b"retry: 2000\n\n" + sse.written(token(1)) + sse.written(token(2))
    assert [message["more_body"] for message in bodies] == [True, True, True, False]


async def test_a_response_ends_when_the_client_leaves() -> None:
    script = Script([token(1)], None)

    sent = await _answered(EventResponse(script), leave_after=2)

    assert script.closed
    assert len(sent) == 3
