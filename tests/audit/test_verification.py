import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.audit import Anchor, anchor, verify
from assistant_kit.audit_chain import GENESIS, AuditLink
from assistant_kit.protocols.store import Record, UserStore
from assistant_kit.stores.memory import MemoryStore
from tests.audit.histories import Act, append, carry_out, copy_of, histories
from tests.audit.verifying import A_HISTORY, copied, forged, places, told, verified

pytestmark = pytest.mark.anyio


@given(history=histories)
def test_what_nobody_has_touched_verifies(history: Sequence[Act]) -> None:
    async def check() -> None:
        store = await told(*history)
        head = await anchor(store)
        await carry_out(store, Act("append", "a"))
        report = await verify(store, anchor=head)
        assert report.ok, report.findings
        assert report.complete
        assert report.head == await anchor(store)

    anyio.run(check)


def changed(value: object) -> object:
    match value:
        case bytes():
            return bytes([value[0] ^ 1, *value[1:]]) if value else b"x"
        case str():
            return value + "x"
        case _:
            return cast("Any", value) + 1


@pytest.mark.parametrize("field", [field.name for field in fields(AuditLink)])
@given(history=histories, data=st.data())
def test_a_change_of_any_field_of_any_link_is_found_there(
    field: str, history: Sequence[Act], data: st.DataObject
) -> None:
    async def check() -> None:
        copy = await copied(*history, Act("append", "a"))
        at = data.draw(st.integers(0, len(copy.links) - 1))
        link = copy.links[at]
        copy.links[at] = replace(link, **{field: changed(getattr(link, field))})
        report = await verified(copy)
        assert report.findings
        first = report.findings[0]
        assert first.n == link.n
        problem = {"n": "missing_link", "payload": "changed_payload", "salt": "changed_payload"}
        assert first.problem == problem.get(field, "changed_link")
        if field != "n":
            damaged = [finding.n for finding in report.findings if finding.problem.startswith("changed_")]
            assert [n for n in damaged if n is not None] == [link.n]

    anyio.run(check)


RECORD_FIELDS = {
    "seq": "missing_record",
    "record_id": "other_record",
    "kind": "changed_record",
    "body": "changed_record",
    "tokens": "changed_record",
    "total_tokens": "changed_record",
    "fence": "changed_record",
    "at": "changed_record",
}


@pytest.mark.parametrize("field", RECORD_FIELDS)
@given(history=histories, data=st.data())
def test_a_change_of_any_field_of_any_record_is_found_there(
    field: str, history: Sequence[Act], data: st.DataObject
) -> None:
    async def check() -> None:
        copy = await copied(*history, Act("append", "a"))
        name = data.draw(st.sampled_from([name for name, records in copy.records.items() if records]))
        at = data.draw(st.integers(0, len(copy.records[name]) - 1))
        record = copy.records[name][at]
        value = 1000 if field == "seq" else changed(getattr(record, field))
        copy.records[name][at] = replace(record, **{field: value})
        report = await verified(copy)
        assert places(report)[0] == (RECORD_FIELDS[field], name, record.seq)
        assert {finding.conversation for finding in report.findings} == {name}

    anyio.run(check)


@given(history=histories, data=st.data(), how=st.sampled_from(["remove", "cut", "insert", "exchange"]))
def test_records_that_were_taken_out_put_in_or_exchanged_are_found_there(
    history: Sequence[Act], data: st.DataObject, how: str
) -> None:
    async def check() -> None:
        copy = await copied(*history, Act("append", "a", number=2))
        name = data.draw(st.sampled_from([name for name, records in copy.records.items() if len(records) > 1]))
        records = copy.records[name]
        at = data.draw(st.integers(0, len(records) - 2))
        expected = "other_record"
        match how:
            case "remove":
                del records[at]
            case "cut":
                del records[at:]
                expected = "missing_record"
            case "insert":
                records.insert(at, replace(records[at], record_id="new"))
            case _:
                records[at], records[at + 1] = records[at + 1], records[at]
        if how != "cut":
            copy.records[name] = [replace(record, seq=seq) for seq, record in enumerate(records, start=1)]
        report = await verified(copy)
        assert places(report)[0] == (expected, name, at + 1)
        assert {finding.conversation for finding in report.findings} == {name}

    anyio.run(check)


