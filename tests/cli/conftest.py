"""Commands as somebody types them, and stores to type them at."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from assistant_kit.cli import main
from tests.cli.scribe import Scribe


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    status: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ran]:
    """Run `assistant-kit` with arguments, on 80 columns, in an empty folder."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main([*arguments])
        seen = capsys.readouterr()
        return Ran(status, seen.out, seen.err)

    return run


@pytest.fixture
def scribe(tmp_path: Path) -> Scribe:
    """Write journals into the file that commands in the empty folder know as `sqlite:///chat.db`."""
    return Scribe(tmp_path / "chat.db")
