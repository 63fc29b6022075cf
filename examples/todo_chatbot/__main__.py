"""Starts the todo assistant, in the terminal or as a service: `python -m examples.todo_chatbot [--serve]`."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from assistant_kit import AssistantKitError
from examples.todo_chatbot.chat import HELP, converse
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.screen import Screen, standard_screen
from examples.todo_chatbot.services.errors import ServiceError
from examples.todo_chatbot.settings import VARIABLES, Settings, SettingsError, read_settings

with contextlib.suppress(ImportError):  # not on Windows
    import readline

    readline.set_auto_history(True)  # the import alone gives `input` an editor

_INTERRUPTED = 130  # as shells report a program that Ctrl-C has ended
_ABOUT = """\
A todo assistant in the terminal. When standard input is no terminal it reads one message a line.
With --serve it is an HTTP service: /docs shows its API, /mcp is for clients of the Model Context Protocol."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program: 0 when all went well, 1 when a turn failed, 2 when it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.todo_chatbot",
        description=_ABOUT,
        epilog=f"in the chat:\n{HELP}\n\n{VARIABLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--serve", action="store_true", help="serve the API instead of talking here")
    parser.add_argument("--host", default="127.0.0.1", help="where to serve (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="where to serve (default: %(default)s)")
    asked = parser.parse_args(arguments)
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:  # as `<&-` and `>&-` leave them
        return 2
    screen = standard_screen()
    try:
        settings = read_settings(os.environ)
        screen.note(settings.remark)
        return _serve(settings, screen, asked) if asked.serve else _talk(settings, screen)
    except (SettingsError, ServiceError, AssistantKitError) as error:
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


def _talk(settings: Settings, screen: Screen) -> int:
    database = Database(settings.database_url)
    database.migrate()  # a database that cannot be used is found now, and not in the first turn
    screen.note(f"Tasks and conversations: {database.place}")
    well = converse(settings, database, screen)
    database.close()
    return 0 if well else 1


def _serve(settings: Settings, screen: Screen, asked: argparse.Namespace) -> int:
    from examples.todo_chatbot.serve import serve  # noqa: PLC0415  (the terminal needs no web framework)

    screen.note(f"Tasks and conversations: {Database(settings.database_url).place}")
    screen.note(f"Serving http://{asked.host}:{asked.port}: /docs shows the API, Ctrl-C ends it.")
    serve(settings, asked.host, asked.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