@given(history=histories, data=st.data(), how=st.sampled_from(["remove", "renumber", "repeat", "exchange"]))
def test_links_that_were_taken_out_put_in_or_exchanged_are_found_there(
    history: Sequence[Act], data: st.DataObject, how: str
) -> None:
    async def check() -> None:
        copy = await copied(*history, Act("append", "a"), Act("append", "a"))
        links = copy.links
        at = data.draw(st.integers(0, len(links) - 2))
        n = at + 1
        match how:
            case "remove":
                del links[at]
            case "renumber":
                del links[at]
                links[:] = [replace(link, n=n) for n, link in enumerate(links, start=1)]
            case "repeat":
                links.insert(at, links[at])
                n += 1
            case _:
                links[at], links[at + 1] = links[at + 1], links[at]
        problems = {"remove": "missing_link", "renumber": "changed_link", "repeat": "misplaced_link"}
        report = await verified(copy)
        assert report.findings[0].n == n
        assert report.findings[0].problem == problems.get(how, "missing_link")

    anyio.run(check)


async def test_a_record_that_stands_behind_the_last_one_is_found() -> None:
    copy = await copied(*A_HISTORY)
    last = copy.records["b"][-1]
    copy.records["b"].append(replace(last, seq=last.seq + 1, record_id="new"))

    assert places(await verified(copy)) == [("unexpected_record", "b", last.seq + 1)]


async def test_conversations_that_were_removed_hidden_or_put_in_are_found() -> None:
    copy = await copied(*A_HISTORY)
    copy.records["new"] = copy.records["b"]
    copy.infos.append(replace(copy.infos[-1], conversation="new", updated_at=0.0))
    copy.forget("b")
    copy.infos = [info for info in copy.infos if info.conversation != "c"]

    assert places(await verified(copy)) == [
        ("unexpected_conversation", "new", None),
        ("missing_conversation", "b", None),
        ("unlisted_conversation", "c", None),
    ]


async def test_a_conversation_that_should_be_empty_and_is_gone_is_found() -> None:
    copy = await copied(*A_HISTORY, Act("fork", "a", "d", number=0))
    copy.forget("d")

    assert places(await verified(copy)) == [("missing_conversation", "d", None)]


async def test_a_changed_title_is_found_and_one_of_a_conversation_without_records_too() -> None:
    copy = await copied(*A_HISTORY, Act("claim", "d"))
    copy.change_title("a", "mine")
    copy.change_title("d", "mine")

    assert places(await verified(copy)) == [("unexpected_conversation", "d", None), ("changed_title", "a", None)]


async def test_a_claim_leaves_no_link_and_raises_no_alarm() -> None:
    report = await verify(await told(Act("claim", "a")))

    assert (report.ok, report.conversations, report.head) == (True, 0, Anchor(n=0, link=GENESIS))


async def test_what_was_compared_is_counted() -> None:
    store = await told(*A_HISTORY)

    report = await verify(store)

    shown = [len(await store.read(name)) for name in ("a", "b", "c")]
    assert (report.conversations, report.records, report.erased) == (3, sum(shown), False)


async def test_the_chain_of_an_erased_user_verifies_without_its_payloads() -> None:
    store = MemoryStore(audit=True)
    for act in [*A_HISTORY, Act("erase", "a"), Act("append", "a")]:
        await carry_out(store.for_user("u"), act)
    nameless, _ = await store.users()

    report = await verify(store.for_user(nameless))

    assert (report.ok, report.erased, report.head.n, report.conversations) == (True, True, len(A_HISTORY) + 1, 0)
    assert (await verify(store.for_user("u"))).ok


