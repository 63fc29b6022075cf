import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.conversation import measure
from assistant_kit.errors import (
    ConversationConflict,
    ConversationNotFound,
    UnreadableEntry,
)
from assistant_kit.journal_json import encode
from assistant_kit.protocols.store import Record, UserStore
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.transfer import export_conversation, export_user, import_lines
from tests.audit.histories import Act, carry_out, histories
from tests.journals import COUNTER, turn_entries
from tests.transfer.exports import Meanwhile, everything, exported, new_store, notes, state_after, write

pytestmark = pytest.mark.anyio


@given(history=histories)
def test_what_is_exported_and_imported_is_the_same(history: Sequence[Act]) -> None:
    async def check() -> None:
        store, other = new_store(), new_store()
        for act in history:
            await carry_out(store, act)
        lines = await exported(store)
        assert sorted(await import_lines(other, lines)) == sorted(await everything(store))
        assert await everything(other) == await everything(store)
        order = [[info.conversation for info in await some.conversations()] for some in (store, other)]
        assert order[0] == order[1]

    anyio.run(check)


BODIES = [
    b"",
    b"{}",
    b'{"a":1.5,"b":[true,null,"\xc3\xa6"]}',
    b'{"a": 1}',
    b'{"a":1,"a":2}',
    b'{"a":1e5}',
    b'{"a":NaN}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\u00e6"}',
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":' * 100_000,
    "{}".encode("utf-16"),
    b"[1]",
    b"text",
    b"\xff\x00",
    '{"a":"\u2028\x85\u2029"}'.encode(),
    "\u2028\x85".encode(),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_a_body_comes_back_to_the_byte_and_stays_on_one_line(body: bytes) -> None:
    store, other = new_store(), new_store()
    await write(store, "c", notes(1, body=body))

    lines = await exported(store)
    await import_lines(other, "".join(lines).splitlines())

    assert [record.body for record in await other.read("c")] == [body]
    assert [len(line.splitlines()) for line in lines] == [1] * 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(body=st.one_of(st.binary(), st.text().map(str.encode), JSON.map(json.dumps).map(str.encode)))
def test_any_body_comes_back_to_the_byte(body: bytes) -> None:
    async def check() -> None:
        store, other = new_store(), new_store()
        await write(store, "c", notes(1, body=body))
        await import_lines(other, await exported(store))
        assert [record.body for record in await other.read("c")] == [body]

    anyio.run(check)


@given(entries=turn_entries("t"))
def test_entries_are_objects_in_their_lines(entries: Sequence[Any]) -> None:
    async def check() -> None:
        store = new_store()
        bodies = [encode(measure(entry, COUNTER)) for entry in entries]
        await write(store, "c", [replace(notes(1, first=n)[0], body=body) for n, body in enumerate(bodies)])
        lines = [json.loads(line) for line in await exported(store)]
        assert [line["entry"] for line in lines if line["line"] == "record"] == [json.loads(body) for body in bodies]

    anyio.run(check)


async def test_an_export_says_what_it_holds() -> None:
    store = new_store(audit=True)
    await write(store, "c1", notes(2))
    await store.rename("c1", "Tïtle")
    (record, _) = await store.read("c1")
    (info,) = await store.conversations()
    links = await store.audit_log()

    lines = [json.loads(line) for line in await exported(store)]

    assert lines[0] == {"line": "export", "format": "assistant_kit.export", "version": 2}
    assert lines[1] == {
        "line": "conversation",
        "conversation": "c1",
        "title": "Tïtle",
        "records": 2,
        "created_at": info.created_at,
        "updated_at": info.updated_at,
    }
    assert lines[2] == {
        "line": "record",
        "conversation": "c1",
        "seq": 1,
        "id": "r1",
        "kind": "note",
        "tokens": 1,
        "at": record.at,
        "entry": {"n": 1},
    }
    assert [(line["n"], line["at_us"]) for line in lines[4:6]] == [(1, links[0].at_us), (2, links[1].at_us)]
    for line, link in zip(lines[4:6], links, strict=True):
        assert link.payload is not None
        assert link.salt is not None
        assert (line["payload"].encode(), bytes.fromhex(line["salt"])) == (link.payload, link.salt)
        assert (bytes.fromhex(line["digest"]), bytes.fromhex(line["link"])) == (link.digest, link.link)
    assert lines[6] == {"line": "end", "conversations": 1, "records": 2, "links": 2, "memories": 0, "kept": 0}


async def test_the_chain_of_an_erased_user_is_exported_without_payloads() -> None:
    store = MemoryStore(audit=True)
    await write(store.for_user("u"), "c", notes(1))
    await store.for_user("u").erase()
    (nameless,) = await store.users()

    lines = [json.loads(line) for line in await exported(store.for_user(nameless))]

    links = [line for line in lines if line["line"] == "audit"]
    assert (links[0]["payload"], links[0]["salt"]) == (None, None)
    assert await import_lines(new_store(), map(json.dumps, lines)) == []


@pytest.mark.parametrize("records", [1, 99, 100, 101, 199, 200, 201, 400])
async def test_a_conversation_of_any_length_is_exported_and_imported(records: int) -> None:
    store, other = new_store(), new_store()
    await write(store, "c", notes(records))

    await import_lines(other, await exported(store))

    assert await everything(other) == await everything(store)
    assert (await state_after(other)) == ("idle", None)


async def test_one_conversation_is_exported() -> None:
    store, other = new_store(), new_store()
    for name in ("c1", "c2", "c3"):
        await write(store, name, notes(250))
    await store.rename("c2", "mine")
    await store.release(await store.claim("empty", owner="w", ttl=60))

    lines = [line async for line in export_conversation(store, "c2")]
    lines += [line async for line in export_conversation(store, "empty")]

    assert await import_lines(other, lines) == ["c2", "empty"]
    assert await everything(other) == {name: (await everything(store))[name] for name in ("c2", "empty")}
    with pytest.raises(ConversationNotFound):
        [line async for line in export_conversation(store, "other")]


async def test_a_conversation_that_is_not_listed_is_not_exported() -> None:
    store = new_store()
    await write(store, "c", notes(1))

    class Unlisted(Meanwhile):
        async def conversations(self, **_: Any) -> Sequence[object]:
            return ()

    with pytest.raises(ConversationNotFound):
        [line async for line in export_conversation(cast("UserStore", Unlisted(store, {})), "c")]


@pytest.mark.parametrize("when", [2, 3, 4, 5])
async def test_what_is_written_meanwhile_is_left_out(when: int) -> None:
    store, other = new_store(), new_store()
    await write(store, "c", notes(250))
    before = await everything(store)
    busy = Meanwhile(store, {when: lambda: write(store, "c", notes(50, first=251), seq=250)})

    assert await import_lines(other, await exported(cast("UserStore", busy))) == ["c"]

    assert await everything(other) == before


@pytest.mark.parametrize("when", [2, 3, 4, 5])
@pytest.mark.parametrize("to", [0, 120, 249])
async def test_a_conversation_that_is_rewound_meanwhile_is_not_mixed(when: int, to: int) -> None:
    store = new_store()
    await write(store, "c", notes(250))

    async def rewrite() -> None:
        lease = await store.claim("c", owner="w", ttl=60)
        await store.rewind(lease, to=to)
        await store.release(lease)
        await write(store, "c", notes(250 - to, first=to + 1, body=b"other"), seq=to)

    with pytest.raises(ConversationConflict):
        await exported(cast("UserStore", Meanwhile(store, {when: rewrite})))


async def test_a_conversation_that_is_deleted_meanwhile_is_left_out_or_refused() -> None:
    store = new_store()
    for name in ("c1", "c2"):
        await write(store, name, notes(150))

    # A conversation is read in four: the newest record, a page, the newest record again, a page.
    kept = await exported(cast("UserStore", Meanwhile(store, {1: lambda: store.delete("c1")})))

    assert [json.loads(line)["conversation"] for line in kept if '"line":"conversation"' in line] == ["c2"]
    for read in (6, 7, 8):
        await write(store, "c1", notes(150))
        with pytest.raises(ConversationConflict):
            await exported(cast("UserStore", Meanwhile(store, {read: lambda: store.delete("c1")})))


@pytest.mark.parametrize("gone", [1, 50, 100, 101, 149])
async def test_a_record_that_is_missing_in_the_store_is_named(gone: int) -> None:
    store = new_store()
    await write(store, "c", notes(150))

    class Damaged(Meanwhile):
        async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
            return [record for record in await store.read(conversation, **window) if record.seq != gone]

    with pytest.raises(UnreadableEntry) as caught:
        await exported(cast("UserStore", Damaged(store, {})))
    assert (caught.value.conversation, caught.value.seq) == ("c", gone)


async def test_a_page_of_records_that_are_missing_is_named() -> None:
    store = new_store()
    await write(store, "c", notes(250))

    class Damaged(Meanwhile):
        async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
            return [record for record in await store.read(conversation, **window) if not 101 <= record.seq <= 200]

    with pytest.raises(UnreadableEntry) as caught:
        await exported(cast("UserStore", Damaged(store, {})))
    assert caught.value.seq == 101


async def test_an_export_may_be_left_early() -> None:
    store = new_store(audit=True)
    await write(store, "c", notes(250))

    for count in (1, 2, 100, 253):
        async with aclosing(export_user(store)) as lines:
            left = [await anext(lines) for _ in range(count)]
        assert len(left) == count
