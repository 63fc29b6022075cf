"""Hold the todo chatbot's sample conversation with a real model; scripts/local-model says how."""

import os
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2

sys.path.insert(0, str(Path(__file__).parents[1]))  # a file that is run by its path does not see the examples

from assistant_kit import AssistantKitError, CannotFit, DeadlineExceeded, ModelError, OutputInvalid, StepLimitExceeded
from assistant_kit.events import Event
from examples.todo_chatbot.chat import converse
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.screen import Screen
from examples.todo_chatbot.settings import read_settings

SAMPLE = Path(__file__).parents[1] / "examples" / "todo_chatbot" / "sample.txt"
RUNS = 2
_BAD_REQUEST = 400
_UNPROCESSABLE = 422
_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error")
_OF_THE_MODEL = (CannotFit, DeadlineExceeded, OutputInvalid, StepLimitExceeded)


class CountingScreen(Screen):
    """A screen that counts what it shows."""

    def __init__(self) -> None:
        super().__init__(sys.stdout, sys.stdout)
        self.counted: Counter[str] = Counter()

    def show(self, event: Event) -> None:
        """Show an event, and count it."""
        super().show(event)
        match event.kind:
            case "complete":
                self.counted["completed"] += 1
                self.counted["requests"] += event.usage.requests
            case "error":
                self.counted["errors"] += 1
                self.counted["faults"] += is_fault(event.error)
                self.line(f"  ({type(event.error).__name__})")
            case "tool_request":
                self.counted["tool_calls"] += 1
            case "tool_result":
                self.counted["tool_errors"] += event.outcome != "ok"
            case _:
                pass


def is_fault(error: AssistantKitError) -> bool:
    """Tell whether an error is the library's: neither the model's, nor its server's.

    A request that a server refuses as malformed may be ours; one that is over its context window would be, too, if it
    were not for the window being what the caller says.
    """
    if isinstance(error, ModelError):
        return error.status in (_BAD_REQUEST, _UNPROCESSABLE) and error.code not in _TOO_LONG
    return not isinstance(error, _OF_THE_MODEL)


def answers(address: str) -> bool:
    """Tell whether a server is ready."""
    try:
        return httpx2.get(f"{address.rstrip('/')}/models", timeout=5.0).is_success
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False


def main() -> int:
    """Run the sample, print the figures, and return 1 when a turn failed by the library's fault."""
    if "--answers" in sys.argv[1:]:
        return 0 if answers(os.environ["OPENAI_BASE_URL"]) else 1
    settings, screen = read_settings(os.environ), CountingScreen()
    database = Database(settings.database_url)
    database.migrate()
    began = time.monotonic()
    for run in range(1, RUNS + 1):
        screen.line(f"--- run {run}: {settings.remark}")
        with SAMPLE.open() as sys.stdin:
            converse(settings, database, screen)
    counted = screen.counted
    turns = RUNS * len([line for line in SAMPLE.read_text().splitlines() if line.strip()])
    counted["faults"] += turns - counted["completed"] - counted["errors"]
    names = ("completed", "errors", "faults", "tool_calls", "tool_errors", "requests")
    figures = " ".join(f"{name}={counted[name]}" for name in names)
    screen.line(f"turns={turns} {figures} seconds={time.monotonic() - began:.0f}")
    return 1 if counted["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