async def test_a_change_in_the_chain_of_an_erased_user_is_found() -> None:
    store = MemoryStore(audit=True)
    for act in [*A_HISTORY, Act("erase", "a")]:
        await carry_out(store.for_user("u"), act)
    (nameless,) = await store.users()
    copy = await copy_of(store.for_user(nameless))
    copy.links[3] = replace(copy.links[3], digest=bytes(32))

    assert places(await verified(copy)) == [("changed_link", 4, None)]


async def test_payloads_that_are_gone_without_an_erasure_are_found() -> None:
    copy = await copied(Act("append", "a"), Act("rename", "a"), Act("append", "b"))
    copy.links[1] = replace(copy.links[1], payload=None, salt=None)
    copy.links[2] = replace(copy.links[2], salt=None)

    assert places(await verified(copy))[:2] == [("changed_payload", 3, None), ("missing_payload", 2, None)]


def retold(links: Sequence[AuditLink], at: int) -> list[AuditLink]:
    """Return the chain without one of its links, all later ones computed anew."""
    kept = list(links[:at])
    for link in links[at + 1 :]:
        assert link.payload is not None
        kept.append(forged(kept[-1] if kept else None, link.payload, at_us=link.at_us))
    return kept


async def test_an_anchor_finds_a_chain_that_was_computed_anew() -> None:
    copy = await copied(Act("append", "a"), Act("append", "b"), Act("claim", "a"))
    head = await anchor(cast("UserStore", copy))
    copy.links = retold(copy.links, 0)
    copy.forget("a")

    assert (await verified(copy)).ok
    assert places(await verified(copy, anchor=head)) == [("cut_chain", 1, None)]
    copy.links.append(forged(copy.links[-1], b'{"conversation":"b","do":"rename","title":"x"}'))
    assert ("rewritten_chain", 2, None) in places(await verified(copy, anchor=head))


@pytest.mark.parametrize(("value", "detail"), [({"fence": 99}, "fence"), ({"at": 1e9}, "at"), ({"at": math.nan}, "at")])
async def test_it_says_which_of_fence_and_time_was_changed(value: dict[str, Any], detail: str) -> None:
    copy = await copied(Act("append", "a", number=2))
    copy.records["a"][1] = replace(copy.records["a"][1], **value)
    (finding,) = (await verified(copy)).findings
    assert (finding.problem, finding.conversation, finding.seq, finding.detail) == ("changed_record", "a", 2, detail)


async def test_a_fence_may_be_the_time_of_its_link() -> None:
    copy = await copied(Act("append", "a"))
    payload = {**json.loads(copy.links[0].payload or b""), "fence": "time"}
    copy.links = [forged(None, json.dumps(payload).encode(), at_us=copy.links[0].at_us)]
    changed = await verified(copy)
    copy.records["a"] = [replace(record, fence=copy.links[0].at_us) for record in copy.records["a"]]
    assert {finding.detail for finding in changed.findings} == {"fence"}
    assert (await verified(copy)).ok


async def test_a_chain_from_before_fences_and_times_were_in_it_is_verified_without_them() -> None:
    copy = await copied(*A_HISTORY)
    for at, link in enumerate(copy.links):
        payload = json.loads(link.payload or b"")
        payload.pop("v", None)
        payload.pop("fence", None)
        before = copy.links[at - 1] if at else None
        copy.links[at] = forged(before, json.dumps(payload).encode(), at_us=link.at_us)
    copy.records["b"] = [replace(record, fence=99, at=7.0) for record in copy.records["b"]]
    assert (await verified(copy)).ok
    copy.records["b"][0] = replace(copy.records["b"][0], body=b"other")
    assert places(await verified(copy)) == [("changed_record", "b", 1)]


async def test_a_missing_chain_is_one_finding() -> None:
    copy = await copied(*A_HISTORY)
    copy.links.clear()

    assert places(await verified(copy)) == [("no_chain", None, None)]


