"""The command itself: arguments, errors, exit statuses, streams."""

import io
import logging
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant_kit.cli import main
from assistant_kit.cli.addresses import masked
from tests.cli.conftest import Ran
from tests.cli.scribe import Scribe, finished, said

Cli = Callable[..., Ran]
SAMPLES = Path(__file__).parent / "samples"
URL = "sqlite:///chat.db"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["store"],
        ["nonsense"],
        ["store", "nonsense"],
        ["store", "check"],
        ["store", "check", URL, "--nonsense"],
        ["store", "recover", URL],
        ["store", "recover", URL, "--app", "a:b", "--limit", "0"],
        ["store", "recover", URL, "--app", "a:b", "--limit", "x"],
        ["store", "migrate", URL, "--sql", "--after", "-1"],
        ["store", "erase", URL],
        ["audit", "anchor", URL],
        ["inspect", URL, "c"],
        ["inspect", URL, "c", "--user", "u", "--full", "--json"],
        ["store", "check", "nonsense:"],
        ["store", "check", URL, "--user", ""],
    ],
)
def test_what_makes_no_sense_is_one_line_and_status_2(cli: Cli, tmp_path: Path, arguments: list[str]) -> None:
    if "--user" in arguments:
        cli("store", "migrate", URL)
    ran = cli(*arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("assistant-kit: ")
    assert "--user" in arguments or not (tmp_path / "chat.db").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["store", "check", URL],
        ["store", "erase", URL, "--user", "u"],
        ["store", "export", URL, "--user", "u"],
        ["audit", "verify", URL],
        ["inspect", URL, "c", "--user", "u"],
    ],
)
def test_a_mistyped_path_is_an_error_and_no_new_store(cli: Cli, tmp_path: Path, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_an_error_and_left_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_bytes(b"something else" * 100)
    ran = cli("store", "check", URL)
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert (tmp_path / "chat.db").read_bytes() == b"something else" * 100


def test_a_store_is_made_once(cli: Cli) -> None:
    for _ in range(2):
        ran = cli("store", "migrate", URL)
        assert (ran.status, ran.out) == (0, f"up to date: {URL}\n")


def test_a_store_without_sql_says_so(cli: Cli, tmp_path: Path) -> None:
    ran = cli("store", "migrate", URL, "--sql")
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


def test_the_sql_of_a_store_is_printed_without_a_server(cli: Cli) -> None:
    ran = cli("store", "migrate", "postgresql://ann:pa55word@nowhere.invalid/db", "--sql")
    assert (ran.status, ran.err) == (0, "")
    assert "CREATE SCHEMA" in ran.out
    assert "pa55word" not in ran.out
    done = cli("store", "migrate", "postgresql://nowhere.invalid/db", "--sql", "--after", "1000")
    assert (done.status, done.out) == (0, "")


@pytest.mark.parametrize(
    "address",
    [
        "odd://ann:pa55word@host/db",
        "odd://ann:pa55@wo/r:d55@host/db",
        "odd://:pa55word@host",
        "odd://ann:pa55 wo'r:d55@host/db",
        "odd://host/db?password=pa55word&x=1",
        "odd://host/db?sslpassword=pa55word",
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["store", "check", "{}"],
        ["store", "migrate", "--sql", "{}"],
        ["store", "{}"],
        ["{}"],
        ["store", "check", "a", "{}"],
    ],
)
def test_a_password_in_an_address_is_never_printed(cli: Cli, address: str, arguments: list[str]) -> None:
    ran = cli(*[argument.format(address) for argument in arguments])
    assert ran.status == 2
    assert "d55" not in ran.out + ran.err
    assert "pa55" not in ran.out + ran.err
    assert "odd:" in ran.err


def test_an_address_without_a_password_is_printed_as_it_is() -> None:
    for text in ("postgresql://ann@host:5432/db", "mail to ann@host", "redis://host:6379/0", URL):
        assert masked(text) == text


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["store", "--help"], ["inspect", "--help"]])
def test_help_is_not_an_error(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    assert "assistant-kit" in capsys.readouterr().out


def test_warnings_of_the_library_are_plain_lines_on_standard_error(cli: Cli, scribe: Scribe, tmp_path: Path) -> None:
    scribe.write("u", "c", said("t", "x"))
    (tmp_path / "warning_app.py").write_text(
        "import logging\nlogging.getLogger('assistant_kit.run').warning('\\x1b[2J odd://a:pa55@h')\nassistant = 1\n"
    )
    ran = cli("store", "recover", URL, "--app", "warning_app:assistant")
    assert ran.err.splitlines()[0] == r"assistant-kit: \x1b[2J odd://a:…@h"
    assert logging.getLogger("assistant_kit").handlers == []


def test_a_terminal_that_knows_few_characters_sees_escapes(scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "Grüße 東京"))
    done = command("inspect", f"sqlite:///{scribe.path}", "c", "--user", "u", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"Gr\xfc\xdfe \u6771\u4eac" in done.stdout


def test_a_reader_that_has_seen_enough_ends_the_output_quietly(scribe: Scribe) -> None:
    turns = [entry for n in range(3000) for entry in (said(f"t{n}", "hi"), finished(f"t{n}"))]
    scribe.write("u", "c", *turns, seconds=0)
    script = f"{sys.executable} -m assistant_kit.cli inspect sqlite:///{scribe.path} c --user u | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == (["seq", "claim", "time"], "")


def test_a_reader_that_is_gone_is_no_error_to_talk_about(
    scribe: Scribe, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scribe.write("u", "c", said("t", "x"))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr("sys.stdout", gone)
        assert main(["inspect", f"sqlite:///{scribe.path}", "c", "--user", "u"]) == 1
    assert capfd.readouterr().err == ""


def test_what_is_printed_can_be_caught_as_text(scribe: Scribe, monkeypatch: pytest.MonkeyPatch) -> None:
    scribe.write("u", "c", said("t", "Grüße"))
    caught = io.StringIO()
    monkeypatch.setattr("sys.stdout", caught)
    assert main(["inspect", f"sqlite:///{scribe.path}", "c", "--user", "u"]) == 0
    assert "Grüße" in caught.getvalue()


def test_the_module_can_be_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["assistant-kit", "store", "check", "sqlite:///nowhere.db"])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("assistant_kit.cli", run_name="__main__")
    assert left.value.code == 1
    assert "no store" in capsys.readouterr().err


def test_an_interrupt_ends_quietly(cli: Cli, scribe: Scribe, tmp_path: Path) -> None:
    scribe.write("u", "c", said("t", "x"))
    (tmp_path / "interrupting_app.py").write_text("raise KeyboardInterrupt\n")
    ran = cli("store", "recover", URL, "--app", "interrupting_app:assistant")
    assert (ran.status, ran.out, ran.err) == (130, "", "")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "assistant_kit.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
