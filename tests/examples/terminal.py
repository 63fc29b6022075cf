"""A program on a terminal of its own, for tests: what it shows can be awaited, keys can be pressed."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CTRL_C, CTRL_D = "\x03", "\x04"
# The terminal has to be the controlling one of its session, or Ctrl-C would reach nobody.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """Runs `command` (an absolute path first); it is killed at the end of the `with` block if it still runs."""

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._keyboard, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        os.close(terminal)
        self._shown: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._keyboard)

    def press(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def type(self, line: str) -> None:
        self.press(f"{line}\n")

    def see(self, text: str, *, within: float = 20.0) -> None:
        """Wait for a text to be shown, after what was seen before. Raises AssertionError."""
        assert self.sees(text, within=within), f"no {text!r} in {self._shown!r}"

    def sees(self, text: str, *, within: float) -> bool:
        """Wait for a text to be shown, and tell whether it was."""
        end = time.monotonic() + within
        while text not in self._shown:
            ready, _, _ = select.select([self._keyboard], [], [], max(0.0, end - time.monotonic()))
            piece = self._read() if ready else b""
            if not piece:
                return False
            self._shown += piece.decode(errors="replace")
        self._shown = self._shown.partition(text)[2]
        return True

    def end(self, *, within: float = 20.0) -> int:
        """Wait for the end of the program and return its exit code."""
        end = time.monotonic() + within
        while select.select([self._keyboard], [], [], max(0.0, end - time.monotonic()))[0]:
            piece = self._read()
            if not piece:
                break
            self._shown += piece.decode(errors="replace")
        return self.process.wait(max(0.1, end - time.monotonic()))

    def _read(self) -> bytes:
        try:
            return os.read(self._keyboard, 4096)
        except OSError:  # how Linux says that nobody has the terminal open any more
            return b""