@pytest.mark.parametrize(
    "payload",
    [
        b"no json",
        b"{}",
        b"[]",
        b'{"do":"append","conversation":"a","records":[1]}',
        b'{"do":"append","conversation":"a","records":[["x"]]}',
        b'{"v":3,"do":"append","conversation":"a","fence":1,"records":[]}',
        b'{"v":2,"do":"append","conversation":"a","fence":"late","records":[]}',
        b"[" * 100_000,
    ],
    ids=["text", "nothing", "list", "number", "short", "newer", "no fence", "deep"],
)
async def test_a_payload_that_says_nothing_known_is_found(payload: bytes) -> None:
    copy = await copied(Act("append", "a"))
    copy.links.append(forged(copy.links[-1], payload))

    assert places(await verified(copy)) == [("unreadable_payload", 2, None)]


@pytest.mark.parametrize(
    "told_next",
    [
        {"do": "rewind", "conversation": "a", "to": 9},
        {"do": "fork", "conversation": "b", "source": "a", "at": 9},
        {"do": "fork", "conversation": "a", "source": "a", "at": 1},
    ],
)
async def test_a_step_that_cannot_follow_is_found(told_next: object) -> None:
    copy = await copied(Act("append", "a"))
    copy.links.append(forged(copy.links[-1], json.dumps(told_next).encode()))

    assert places(await verified(copy)) == [("impossible_step", 2, None)]


async def test_a_time_that_cannot_be_is_found() -> None:
    copy = await copied(*A_HISTORY)
    copy.links[2] = replace(copy.links[2], at_us=-1)

    assert places(await verified(copy)) == [("changed_link", 3, None)]


async def test_many_findings_are_cut_short() -> None:
    store = await told()
    for name in range(12):
        await append(store, f"c{name}", records=120)
    copy = await copy_of(store)
    for name, records in copy.records.items():
        copy.records[name] = [replace(record, body=b"other") for record in records]
    report = await verified(copy)
    assert (len(report.findings), report.complete) == (1000, False)

    copy.links = [forged(None, b"{}")]
    for _ in range(1200):
        copy.links.append(forged(copy.links[-1], b"{}"))
    report = await verified(copy)
    assert (len(report.findings), report.complete) == (1000, False)

    copy.links = [replace(link, payload=None, salt=None) for link in copy.links]
    report = await verified(copy)
    assert (len(report.findings), report.complete) == (1000, False)


async def test_a_long_history_of_many_conversations_is_read_in_pages() -> None:
    store = await told()
    for turn in range(4):
        for name in range(300):
            await append(store, f"c{name}", records=2 + turn)
    for _ in range(60):
        await append(store, "long", records=3)

    report = await verify(store)

    assert (report.ok, report.conversations, report.records) == (True, 301, 300 * 14 + 180)


async def test_a_handle_that_says_what_is_kept_is_verified_by_that() -> None:
    class Hashing:
        def __init__(self, kept: UserStore) -> None:
            self.kept = kept

        def __getattr__(self, name: str) -> Any:
            return getattr(self.kept, name)

        async def read(self, conversation: str, **window: Any) -> Sequence[Record]:
            found = await self.kept.read(conversation, **window)
            return [replace(record, body=hashlib.sha256(record.body).digest()) for record in found]

    store = await told(*A_HISTORY)

    assert (await verify(cast("UserStore", Hashing(store)))).ok
    assert await anchor(cast("UserStore", Hashing(store))) == await anchor(store)


@pytest.mark.parametrize("links", [0, 1, 2, 3, 7, 8, 9, 600])
async def test_an_anchor_is_the_last_link(links: int) -> None:
    store = await told()
    for _ in range(links):
        await append(store, "a")
    chain = await store.audit_log(after=links - 1)

    assert await anchor(store) == Anchor(n=links, link=chain[0].link if links else GENESIS)
