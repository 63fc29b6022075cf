"""`store export` and `store import`."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from assistant_kit.assistant import Assistant
from assistant_kit.messages import ToolAnswer, text_of
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.settings import Settings, WindowSettings
from assistant_kit.testing.scripted_model import Call, CallTools, ScriptedModel, Step
from tests.cli.conftest import Ran
from tests.cli.scribe import Scribe, finished, said, write_sample

Cli = Callable[..., Ran]
URL = "sqlite:///chat.db"
SMALL = Settings(window=WindowSettings(max_result_tokens=1_000))


def test_a_user_moves_to_another_store(cli: Cli, scribe: Scribe, tmp_path: Path) -> None:
    write_sample(scribe)
    ran = cli("store", "export", URL, "--user", "ann", "-o", "ann.jsonl")
    assert (ran.status, ran.out) == (0, "26 lines written to ann.jsonl\n")
    assert stat.S_IMODE((tmp_path / "ann.jsonl").stat().st_mode) == 0o600
    ran = cli("store", "import", "sqlite:///new.db", "--user", "ann", "ann.jsonl")
    assert (ran.status, ran.out) == (0, "2 conversations imported for user ann\n")
    assert (
        "users=1 conversations=2 records=11 turns=2 open=0 waiting=1 " in cli("store", "check", "sqlite:///new.db").out
    )
    again = cli("store", "import", "sqlite:///new.db", "--user", "ann", "ann.jsonl")
    assert (again.status, again.out) == (0, "2 conversations imported for user ann\n")


def test_long_results_are_read_again_where_a_user_has_moved_to(cli: Cli) -> None:
    rain = "".join(f"{number}: it rains in Oslo.\n" for number in range(2000))

    def report() -> str:
        """Everything we know."""
        return rain

    def read_on(request: ModelRequest) -> CallTools:
        return CallTools(Call("read_result", {"handle": handle(request), "page": 2}))

    async def ask(address: str, *steps: Step) -> list[str]:
        with anyio.fail_after(30), ScriptedModel(steps) as model:
            async with Assistant(model, tools=[report], store=address, settings=SMALL) as assistant:
                await assistant.run("What do we know?", user="u", conversation="c")
        return [text_of(item.content) for item in model.requests[-1].items if isinstance(item, ToolAnswer)]

    anyio.run(ask, URL, CallTools(Call("report")), "It rains.")
    assert cli("store", "export", URL, "--user", "u", "-o", "u.jsonl").status == 0
    assert cli("store", "import", "sqlite:///new.db", "--user", "u", "u.jsonl").out.startswith("2 conversations ")
    assert cli("store", "import", "sqlite:///new.db", "--user", "u", "u.jsonl").status == 0
    assert cli("store", "check", "sqlite:///new.db").status == 0
    found = anyio.run(ask, "sqlite:///new.db", read_on, "Still.")[-1]
    heading, _, page = found.partition("\n")
    assert heading.startswith("[page 2 of ")
    assert len(page) > 1000
    assert page in rain


def handle(request: ModelRequest) -> str:
    """The name of the result that was cut."""
    shown = [text_of(item.content) for item in request.items if isinstance(item, ToolAnswer)]
    return shown[0].partition('read_result("')[2].partition('"')[0]


def test_an_export_can_be_printed_and_read_from_standard_input(
    cli: Cli, scribe: Scribe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scribe.write("u", "c", said("t", "Grüße\x1b[2J\u202e"), finished("t"))
    ran = cli("store", "export", URL, "--user", "u", "--conversation", "c")
    assert ran.status == 0
    assert ran.out.replace("\n", "").isprintable()
    assert [json.loads(line)["line"] for line in ran.out.splitlines()] == [
        "export",
        "conversation",
        "record",
        "record",
        "end",
    ]
    (tmp_path / "piped").write_text(ran.out, encoding="utf-8")
    with (tmp_path / "piped").open() as piped:
        monkeypatch.setattr("sys.stdin", piped)
        assert cli("store", "import", "sqlite:///new.db", "--user", "u", "-").status == 0
        assert not piped.closed
        piped.seek(0)
        assert piped.readable()
    assert r"Grüße\x1b[2J\u202e" in cli("inspect", "sqlite:///new.db", "c", "--user", "u").out


def test_nothing_is_left_where_an_export_fails(cli: Cli, scribe: Scribe, tmp_path: Path) -> None:
    scribe.write("u", "c", said("t", "x"), finished("t"))
    (tmp_path / "out").write_text("old")
    scribe.sql("DELETE FROM records WHERE record_id = 'r1'")
    ran = cli("store", "export", URL, "--user", "u", "-o", "out")
    assert (ran.status, ran.out) == (1, "")
    assert (tmp_path / "out").read_text() == "old"
    assert not (tmp_path / "out.part").exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--user", "nobody"], 2), (["--user", "u", "--conversation", "C"], 1), (["--user", "u", "-o", "no/such/x"], 1)],
)
def test_what_cannot_be_exported_is_an_error(cli: Cli, scribe: Scribe, arguments: list[str], status: int) -> None:
    scribe.write("u", "c", said("t", "x"))
    ran = cli("store", "export", URL, *arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (status, "", 1)


def test_a_chain_without_conversations_can_be_exported(cli: Cli, scribe: Scribe) -> None:
    scribe.audit = True
    scribe.write("u", "c", said("t", "x"))
    cli("store", "erase", URL, "--user", "u", "--yes")
    user = cli("audit", "verify", URL).out.split(":")[0].split()[-1]
    assert '"line":"audit"' in cli("store", "export", URL, "--user", user).out


@pytest.mark.parametrize(("content", "status"), [(b"\xff\xfe", 2), (b"", 2), (b'{"line":"nonsense"}\n', 2), (None, 1)])
def test_what_is_no_export_is_an_error(cli: Cli, tmp_path: Path, content: bytes | None, status: int) -> None:
    if content is not None:
        (tmp_path / "in").write_bytes(content)
    ran = cli("store", "import", URL, "--user", "u", "in")
    assert (ran.status, ran.out, ran.err.count("\n")) == (status, "", 1)


def test_an_import_overwrites_nothing(cli: Cli, scribe: Scribe) -> None:
    scribe.write("u", "c", said("t", "x"), finished("t"))
    cli("store", "export", URL, "--user", "u", "-o", "u.jsonl")
    scribe.write("u", "c", said("t2", "y"))
    before = cli("inspect", URL, "c", "--user", "u").out
    ran = cli("store", "import", URL, "--user", "u", "u.jsonl")
    assert (ran.status, ran.out) == (1, "")
    assert cli("inspect", URL, "c", "--user", "u").out == before
