"""`inspect`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assistant_kit.entries import (
    ApprovalDecided,
    CallResolved,
    Compacted,
    Entry,
    MemoriesExtracted,
    MemoriesRecalled,
    Summary,
    ToolNoted,
    TurnStarted,
)
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    ProviderItem,
    Reasoning,
    Text,
    UserMessage,
)
from assistant_kit.tool_spec import Keyed
from assistant_kit.usage import Usage
from tests.cli.conftest import Ran
from tests.cli.scribe import (
    TRIP,
    Scribe,
    answered,
    began,
    call,
    ended,
    finished,
    said,
    suspended,
    taken_over,
    write_sample,
)

Cli = Callable[..., Ran]
SAMPLES = Path(__file__).parent / "samples"
URL = "sqlite:///chat.db"


def test_the_sample_of_the_page_is_what_is_printed(cli: Cli, scribe: Scribe) -> None:
    write_sample(scribe)
    ran = cli("inspect", URL, "trip", "--user", "ann")
    assert (ran.status, ran.out) == (0, (SAMPLES / "inspect.txt").read_text())
    assert max(map(len, ran.out.splitlines())) <= 80


def shown(cli: Cli, *entries: Entry, scribe: Scribe, full: bool = False) -> list[str]:
    """Return what is shown of entries, without their places."""
    scribe.write("u", "c", *entries)
    ran = cli("inspect", URL, "c", "--user", "u", *(["--full"] if full else []))
    assert (ran.status, ran.err) == (0, "")
    return [line[27:] for line in ran.out.splitlines()[4:]]


def test_messages_are_told_with_what_is_in_them(cli: Cli, scribe: Scribe) -> None:
    items = (
        AssistantMessage(text="", refusal="No."),
        Reasoning(text="Hm."),
        Reasoning(),
        ProviderItem(type="web_search_call", raw="{}"),
        call(1, "pay", "{}"),
    )
    image, picture = Image(url="http://x/y.png"), Image(data=b"", media_type="image/png")
    parts = (Text(text="see"), image, picture, File(filename="a.pdf"))
    answer = answered("t", 1, *items, usage=Usage(reported=False))
    lines = shown(
        cli,
        TurnStarted(turn="t", input=UserMessage(content=parts)),
        replace(answer, finish="length", prompt=DeveloperMessage(text="Mend it.")),
        scribe=scribe,
        full=True,
    )
    assert lines == [
        "user     see [image http://x/y.png] [image image/png]",
        "         [file a.pdf]",
        "model    gpt-5.6-luna, usage not reported, length",
        "told     Mend it.",
        "refuses  No.",
        "thinks   Hm.",
        "thinks   (hidden)",
        "item     web_search_call",
        "asks     1.0 pay {}",
    ]


def test_calls_and_ends_are_told_with_their_outcomes(cli: Cli, scribe: Scribe) -> None:
    lines = shown(
        cli,
        said("t", "x"),
        began("t", "1.0", "pay", effect=Keyed(60), attempt=2),
        ToolNoted(turn="t", key="1.0", call_id="call_1", note="task 7"),
        suspended("t", "overloaded"),
        ended("t", "1.0", "pay", "?", outcome="unknown"),
        ApprovalDecided(turn="t", key="1.1", call_id="x", arguments_hash="h", approved=True, by="ann"),
        ApprovalDecided(turn="t", key="1.2", call_id="x", arguments_hash="h", approved=False),
        finished("t", "failed", reason="it broke", usage=Usage()),
        CallResolved(turn="t", key="1.0", call_id="call_1", tool="pay", outcome="ok", content=(), by="bob"),
        CallResolved(turn="t", key="1.1", call_id="call_2", tool="pay", outcome="error", content=()),
        scribe=scribe,
        full=True,
    )
    assert lines == [
        "user     x",
        "start    1.0 pay: keyed(60), attempt 2, key",
        "         5f3a9c0d41e2b7",
        "note     1.0: task 7",
        "left     for a later attempt: overloaded",
        "end      1.0 pay: UNKNOWN, ?",
        "decided  1.1 approved by ann",
        "decided  1.2 denied",
        "finish   failed: it broke",
        "settled  1.0 pay: ok by bob, (empty)",
        "settled  1.1 pay: error, (empty)",
    ]


def test_what_was_shown_less_recalled_and_learned_is_told(cli: Cli, scribe: Scribe) -> None:
    recalled = UserMessage(content=(Text(text="Likes tea."),))
    summaries = (Summary(text="They met.", first=1, last=3),)
    lines = shown(
        cli,
        said("t", "hello"),
        MemoriesRecalled(turn="t", memories=("m1",), message=recalled),
        answered("t", 1, "hi"),
        finished("t"),
        Compacted(turn="t", key="compact/after/4", before=4, summaries=summaries, strategy="sum up", usage=Usage()),
        MemoriesExtracted(turn="t", until=1, memories=("m1", "m2"), usage=Usage()),
        scribe=scribe,
    )
    told = "\n".join(lines)
    assert "recalled" in told
    assert "Likes tea." in told
    assert "sum up, 1 summaries, before record 4" in told
    assert "2 memories, up to record 1" in told
    assert cli("store", "check", URL).status == 0


def test_long_texts_are_cut_and_shown_in_full_on_request(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "word " * 100 + "end"))
    assert "end" not in cli("inspect", URL, "c", "--user", "u").out
    full = cli("inspect", URL, "c", "--user", "u", "--full").out
    assert full.count("word") == 100
    assert "end" in full
    assert max(map(len, full.splitlines())) <= 80


def test_the_whole_text_of_an_overlong_result_is_shown(cli: Cli, scribe: Scribe) -> None:
    name = scribe.keep("u", "It rains in Oslo.\x1b\n" * 2000)
    ran = cli("inspect", URL, name, "--user", "u")
    assert (ran.status, ran.err) == (0, "")
    assert all("kept" in line for line in ran.out.splitlines()[1:])
    assert cli("inspect", URL, name, "--user", "u", "--full").out.count("Oslo.\\x1b") == 2000
    as_json = cli("inspect", URL, name, "--user", "u", "--json")
    pieces = [json.loads(line)["pieces"] for line in as_json.out.splitlines()]
    assert "".join(piece for record in pieces for piece in record) == "It rains in Oslo.\x1b\n" * 2000
    for arguments in ([], ["--json"]):
        assert cli("inspect", URL, name, "--user", "u", "--turn", "t", *arguments).status == 2


def test_a_kept_text_that_cannot_be_read_is_named(cli: Cli, scribe: Scribe) -> None:
    name = scribe.keep("u", "It rains in Oslo.\n" * 2000)
    scribe.sql("UPDATE records SET body = ? WHERE record_id = '2'", b"{}")
    for arguments in ([], ["--turn", "t"]):
        ran = cli("inspect", URL, name, "--user", "u", *arguments)
        assert ran.status == (2 if arguments else 1)
        assert ran.out.count("DAMAGED") == (not arguments)


@pytest.mark.parametrize("arguments", [[], ["--full"], ["--json"]])
def test_stored_text_cannot_write_to_the_terminal(cli: Cli, scribe: Scribe, arguments: list[str]) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202e\x7f"
    entries = (
        said("t" + evil, evil, request_id=evil),
        answered("t" + evil, 1, evil, call(1, "pay" + evil, evil)),
        ended("t" + evil, "1.0", "pay" + evil, evil),
        finished("t" + evil, "failed", reason=evil),
    )
    scribe.write("u" + evil, "c" + evil, *entries)
    ran = cli("inspect", URL, "c" + evil, "--user", "u" + evil, *arguments)
    assert ran.status == 0
    assert ran.out.replace("\n", "").isprintable()
    assert "owned" in ran.out


def test_a_turn_is_found_by_the_beginning_of_its_id(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("abc1", "one"), finished("abc1"), said("abd2", "two"), finished("abd2"))
    ran = cli("inspect", URL, "c", "--user", "u", "--turn", "abd")
    assert "two" in ran.out
    assert "one" not in ran.out
    as_json = cli("inspect", URL, "c", "--user", "u", "--turn", "abd", "--json")
    assert [json.loads(line)["seq"] for line in as_json.out.splitlines()] == [3, 4]
    for arguments in ([], ["--json"]):
        none = cli("inspect", URL, "c", "--user", "u", "--turn", "x", *arguments)
        assert (none.status, none.err.count("\n")) == (2, 1)


def test_what_stands_behind_the_turn_it_belongs_to_is_shown_under_its_own_heading(cli: Cli, scribe: Scribe) -> None:
    late = CallResolved(turn="a", key="1.0", call_id="call_1", tool="pay", outcome="ok", content=())
    scribe.write("u", "c", said("a", "x"), finished("a"), replace(said("b", "y"), assistant=""), late, finished("b"))
    lines = cli("inspect", URL, "c", "--user", "u").out.splitlines()
    assert [line for line in lines if line.startswith(("turn", "2026"))] == [
        "turn a",
        "2026-11-02 UTC, answered by travel",
        "turn b",
        "2026-11-02 UTC",
        "turn a",
        "2026-11-02 UTC",
        "turn b",
        "2026-11-02 UTC",
    ]


def test_a_turn_over_several_days_says_so(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"), finished("t", "waiting"))
    scribe.wait(86_400)
    scribe.write("u", "c", finished("t", "cancelled"))
    lines = cli("inspect", URL, "c", "--user", "u").out.splitlines()
    assert [line.strip() for line in lines if "--" in line] == ["-- claimed anew, fence 2", "-- 2026-11-03"]


def test_json_holds_the_records_as_they_are(cli: Cli, scribe: Scribe) -> None:
    scribe.write("ann", "trip", *taken_over()[0])
    ran = cli("inspect", URL, "trip", "--user", "ann", "--json")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.status == 0
    assert [(record["seq"], record["fence"], record["kind"], record["total_tokens"]) for record in records] == [
        (1, 1, "turn_started", 5),
        (2, 1, "model_responded", 10),
        (3, 1, "tool_started", 15),
        (4, 1, "tool_finished", 20),
    ]
    assert records[0]["entry"]["turn"] == TRIP


def test_claims_are_counted_from_the_beginning_of_the_conversation(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("a", "x"), finished("a"))
    scribe.write("u", "c", said("b", "x"))
    scribe.sql("UPDATE records SET fence = 1795322845327824 WHERE fence > 1")
    (line,) = [
        line for line in cli("inspect", URL, "c", "--user", "u", "--turn", "b").out.splitlines() if "user" in line
    ]
    assert line.split()[:2] == ["3", "2"]
    assert len(line) <= 80


def test_a_long_journal_is_shown_whole(cli: Cli, scribe: Scribe) -> None:
    turns = [entry for n in range(150) for entry in (said(f"t{n}", "hi"), finished(f"t{n}"))]
    scribe.write("u", "c", *turns, seconds=0)
    assert cli("inspect", URL, "c", "--user", "u").out.count("\nturn t") == 150


@pytest.mark.parametrize("body", ["x'00'", "CAST('[]' AS BLOB)"])
def test_an_entry_that_cannot_be_read_does_not_hide_the_others(cli: Cli, scribe: Scribe, body: str) -> None:
    scribe.write("u", "c", said("t", "x"), answered("t", 1, "y"), finished("t"))
    scribe.sql(f"UPDATE records SET body = {body} WHERE record_id = 'r2'")  # noqa: S608
    ran = cli("inspect", URL, "c", "--user", "u")
    assert ran.status == 1
    assert "DAMAGED" in ran.out
    assert "completed" in ran.out
    as_json = cli("inspect", URL, "c", "--user", "u", "--json")
    assert (as_json.status, len(as_json.out.splitlines())) == (1, 3)


def test_a_conversation_without_entries_shows_none(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c")
    assert cli("inspect", URL, "c", "--user", "u").out == ""


@pytest.mark.parametrize(("user", "conversation"), [("u", "C"), ("v", "c")])
def test_a_conversation_that_the_user_has_not_is_an_error(
    cli: Cli, scribe: Scribe, user: str, conversation: str
) -> None:
    scribe.write("u", "c", said("t", "x"))
    ran = cli("inspect", URL, conversation, "--user", user)
    assert (ran.status, ran.out, ran.err) == (1, "", f"assistant-kit: this user has no conversation '{conversation}'\n")
