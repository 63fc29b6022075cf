"""`audit verify` and `audit anchor`."""

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Ran
from tests.cli.scribe import Scribe, finished, said, write_sample

Cli = Callable[..., Ran]
SAMPLES = Path(__file__).parent / "samples"
URL = "sqlite:///chat.db"


def test_the_sample_of_the_page_is_what_is_printed(cli: Cli, scribe: Scribe) -> None:
    write_sample(scribe)
    ran = cli("audit", "verify", URL)
    assert (ran.status, ran.out) == (0, (SAMPLES / "verify.txt").read_text())


def test_a_change_behind_the_stores_back_is_found_and_placed(cli: Cli, scribe: Scribe) -> None:
    write_sample(scribe)
    scribe.sql("UPDATE records SET tokens = 6 WHERE record_id = 'r2'")
    ran = cli("audit", "verify", URL)
    assert ran.status == 1
    lines = ran.out.splitlines()
    assert lines[0] == "WRONG  ann: 11 links, 2 conversations, 11 records"
    assert "'trip', record 2: the record is not what was written (tokens)" in " ".join(" ".join(lines[1:3]).split())
    assert lines[-1] == "users=2 wrong=1"
    assert cli("audit", "verify", URL, "--user", "bob").out.endswith("users=1 wrong=0\n")


def test_more_findings_than_a_report_lists_are_hinted_at(cli: Cli, scribe: Scribe) -> None:
    scribe.audit = True
    turns = [entry for n in range(510) for entry in (said(f"t{n}", "x"), finished(f"t{n}"))]
    scribe.write("u", "c", *turns, seconds=0)
    for number in range(11):
        scribe.write("u", f"d{number}", *turns[:100], seconds=0)
    scribe.sql("UPDATE records SET tokens = tokens + 1")
    assert "       … and more\n" in cli("audit", "verify", URL).out


def test_an_anchor_finds_a_chain_that_was_cut(cli: Cli, scribe: Scribe) -> None:
    scribe.audit = True
    scribe.write("u", "c", said("t", "x"), finished("t"))
    anchor = cli("audit", "anchor", URL, "--user", "u").out.strip()
    assert anchor.startswith("2:")
    assert cli("audit", "verify", URL, "--user", "u", "--anchor", anchor).status == 0
    scribe.sql("DELETE FROM audit WHERE place % 4294967296 = 2")
    scribe.sql("DELETE FROM records WHERE record_id = 'r2'")
    assert cli("audit", "verify", URL, "--user", "u").status == 0
    ran = cli("audit", "verify", URL, "--user", "u", "--anchor", anchor)
    assert ran.status == 1
    assert "its end was cut off" in " ".join(ran.out.split())


def test_an_erased_user_is_still_verified(cli: Cli, scribe: Scribe) -> None:
    scribe.audit = True
    scribe.write("u", "c", said("t", "x"))
    cli("store", "erase", URL, "--user", "u", "--yes")
    ran = cli("audit", "verify", URL)
    assert ran.status == 0
    assert "2 links, 0 conversations, 0 records, erased" in " ".join(ran.out.split())


def test_what_is_no_anchor_is_refused(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"))
    ran = cli("audit", "verify", URL, "--user", "u", "--anchor", "1:zz")
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_an_anchor_belongs_to_a_user(cli: Cli) -> None:
    ran = cli("audit", "verify", URL, "--anchor", "1:" + "0" * 64)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
