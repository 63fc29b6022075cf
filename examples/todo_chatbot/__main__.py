"""Starts the todo assistant: `python -m examples.todo_chatbot`."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from assistant_kit import AssistantKitError
from examples.todo_chatbot.chat import HELP, converse
from examples.todo_chatbot.screen import Screen, standard_screen
from examples.todo_chatbot.services.task_service import TaskService, TaskServiceError
from examples.todo_chatbot.settings import VARIABLES, SettingsError, read_settings

with contextlib.suppress(ImportError):  # not on Windows
    import readline

    readline.set_auto_history(True)  # the import alone gives `input` an editor

_INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended
_ABOUT = "A todo assistant in the terminal. When standard input is no terminal it reads one message a line."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program: 0 when all went well, 1 when a turn failed, 2 when it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.todo_chatbot",
        description=_ABOUT,
        epilog=f"in the chat:\n{HELP}\n\n{VARIABLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:  # as `<&-` and `>&-` leave them
        return 2
    screen = standard_screen()
    try:
        return _run(screen)
    except (SettingsError, TaskServiceError, AssistantKitError) as error:
        screen.problem(str(error))
        return 2
    except KeyboardInterrupt:
        screen.line()
        return _INTERRUPTED
    except OSError as error:  # our output cannot be written: its reader has left, or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            screen.problem(f"the output cannot be written: {error.strerror}")
        return 1


def _run(screen: Screen) -> int:
    settings = read_settings(os.environ)
    TaskService(settings.tasks)  # a database that cannot be used is found now, and not in the first turn
    screen.note(settings.remark)
    screen.note(f"Tasks and conversations: {settings.data}")
    return 0 if converse(settings, screen) else 1


if __name__ == "__main__":
    sys.exit(main())
