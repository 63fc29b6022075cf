"""Entries keep their form: what is written is read back, and what cannot be read is an error that names it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Compacted,
    Entry,
    Measured,
    MemoriesExtracted,
    MemoriesRecalled,
    ModelResponded,
    Summary,
    ToolFinished,
    ToolNoted,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnStarted,
    TurnSuspended,
)
from assistant_kit.errors import InputError, UnreadableEntry
from assistant_kit.journal_json import decode, encode
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    ProviderItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    UserMessage,
)
from assistant_kit.tool_spec import Keyed
from assistant_kit.usage import Usage

SNAPSHOTS: list[tuple[Entry, str]] = [
    (
        TurnStarted(
            turn="t1",
            input=UserMessage(
                content=(
                    Text(text="Häuser"),
                    Image(data=b"\xfb\xff", media_type="image/png"),
                    File(url="https://example.org/a.pdf", filename="a.pdf"),
                )
            ),
            request_id="r1",
            assistant="a",
        ),
        (
            '{"v":1,"counter":"o200k","kind":"turn_started","turn":"t1","input":{"kind":"user","content":['
            '{"kind":"text","text":"Häuser"},'
            '{"kind":"image","data":"-_8=","url":null,"media_type":"image/png","detail":"auto"},'
            '{"kind":"file","data":null,"url":"https://example.org/a.pdf","media_type":null,"filename":"a.pdf"}'
            ']},"request_id":"r1","assistant":"a"}'
        ),
    ),
    (
        ModelResponded(
            turn="t1",
            step=2,
            model="m",
            items=(
                Reasoning(text="Hm.", raw='{"id":1}'),
                ProviderItem(type="web_search_call", raw="{}"),
                AssistantMessage(text="Yes.", refusal="No."),
                ToolCall(call_id="c1", name="add", arguments='{"a":1}'),
            ),
            finish="tool_calls",
            usage=Usage(requests=1, input_tokens=5, output_tokens=4, cached_tokens=3, reasoning_tokens=2),
            prompt=DeveloperMessage(text="Again."),
        ),
        (
            '{"v":1,"counter":"o200k","kind":"model_responded","turn":"t1","step":2,"model":"m","items":['
            '{"kind":"reasoning","text":"Hm.","raw":"{\\"id\\":1}"},'
            '{"kind":"provider","type":"web_search_call","raw":"{}"},'
            '{"kind":"assistant","text":"Yes.","refusal":"No.","raw":null},'
            '{"kind":"tool_call","call_id":"c1","name":"add","arguments":"{\\"a\\":1}","raw":null}'
            '],"finish":"tool_calls","usage":{"requests":1,"input_tokens":5,"output_tokens":4,"cached_tokens":3,'
            '"reasoning_tokens":2,"reported":true},"prompt":{"kind":"developer","text":"Again."}}'
        ),
    ),
    (
        ToolStarted(
            turn="t1",
            key="2.0",
            call_id="c1",
            tool="add",
            arguments_hash="h",
            effect=Keyed(60.0),
            idempotency_key="i",
            attempt=2,
            worker="w",
        ),
        (
            '{"v":1,"counter":"o200k","kind":"tool_started","turn":"t1","key":"2.0","call_id":"c1","tool":"add",'
            '"arguments_hash":"h","effect":{"ttl":60.0},"idempotency_key":"i","attempt":2,"worker":"w"}'
        ),
    ),
    (
        ToolFinished(
            turn="t1", key="2.0", call_id="c1", tool="add", outcome="unknown", content=(Text(text="?"),), kept="k"
        ),
        (
            '{"v":1,"counter":"o200k","kind":"tool_finished","turn":"t1","key":"2.0","call_id":"c1","tool":"add",'
            '"outcome":"unknown","content":[{"kind":"text","text":"?"}],"kept":"k","untrusted":false}'
        ),
    ),
    (
        MemoriesRecalled(turn="t1", memories=("m1", "m2"), message=UserMessage(content=(Text(text="Ann"),))),
        (
            '{"v":1,"counter":"o200k","kind":"memories_recalled","turn":"t1","memories":["m1","m2"],'
            '"message":{"kind":"user","content":[{"kind":"text","text":"Ann"}]}}'
        ),
    ),
    (
        MemoriesExtracted(turn="t1", until=7, memories=("m1",), model="m", usage=Usage(requests=1)),
        (
            '{"v":1,"counter":"o200k","kind":"memories_extracted","turn":"t1","until":7,"memories":["m1"],"model":"m",'
            '"usage":{"requests":1,"input_tokens":0,"output_tokens":0,"cached_tokens":0,"reasoning_tokens":0,'
            '"reported":true}}'
        ),
    ),
    (
        Compacted(
            turn="t1",
            key="compact/2",
            before=9,
            summaries=(Summary(text="Rain.", first=1, last=8, level=1),),
            cleared_turn="t0",
            cleared_step=3,
            cleared_calls=2,
            strategy="sum up",
            model="m",
            usage=Usage(),
        ),
        (
            '{"v":1,"counter":"o200k","kind":"compacted","turn":"t1","key":"compact/2","before":9,"summaries":['
            '{"text":"Rain.","first":1,"last":8,"level":1}],"cleared_turn":"t0","cleared_step":3,"cleared_calls":2,'
            '"strategy":"sum up","model":"m","usage":{"requests":0,"input_tokens":0,"output_tokens":0,'
            '"cached_tokens":0,"reasoning_tokens":0,"reported":true}}'
        ),
    ),
    (
        ApprovalDecided(turn="t1", key="1.0", call_id="c1", arguments_hash="h", approved=False, by="Ann"),
        (
            '{"v":1,"counter":"o200k","kind":"approval_decided","turn":"t1","key":"1.0","call_id":"c1","arguments_hash":"h",'
            '"approved":false,"by":"Ann"}'
        ),
    ),
    (
        ToolNoted(turn="t1", key="2.0", call_id="c1", note="task 7"),
        '{"v":1,"counter":"o200k","kind":"tool_noted","turn":"t1","key":"2.0","call_id":"c1","note":"task 7"}',
    ),
    (
        CallResolved(
            turn="t1", key="2.0", call_id="c1", tool="add", outcome="error", content=(Text(text="no"),), by="Ann"
        ),
        (
            '{"v":1,"counter":"o200k","kind":"call_resolved","turn":"t1","key":"2.0","call_id":"c1","tool":"add",'
            '"outcome":"error","content":[{"kind":"text","text":"no"}],"by":"Ann"}'
        ),
    ),
    (
        TurnResumed(turn="t1", attempt=2, worker="w"),
        '{"v":1,"counter":"o200k","kind":"turn_resumed","turn":"t1","attempt":2,"worker":"w"}',
    ),
    (
        TurnSuspended(turn="t1", reason="down"),
        '{"v":1,"counter":"o200k","kind":"turn_suspended","turn":"t1","reason":"down"}',
    ),
    (
        TurnFinished(turn="t1", outcome="waiting", usage=Usage(reported=False), reason="r", compacted="t0/compact/2"),
        (
            '{"v":1,"counter":"o200k","kind":"turn_finished","turn":"t1","outcome":"waiting","usage":{"requests":0,'
            '"input_tokens":0,"output_tokens":0,"cached_tokens":0,"reasoning_tokens":0,"reported":false},"reason":"r","compacted":"t0/compact/2"}'
        ),
    ),
]


def read(body: bytes) -> Measured:
    return decode(body, conversation="c1", seq=7, tokens=3, at=1.5)


def problem_of(body: bytes) -> str:
    with pytest.raises(UnreadableEntry) as caught:
        read(body)
    assert (caught.value.conversation, caught.value.seq) == ("c1", 7)
    return caught.value.problem


@pytest.mark.parametrize(("entry", "body"), SNAPSHOTS, ids=[entry.kind for entry, _ in SNAPSHOTS])
def test_the_form_of_an_entry_does_not_change(entry: Entry, body: str) -> None:
    assert encode(Measured(entry=entry, tokens=3, counted_by="o200k")).decode() == body
    assert read(body.encode()) == Measured(entry=entry, tokens=3, counted_by="o200k", seq=7, at=1.5)


def test_every_kind_of_entry_has_its_form_fixed_here() -> None:
    assert {type(entry) for entry, _ in SNAPSHOTS} == set(cast("Any", Entry).__args__)


# --- every entry is read back as it was

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe = st.none() | texts
counts = st.integers(0, 2**53)
texts_parts = st.builds(Text, text=texts)
images = st.builds(
    Image,
    data=st.none() | st.binary(max_size=50),
    url=maybe,
    media_type=maybe,
    detail=st.sampled_from(["auto", "low", "high"]),
)
files = st.builds(File, data=st.none() | st.binary(max_size=50), url=maybe, media_type=maybe, filename=maybe)
contents = st.lists(texts_parts | images | files, max_size=4).map(tuple)
users = st.builds(UserMessage, content=contents)
developers = st.builds(DeveloperMessage, text=texts)
output_items = (
    st.builds(AssistantMessage, text=texts, refusal=maybe, raw=maybe)
    | st.builds(ToolCall, call_id=texts, name=texts, arguments=texts, raw=maybe)
    | st.builds(Reasoning, text=texts, raw=maybe)
    | st.builds(ProviderItem, type=texts, raw=texts)
)
usages = st.builds(
    Usage,
    requests=counts,
    input_tokens=counts,
    output_tokens=counts,
    cached_tokens=counts,
    reasoning_tokens=counts,
    reported=st.booleans(),
)
lives = st.floats(min_value=0, exclude_min=True, allow_nan=False) | st.integers(1, 10**9)
effects = st.sampled_from(["read", "idempotent", "once"]) | st.builds(Keyed, lives)
entries: st.SearchStrategy[Entry] = (
    st.builds(TurnStarted, turn=texts, input=users, request_id=maybe)
    | st.builds(
        ModelResponded,
        turn=texts,
        step=counts,
        model=texts,
        items=st.lists(output_items, max_size=4).map(tuple),
        finish=st.sampled_from(["stop", "tool_calls", "length", "content_filter", "other"]),
        usage=usages,
        prompt=st.none() | developers,
    )
    | st.builds(
        ToolStarted,
        turn=texts,
        key=texts,
        call_id=texts,
        tool=texts,
        arguments_hash=texts,
        effect=effects,
        idempotency_key=texts,
        attempt=counts,
        worker=texts,
    )
    | st.builds(
        ToolFinished,
        turn=texts,
        key=texts,
        call_id=texts,
        tool=texts,
        outcome=st.sampled_from(["ok", "error", "unknown", "cancelled", "denied"]),
        content=contents,
    )
    | st.builds(ApprovalDecided, turn=texts, call_id=texts, arguments_hash=texts, approved=st.booleans(), by=texts)
    | st.builds(
        TurnFinished,
        turn=texts,
        outcome=st.sampled_from(["completed", "failed", "cancelled", "waiting"]),
        usage=usages,
        reason=texts,
    )
)


@given(entries, texts)
def test_what_is_written_is_read_back(entry: Entry, counted_by: str) -> None:
    measured = Measured(entry=entry, tokens=3, counted_by=counted_by, seq=7, at=1.5)
    assert read(encode(measured)) == measured


def test_the_wire_forms_that_an_item_remembers_are_not_written() -> None:
    message = UserMessage(content=(Text(text="hi"),))
    message.wire_form("chat", lambda: b"wire")
    measured = Measured(entry=TurnStarted(turn="t", input=message), tokens=0, counted_by="")
    assert b"wire" not in encode(measured)


def test_a_key_that_lives_for_ever_is_read_back() -> None:
    entry = ToolStarted(
        turn="t", key="1.0", call_id="c", tool="t", arguments_hash="h", effect=Keyed(inf), idempotency_key="i"
    )
    assert read(encode(Measured(entry=entry, tokens=0, counted_by=""))).entry == entry


@pytest.mark.parametrize("turn", ["\ud800", "a\udfffb"])
def test_text_that_is_no_unicode_is_refused_when_it_is_written(turn: str) -> None:
    started = TurnStarted(turn=turn, input=UserMessage(content=()))
    with pytest.raises(InputError):
        encode(Measured(entry=started, tokens=0, counted_by=""))


# --- what cannot be read

STARTED: dict[str, Any] = json.loads(SNAPSHOTS[0][1])
TOOL: dict[str, Any] = json.loads(SNAPSHOTS[2][1])
PART: dict[str, Any] = {"kind": "text", "text": "x"}


def with_part(part: Any) -> dict[str, Any]:
    return STARTED | {"input": {"kind": "user", "content": [part]}}


UNFIT: list[tuple[Any, str]] = [
    (STARTED | {"v": 2}, "version 2"),
    (STARTED | {"v": True}, "version True"),
    ({"kind": "turn_started"}, "version None"),
    (STARTED | {"counter": 1}, "str"),
    (STARTED | {"kind": "turn_ended"}, "turn_ended"),
    (STARTED | {"kind": ["turn_started"]}, "kind"),
    (STARTED | {"kind": "user"}, "user"),
    ({"v": 1, "counter": "", "turn": "t"}, "kind"),
    (STARTED | {"mood": "good"}, "mood"),
    (STARTED | {"turn": 5}, "turn: "),
    (STARTED | {"request_id": 5}, "request_id: "),
    (STARTED | {"input": None}, "input: "),
    (STARTED | {"input": PART}, "input: "),
    (STARTED | {"input": {"kind": "user", "content": "text"}}, "content: "),
    (with_part(None), "content: "),
    (with_part(PART | {"text": 1}), "text: "),
    (with_part(PART | {"size": 1}), "size"),
    (with_part({"kind": "text"}), "text"),
    (with_part({"kind": "image", "data": "!!"}), "data: "),
    (with_part({"kind": "image", "data": "abc"}), "data: "),
    (with_part({"kind": "image", "detail": "best"}), "detail: "),
    (with_part({"kind": "image", "detail": ["auto"]}), "detail: "),
    ({key: value for key, value in TOOL.items() if key != "tool"}, "tool"),
    (TOOL | {"attempt": "2"}, "attempt: "),
    (TOOL | {"attempt": True}, "attempt: "),
    (TOOL | {"effect": "sometimes"}, "effect: "),
    (TOOL | {"effect": {"ttl": "60"}}, "ttl: "),
    (TOOL | {"effect": {}}, "ttl"),
    (TOOL | {"effect": {"kind": "keyed", "ttl": 6}}, "effect: "),
    ([1], "object"),
    ("text", "object"),
]


@pytest.mark.parametrize(("data", "named"), UNFIT)
def test_an_entry_that_does_not_fit_is_an_error_that_names_the_place(data: Any, named: str) -> None:
    assert named in problem_of(json.dumps(data).encode())


@pytest.mark.parametrize(("entry", "body"), SNAPSHOTS, ids=[entry.kind for entry, _ in SNAPSHOTS])
def test_a_truncated_entry_is_an_error(entry: Entry, body: str) -> None:
    del entry
    for length in range(len(body.encode())):
        assert problem_of(body.encode()[:length])


def test_the_error_does_not_repeat_what_the_user_said() -> None:
    assert "secret" not in problem_of(json.dumps(STARTED | {"input": ["secret"]}).encode())


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_read_or_are_an_error_that_names_the_entry(body: bytes) -> None:
    assert problem_of(body)


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in JSON that can be damaged: the object or list, and the key or index in it."""
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(cast("dict[str, Any]", value))
    elif isinstance(value, list):
        keys = list(range(len(cast("list[Any]", value))))
    for key in keys:
        yield value, key
        yield from places_in(value[key])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(st.data(), entries, json_values)
def test_a_damaged_field_is_read_or_is_an_error_that_names_the_entry(
    data: st.DataObject, entry: Entry, value: Any
) -> None:
    fields: dict[str, Any] = json.loads(encode(Measured(entry=entry, tokens=0, counted_by="")))
    place, key = data.draw(st.sampled_from(list(places_in(fields))))
    place[key] = value
    with suppress(UnreadableEntry):
        read(json.dumps(fields).encode())


def test_a_tool_answer_is_no_part_of_a_journal() -> None:
    answer: dict[str, Any] = {"kind": ToolAnswer(call_id="c", content=()).kind, "call_id": "c", "content": []}
    assert "tool_answer" in problem_of(json.dumps({"v": 1, "counter": ""} | answer).encode())
