"""Server-sent events as they come in pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import StoreUnavailable
from assistant_kit.integrations.streaming import sse
from assistant_kit.protocols import event_log
from examples.flask_demo.frontend import event_stream
from examples.flask_demo.frontend.event_stream import FAILED, RESET, Entry, EventTooLarge, entries_of

_NAMES = st.sampled_from(["token", "reset", "complete"])
_DATA = st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=3)
TEXT = (
    b'id: 1\nevent: token\ndata: {"text": "a\xe2\x80\xa8b"}\n\n: alive\n\n'
    b'event: reset\r\ndata: {"last_event_id":\r\ndata: "7"}\r\n\r\n'
    b"id:8\nevent:complete\ndata:{}\n\ndata: no JSON\n\nid: 9\n\n"
)
ENTRIES = [
    Entry(id=1, name="token", data={"text": "a\u2028b"}),
    None,
    Entry(id=None, name="reset", data={"last_event_id": "7"}),
    Entry(id=8, name="complete", data={}),
    Entry(id=None, name="message", data={}),
]


@given(st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_however_a_stream_is_cut_its_events_are_the_same(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(TEXT)]

    assert list(entries_of(TEXT[a:b] for a, b in pairwise(ends))) == ENTRIES


@given(st.lists(st.builds(sse.Entry, id=st.integers(0, 2**53), name=_NAMES, data=_DATA), max_size=4))
def test_what_the_library_writes_is_read(written: list[sse.Entry]) -> None:
    lines = b"".join([sse.retry(1), *map(sse.written, written), sse.failed(StoreUnavailable("x"))])

    *read, last = entries_of([lines])

    assert [(one.id, one.name, one.data) for one in read if one is not None] == [
        (one.id, one.name, one.data) for one in written
    ]
    assert last is not None
    assert (last.id, last.name, sse.FAILED) == (None, FAILED, FAILED)
    assert RESET == event_log.RESET


def test_what_is_not_complete_is_no_event() -> None:
    assert list(entries_of([b"id: 1\nevent: token\ndata: {}\n"])) == []


def test_a_line_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MOST_BYTES", 100)

    with pytest.raises(EventTooLarge):
        list(entries_of([b"data: " + b"x" * 60] * 2))


def test_a_reset_says_where_to_go_on() -> None:
    assert Entry(id=None, name="reset", data={"last_event_id": "7"}).position(99) == 7
    assert Entry(id=None, name="reset", data={}).position(99) is None
    assert Entry(id=5, name="token", data={}).position(4) == 5
    assert Entry(id=None, name="reachable", data={}).position(4) == 4
