"""`store check`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from assistant_kit.entries import ApprovalDecided, CallResolved, Entry
from assistant_kit.messages import Text
from assistant_kit.protocols.store import ConversationInfo, NewRecord
from assistant_kit.stores.sqlite import SQLiteStore
from assistant_kit.tool_spec import Keyed
from tests.cli.conftest import Ran
from tests.cli.odd_stores import Locked, Moving, OddStore, OddUserStore, fill, odd
from tests.cli.scribe import Scribe, answered, began, call, ended, finished, resumed, said, suspended, write_sample

Cli = Callable[..., Ran]
SAMPLES = Path(__file__).parent / "samples"
URL = "sqlite:///chat.db"
BEGIN = NewRecord(
    record_id="r1",
    kind="turn_started",
    body=b'{"v":1,"counter":"c","kind":"turn_started","turn":"t","input":{"kind":"user","content":[]}}',
)
ASKED = answered("t", 1, call(1, "pay", "{}"))


def counts(ran: Ran) -> dict[str, int]:
    """Return the last line as what it says."""
    return {name: int(number) for name, number in (pair.split("=") for pair in ran.out.splitlines()[-1].split())}


def damage(ran: Ran) -> list[str]:
    """Return the lines about damage, their gaps closed."""
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    return lines[lines.index("damage") + 1 : -2] if "damage" in lines else []


def test_the_sample_of_the_page_is_what_is_printed(cli: Cli, scribe: Scribe) -> None:
    write_sample(scribe)
    ran = cli("store", "check", URL)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (SAMPLES / "check.txt").read_text()


def test_an_empty_store_has_nothing_to_find(cli: Cli) -> None:
    cli("store", "migrate", URL)
    ran = cli("store", "check", URL)
    assert (ran.status, set(counts(ran).values())) == (0, {0})


def test_one_user_can_be_looked_at_alone(cli: Cli, scribe: Scribe) -> None:
    write_sample(scribe)
    assert counts(cli("store", "check", URL, "--user", "bob")) | {"records": 0} == {
        "users": 1,
        "conversations": 2,
        "records": 0,
        "turns": 2,
        "open": 1,
        "waiting": 0,
        "parked": 1,
        "unknown": 0,
        "damaged": 0,
    }


def test_all_users_and_conversations_are_looked_at_however_many_there_are(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = odd(monkeypatch, OddUserStore)

    async def claim_all() -> None:
        for number in range(520):
            await store.memory.for_user(f"u{number % 210}").claim("c", owner="w", ttl=1)
            await store.memory.for_user("u").claim(f"c{number}", owner="w", ttl=1)

        for number in range(130):
            journals = store.memory.for_user(f"w{number:03}")
            lease = await journals.claim("c", owner="w", ttl=1, begin=BEGIN)
            await journals.release(lease)

    anyio.run(claim_all)
    found = counts(cli("store", "check", "odd:"))
    assert (found["users"], found["conversations"], found["open"]) == (341, 860, 130)


def test_a_long_journal_is_read_in_pages(cli: Cli, scribe: Scribe) -> None:
    turns = [entry for n in range(205) for entry in (said(f"t{n}", "hi"), finished(f"t{n}"))]
    scribe.write("u", "c", *turns, seconds=0)
    assert counts(cli("store", "check", URL)) | {"users": 0} == {
        "users": 0,
        "conversations": 1,
        "records": 410,
        "turns": 205,
        "open": 0,
        "waiting": 0,
        "parked": 0,
        "unknown": 0,
        "damaged": 0,
    }


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([said("t", "x")], "its worker is gone, in attempt 1"),
        ([said("t", "x"), resumed("t", 2)], "its worker is gone, in attempt 2"),
        (
            [said("t", "x"), resumed("t", 2), suspended("t", "luna: overloaded")],
            "attempt 2 left it for later: luna: overloaded",
        ),
        ([said("t", "x"), ASKED, finished("t", "waiting")], "pay (call_1) needs a decision"),
    ],
)
def test_an_unfinished_turn_comes_with_its_cause(cli: Cli, scribe: Scribe, entries: list[Entry], words: str) -> None:
    scribe.write("u", "c", *entries)
    ran = cli("store", "check", URL)
    assert ran.status == 0
    assert words in ran.out


def test_a_decision_that_nobody_has_acted_on_is_told(cli: Cli, scribe: Scribe) -> None:
    asked = answered("t", 1, call(1, "pay", "{}"), call(2, "look", "{}"), call(3, "send", "{}"))
    waiting = [said("t", "x"), asked, ended("t", "1.1", "look", "seen"), finished("t", "waiting")]
    scribe.write("u", "c", *waiting, decided("1.0", approved=True, by="ann"), decided("1.2", approved=False))
    ran = cli("store", "check", URL)
    words = " ".join(ran.out.split())
    assert "pay (call_1) was approved by ann: resume it, send (call_3) was denied: resume it" in words
    assert counts(ran)["waiting"] == 1


def decided(key: str, *, approved: bool, by: str = "") -> Entry:
    return ApprovalDecided(turn="t", key=key, call_id="call_1", arguments_hash="h", approved=approved, by=by)


def test_a_turn_that_a_worker_has_is_not_called_abandoned(cli: Cli, tmp_path: Path) -> None:
    async def begin() -> None:
        store = SQLiteStore(tmp_path / "chat.db")
        await store.for_user("u").claim("c", owner="w", ttl=60, begin=BEGIN)
        await store.aclose()

    anyio.run(begin)
    ran = cli("store", "check", URL, "--leases")
    assert ran.status == 0
    assert "held: a worker has it" in ran.out


def test_what_was_found_out_later_is_no_longer_unknown(cli: Cli, scribe: Scribe) -> None:
    unknown = [said("t", "x"), ASKED, began("t", "1.0", "pay"), ended("t", "1.0", "pay", "?", outcome="unknown")]
    scribe.write("u", "c", *unknown, answered("t", 2, "?"), finished("t"))
    assert counts(cli("store", "check", URL))["unknown"] == 1
    scribe.write("u", "c", settled("t", "1.0"))
    ran = cli("store", "check", URL)
    assert (ran.status, counts(ran)["unknown"]) == (0, 0)


def settled(turn: str, key: str) -> CallResolved:
    return CallResolved(
        turn=turn, key=key, call_id="call_1", tool="pay", outcome="ok", content=(Text(text="paid"),), by="ann"
    )


def test_forked_and_rewound_conversations_are_whole(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"), answered("t", 1, "y"), finished("t"))
    scribe.write("u", "c", said("t2", "x"), answered("t2", 1, "y"), finished("t2"))

    async def branch(store: SQLiteStore) -> None:
        journals = store.for_user("u")
        await journals.fork("c", "d", at=3)
        lease = await journals.claim("c", owner="w", ttl=1)
        await journals.rewind(lease, to=3)

    scribe.do(branch)
    scribe.wait(31)
    for name in ("c", "d"):
        scribe.write("u", name, said(f"t3{name}", "x"), finished(f"t3{name}"))
    ran = cli("store", "check", URL, "--leases")
    assert (ran.status, damage(ran)) == (0, [])


BROKEN: dict[str, tuple[str, str]] = {
    "an entry that is no JSON": (
        "UPDATE records SET body = x'00ff' WHERE record_id = 'r2'",
        "u c record 2 it cannot be read:",
    ),
    "an entry of a later format": (
        """UPDATE records SET body = CAST(replace(body, '"v":1', '"v":2') AS BLOB) WHERE record_id = 'r2'""",
        "u c record 2 it cannot be read: format version 2",
    ),
    "a record that is gone": (
        "DELETE FROM records WHERE record_id = 'r2'",
        "u c record 3 records 2 to 2 before it are missing",
    ),
    "the last record gone": (
        "DELETE FROM records WHERE record_id = 'r3'",
        "u c the list counts 3 records, the last one is 2",
    ),
    "a wrong total": (
        "UPDATE records SET total_tokens = 11 WHERE record_id = 'r2'",
        "u c record 2 its running total is 11 tokens instead of 10",
    ),
    "a fence that falls": (
        "UPDATE records SET fence = 9 WHERE record_id = 'r2'",
        "u c record 3 its fence is 1, after 9: its writer had lost the lease",
    ),
    "another kind": (
        "UPDATE records SET kind = 'tool_finished' WHERE record_id = 'r2'",
        "u c record 2 it is filed as 'tool_finished' and holds a 'model_responded'",
    ),
    "another state": (
        "UPDATE conversations SET state = 'parked'",
        "u c the list calls it parked, its entries leave it idle",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damage_is_found_where_it_is(cli: Cli, scribe: Scribe, name: str) -> None:
    scribe.write("u", "c", said("t", "x"), answered("t", 1, "y"), finished("t"))
    statement, words = BROKEN[name]
    scribe.sql(statement)
    ran = cli("store", "check", URL)
    assert (ran.status, counts(ran)["damaged"]) == (1, 1)
    assert words in " ".join(damage(ran))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([said("t", "x"), said("t2", "y")], "record 2 turn t2 begins before turn t is finished"),
        ([answered("t", 1, "y")], "record 1 it belongs to turn t, which is not open here"),
        ([said("t", "x"), answered("t2", 1, "y")], "record 2 it belongs to turn t2, which is not open here"),
        (
            [said("t", "x"), answered("t", 1, "y"), answered("t", 1, "z")],
            "record 3 step 1 of its turn is answered twice",
        ),
        ([said("t", "x"), began("t", "1.0", "pay")], "record 2 it starts call 1.0, which the model has not asked for"),
        (
            [said("t", "x"), ended("t", "1.0", "pay", "z")],
            "record 2 it ends call 1.0, which the model has not asked for",
        ),
        (
            [said("t", "x"), ASKED, ended("t", "1.0", "pay", "z"), ended("t", "1.0", "pay", "z")],
            "record 4 it ends call 1.0 a second time",
        ),
        (
            [said("t", "x"), ASKED, ended("t", "1.0", "pay", "z"), began("t", "1.0", "pay")],
            "record 4 it starts call 1.0, which has ended already",
        ),
        (
            [said("t", "x"), ASKED, began("t", "1.0", "pay"), began("t", "1.0", "pay")],
            "record 4 it starts call 1.0 again, which may be made once only",
        ),
        (
            [said("t", "x"), ASKED, began("t", "1.0", "pay", attempt=2)],
            "record 3 it starts call 1.0 again, which may be made once only",
        ),
        (
            [said("t", "x"), ASKED, finished("t")],
            "record 3 it ends a turn as completed in which call 1.0 has no end",
        ),
        ([settled("t", "1.0")], "record 1 it settles call t/1.0, whose outcome was not unknown"),
    ],
)
def test_what_no_run_can_have_written_is_damage(cli: Cli, scribe: Scribe, entries: list[Entry], words: str) -> None:
    scribe.write("u", "c", *entries)
    ran = cli("store", "check", URL)
    assert ran.status == 1
    assert words in " ".join(damage(ran))


def test_the_whole_texts_of_overlong_results_are_no_damage(cli: Cli, scribe: Scribe) -> None:
    scribe.keep("u", "It rains in Oslo.\n" * 2000)
    ran = cli("store", "check", URL, "--leases")
    assert (ran.status, damage(ran)) == (0, [])
    found = counts(ran)
    assert (found["conversations"], found["turns"], found["damaged"]) == (1, 0, 0)
    assert found["records"] > 2


def test_a_kept_text_that_cannot_be_read_or_stands_elsewhere_is_damage(cli: Cli, scribe: Scribe) -> None:
    name = scribe.keep("u", "It rains in Oslo.\n" * 2000)
    scribe.sql("UPDATE records SET body = ? WHERE record_id = '2'", b"[1]")
    ran = cli("store", "check", URL)
    assert ran.status == 1
    assert [line.split()[:5] for line in damage(ran)][:1] == [["u", name, "record", "2", "it"]]
    scribe.write("v", "c", said("t", "x"), finished("t"))
    scribe.sql("UPDATE records SET kind = 'kept_text', body = ? WHERE record_id = 'r2'", b'["x"]')
    assert damage(cli("store", "check", URL, "--user", "v"))[0].startswith("v c record 2 it cannot be read")


def test_calls_that_may_be_repeated_are_no_damage(cli: Cli, scribe: Scribe) -> None:
    keyed = Keyed(60)
    once_more = [
        began("t", "1.0", "pay", effect=keyed),
        resumed("t", 2),
        began("t", "1.0", "pay", effect=keyed, attempt=2),
    ]
    scribe.write("u", "c", said("t", "x"), ASKED, *once_more, finished("t", "failed"))
    assert cli("store", "check", URL).status == 0


def test_behind_an_entry_that_cannot_be_read_the_turns_are_not_judged(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"), ASKED, ended("t", "1.0", "pay", "z"), settled("t", "1.0"))
    scribe.write("u", "c", finished("t"), said("t2", "x"))
    scribe.sql("UPDATE records SET body = x'00' WHERE record_id = 'r2'")
    ran = cli("store", "check", URL)
    assert [line.split()[:4] for line in damage(ran)][:1] == [["u", "c", "record", "2"]]
    assert counts(ran)["open"] == 1
    scribe.sql("UPDATE records SET body = x'00' WHERE record_id = 'r6'")
    assert "its entries cannot be read" in cli("store", "check", URL).out


def test_a_record_that_cannot_be_decrypted_does_not_hide_the_others(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    anyio.run(fill, odd(monkeypatch, Locked))
    ran = cli("store", "check", "odd:")
    assert (ran.status, counts(ran)["records"]) == (1, 3)
    assert "u c record 2 record 2 of conversation 'c' cannot be decrypted" in " ".join(damage(ran))


def test_what_changes_while_it_is_read_is_read_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    info = anyio.run(listed, odd(monkeypatch, Moving))
    Moving.lists[:] = [[replace(info, records=5, updated_at=info.updated_at - 1)]]
    ran = cli("store", "check", "odd:")
    assert (ran.status, counts(ran)["records"]) == (0, 3)


def test_what_changes_all_the_time_is_judged_in_the_end(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    info = anyio.run(listed, odd(monkeypatch, Moving))
    Moving.lists[:] = [[replace(info, records=5, updated_at=info.updated_at + n)] for n in range(6)]
    ran = cli("store", "check", "odd:")
    assert damage(ran) == ["u c the list counts 5 records, the last one is 3"]


def test_a_conversation_that_goes_while_it_is_read_is_passed_over(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    info = anyio.run(listed, odd(monkeypatch, Moving))
    Moving.lists[:] = [[replace(info, conversation="gone"), replace(info, records=5)], []]
    ran = cli("store", "check", "odd:")
    assert (ran.status, counts(ran)["conversations"]) == (0, 0)


async def listed(store: OddStore) -> ConversationInfo:
    """Return what a list says of the conversation."""
    await fill(store)
    (info,) = await store.memory.for_user("u").conversations()
    return info


def test_where_a_turn_begins_for_the_store_is_seen_under_its_lease(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"), answered("t", 1, "y"))
    assert cli("store", "check", URL, "--leases").status == 0
    scribe.sql("UPDATE conversations SET open_turn = 2")
    assert cli("store", "check", URL).status == 0
    ran = cli("store", "check", URL, "--leases")
    assert ran.status == 1
    assert "the unfinished turn begins at record 1, for the store at record 2" in " ".join(damage(ran))
    scribe.sql("UPDATE conversations SET open_turn = NULL")
    assert "for the store nowhere" in " ".join(damage(cli("store", "check", URL, "--leases")))


def test_a_flood_of_damage_is_counted_and_not_printed_whole(cli: Cli, scribe: Scribe) -> None:
    for number in range(60):
        scribe.write("u", f"c{number}", *[settled("t", f"1.{n}") for n in range(25)], seconds=0)
    ran = cli("store", "check", URL)
    assert len(damage(ran)) == 1001
    assert damage(ran)[-1] == "… and 200 lines more"
    assert counts(ran)["damaged"] == 60


def test_a_name_cannot_write_to_the_terminal(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u\x1b[2J", "c\nd", said("t", "x"))
    ran = cli("store", "check", URL)
    assert "\x1b" not in ran.out
    assert r"u\x1b[2J" in ran.out
    assert r"c\nd" in ran.out
