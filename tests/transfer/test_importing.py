import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from assistant_kit.entries import TurnOutcome
from assistant_kit.errors import (
    ConversationExists,
    LeaseLost,
    StoreUnavailable,
)
from assistant_kit.protocols.store import NewRecord, TurnState
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.transfer import BadLine, export_conversation, import_lines
from tests.audit.histories import Act, carry_out
from tests.faulty_store import FaultyStore
from tests.transfer.exports import everything, exported, new_store, notes, state_after, write

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("kinds", "state", "open_turn"),
    [
        (["note"], "idle", None),
        (["turn_started"], "open", 1),
        (["turn_started", "model_responded", "tool_started", "tool_noted"], "open", 1),
        (["turn_started", "completed", "turn_started", "model_responded"], "open", 3),
        (["turn_started", "completed"], "idle", None),
        (["turn_started", "failed", "call_resolved", "tool_noted"], "idle", None),
        (["turn_started", "waiting"], "waiting", 1),
        (["turn_started", "waiting", "approval_decided"], "waiting", 1),
        (["turn_started", "waiting", "approval_decided", "turn_resumed"], "open", 1),
        (["turn_started", "completed", "turn_started", "parked"], "parked", 3),
        (["turn_started", "parked", "call_resolved"], "parked", 1),
        (["turn_started", "parked", "turn_resumed", "cancelled"], "idle", None),
    ],
)
async def test_the_state_is_what_the_entries_tell(kinds: list[str], state: TurnState, open_turn: int | None) -> None:
    store, other = new_store(), new_store()
    outcomes: tuple[TurnOutcome, ...] = ("completed", "failed", "waiting", "parked", "cancelled")
    records = [
        NewRecord(
            record_id=f"r{n}",
            kind="turn_finished" if kind in outcomes else kind,
            body=json.dumps({"outcome": kind}).encode(),
        )
        for n, kind in enumerate(kinds)
    ]
    await write(store, "c", records)

    await import_lines(other, await exported(store))

    assert await state_after(other) == (state, open_turn)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"outcome":1}'])
async def test_an_end_of_a_turn_that_cannot_be_read_is_a_bad_line(body: bytes) -> None:
    store = new_store()
    await write(store, "c", notes(1, kind="turn_finished", body=body))

    with pytest.raises(BadLine) as caught:
        await import_lines(new_store(), await exported(store))

    assert caught.value.line == 3


async def test_lines_may_come_from_a_stream() -> None:
    store, other = new_store(), new_store()
    await write(store, "c", notes(3))

    async def stream() -> AsyncIterator[str]:
        for line in await exported(store):
            yield line
            yield "\n"

    assert await import_lines(other, stream()) == ["c"]


HEAD = '{"line":"export","format":"assistant_kit.export","version":1}'


END = '{"line":"end","conversations":1,"records":1,"links":0}'


def about(name: object = "c", *, title: object = "", records: object = 1) -> str:
    return json.dumps({"line": "conversation", "conversation": name, "title": title, "records": records})


def record(seq: object = 1, record_id: object = "r1", **fields: object) -> str:
    line: dict[str, object] = {
        "line": "record",
        "conversation": "c",
        "seq": seq,
        "id": record_id,
        "kind": "k",
        "tokens": 1,
        "entry": {},
    }
    return json.dumps({name: value for name, value in {**line, **fields}.items() if value != "-"})


@pytest.mark.parametrize(
    ("lines", "bad"),
    [
        ([], 0),
        (["x"], 1),
        (["", "[]"], 2),
        (["{}"], 1),
        (["[" * 100_000], 1),
        ([about()], 1),
        (['{"line":"export","format":"other","version":1}'], 1),
        (['{"line":"export","format":"assistant_kit.export","version":3}', END], 1),
        (['{"line":"export","format":"assistant_kit.export","version":0}', END], 1),
        (['{"line":"export","format":"assistant_kit.export","version":"1"}'], 1),
        ([HEAD], 1),
        ([HEAD, HEAD], 2),
        ([HEAD, '{"line":"memory"}'], 2),
        ([HEAD, record()], 2),
        ([HEAD, about("")], 2),
        ([HEAD, about(7)], 2),
        ([HEAD, about(title="x" * 5000)], 2),
        ([HEAD, about(records=-1)], 2),
        ([HEAD, about(records=True)], 2),
        ([HEAD, about(), END], 3),
        ([HEAD, about(), about("d")], 3),
        ([HEAD, about()], 2),
        ([HEAD, about(), record()], 3),
        ([HEAD, about(), record(2)], 3),
        ([HEAD, about(), record("1")], 3),
        ([HEAD, about(), record(conversation="d")], 3),
        ([HEAD, about(), record(record_id="")], 3),
        ([HEAD, about(), record(record_id="a\0")], 3),
        ([HEAD, about(), record(record_id=None)], 3),
        ([HEAD, about(), record(tokens=-1)], 3),
        ([HEAD, about(), record(tokens=2**31)], 3),
        ([HEAD, about(), record(tokens=1.5)], 3),
        ([HEAD, about(), record(kind=None)], 3),
        ([HEAD, about(), record(entry="-")], 3),
        ([HEAD, about(), record(entry=[])], 3),
        ([HEAD, about(), record(entry={"a": float("inf")})], 3),
        ([HEAD, about(), record(entry="-", text="\ud800")], 3),
        ([HEAD, about(), record(entry="-", base64="%")], 3),
        ([HEAD, about(records=2), record(), record(2)], 4),
        ([HEAD, json.dumps({"line": "memory", "text": "x", "source": "", "labels": {"a": 1.5}})], 2),
    ],
)
async def test_a_line_that_cannot_be_read_is_named_and_nothing_of_its_conversation_is_written(
    lines: list[str], bad: int
) -> None:
    store = new_store()

    with pytest.raises(BadLine) as caught:
        await import_lines(store, lines)

    assert caught.value.line == bad
    complete = {"c"} if lines[-1:] == [record()] and lines[1] == about() else set[str]()
    assert {info.conversation for info in await store.conversations()} == complete


