"""The command line from its arguments to its exit status."""

import logging
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Final, TextIO

import anyio

from assistant_kit.cli.addresses import masked
from assistant_kit.cli.arguments import Command, UsageError, command_of
from assistant_kit.cli.screen import Screen, shown
from assistant_kit.errors import AssistantKitError, ConfigurationError, InputError

_FAILED: Final = 1
_MISUSED: Final = 2
_INTERRUPTED: Final = 130  # as shells have it: 128 and the number of SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Return 0, 1 when something failed or was found damaged, 2 when the arguments are wrong."""
    for stream in (sys.stdout, sys.stderr):
        _tolerate(stream)
    given = sys.argv[1:] if argv is None else argv
    try:
        return _run(command_of(given))
    except (UsageError, ConfigurationError, InputError) as error:
        return _refuse(error, given, _MISUSED)
    except (AssistantKitError, OSError) as error:
        return _refuse(error, given, _FAILED)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(command: Command) -> int:
    screen = Screen(sys.stdout)
    try:
        with _warnings_on(sys.stderr):
            status = anyio.run(command, screen)
        screen.flush()
    except BrokenPipeError:
        # Who reads the output has seen enough (`| head`). What is left in the buffer has nowhere to go.
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  (it is no path)
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return _FAILED
    return status


def _tolerate(stream: TextIO) -> None:
    """Let a terminal that knows few characters show the others as escapes."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _refuse(error: Exception, given: Sequence[str], status: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"assistant-kit: {shown(masked(str(error), *given))}\n")
    return status


@contextmanager
def _warnings_on(stream: TextIO) -> Generator[None]:
    """Print the library's warnings as lines that cannot hold anything but text."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Plain())
    logger = logging.getLogger("assistant_kit")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"assistant-kit: {shown(masked(record.getMessage()))}"