async def test_a_record_id_twice_in_a_long_conversation_is_a_bad_line() -> None:
    store, other = new_store(), new_store()
    await write(store, "c", notes(300))
    lines = (await exported(store))[:-1]
    lines[290] = lines[290].replace('"r289"', '"r1"')

    with pytest.raises(BadLine) as caught:
        await import_lines(other, lines)

    assert caught.value.line == 302


async def test_the_end_of_one_export_may_be_the_beginning_of_another() -> None:
    store, other = new_store(), new_store()
    await write(store, "c1", notes(3))
    first = await exported(store)
    await write(store, "c2", notes(3))
    second = [line async for line in export_conversation(store, "c2")]

    assert await import_lines(other, first + second) == ["c1", "c2"]


async def test_an_import_may_be_repeated() -> None:
    store, other = new_store(), new_store()
    for act in [Act("append", "a", number=3), Act("rename", "a", number=3), Act("append", "b"), Act("claim", "c")]:
        await carry_out(store, act)
    lines = await exported(store)
    await import_lines(other, lines)
    await other.rename("a", "mine")

    assert await import_lines(other, lines) == ["a", "b", "c"]

    titles = {info.conversation: info.title for info in await other.conversations()}
    assert titles == {"a": "mine", "b": "", "c": ""}
    assert {name: records for name, (_, records) in (await everything(other)).items()} == {
        name: records for name, (_, records) in (await everything(store)).items()
    }


@pytest.mark.parametrize("records", [1, 199, 200, 201, 420])
@pytest.mark.parametrize("change", ["longer", "body", "kind", "tokens", "shorter", "held"])
async def test_a_conversation_that_is_another_is_left_alone(change: str, records: int) -> None:
    store, other = new_store(), new_store()
    there = notes(records)
    await write(store, "c", there)
    match change:
        case "longer":
            there += notes(1, first=records + 1)
        case "body":
            there[-1] = replace(there[-1], body=b"x")
        case "kind":
            there[0] = replace(there[0], kind="x")
        case "tokens":
            there[records // 2] = replace(there[records // 2], tokens=0)
        case "shorter":
            there = there[:-1] or [replace(there[0], record_id="other")]
        case _:
            there = notes(1)
    await write(other, "c", there)
    await other.rename("c", "mine")
    if change == "held":
        await write(store, "c", notes(1, first=records + 1), seq=records)
        await other.claim("c", owner="somebody", ttl=60)
    before = await everything(other)

    with pytest.raises(ConversationExists) as caught:
        await import_lines(other, await exported(store))

    assert caught.value.conversation == "c"
    assert await everything(other) == before


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", range(1, 8))
async def test_an_import_that_was_interrupted_goes_on_where_it_stopped(at: int, when: Any) -> None:
    store, place = new_store(), MemoryStore()
    for name, count in (("a", 450), ("b", 3)):
        await write(store, name, notes(count))
        await store.rename(name, f"title of {name}")
    lines = await exported(store)

    broken = FaultyStore(place, fail_at=at, when=when).for_user("u")
    with pytest.raises(StoreUnavailable):
        await import_lines(broken, lines)

    half = [u.conversation for u in await place.unfinished(state="parked")]
    assert not await place.unfinished()
    assert half in ([], ["a"])
    assert await import_lines(place.for_user("u"), lines) == ["a", "b"]
    assert await everything(place.for_user("u")) == await everything(store)
    assert await state_after(place.for_user("u"), "a") == ("idle", None)


async def test_an_import_that_another_has_taken_over_stops() -> None:
    store, other = new_store(), new_store()
    await write(store, "c", notes(450))
    lines = await exported(store)

    async def slow() -> AsyncGenerator[str, None]:
        for number, line in enumerate(lines):
            if number == 300:
                assert await import_lines(other, lines) == ["c"]
            yield line

    async with aclosing(slow()) as slowly:
        with pytest.raises(LeaseLost):
            await import_lines(other, slowly)

    assert await everything(other) == await everything(store)
