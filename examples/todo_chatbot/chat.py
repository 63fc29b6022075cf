"""The todo assistant in a terminal or a pipe.

The event loop runs in a thread of its own (`start_blocking_portal`); the main thread reads lines, so that editing them
and Ctrl-C work as everywhere.
"""

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from assistant_kit import Assistant, AssistantKitError, LeaseSettings, MCPServer, keyed
from assistant_kit import Settings as AssistantSettings
from assistant_kit.tool_spec import ToolSpec
from examples.todo_chatbot.rules import todo_model
from examples.todo_chatbot.screen import Screen
from examples.todo_chatbot.settings import Settings

INSTRUCTIONS = """\
You keep the user's task list, with the tools and nothing else. Add, list, complete, update and delete tasks as the
user asks in plain words. The tools need ids: when the user names a task by its title, call list_tasks first. When
several tasks fit, ask which one is meant. Say briefly what you have done, and never claim a change that no tool has
confirmed."""

HELP = """\
Say what there is to do: "add milk to my list", "what is on my list?", "complete the milk task".
/history  this conversation so far      /tools  what the assistant can do
/new      start a new conversation      /help   this text
/quit     leave (as does Ctrl-D)        Ctrl-C  stops an answer; twice at the prompt leaves"""

_SERVER = (sys.executable, "-m", "examples.todo_chatbot.mcp_server.server")
_ROOT = Path(__file__).parents[2]
_A_DAY = 86_400.0
_PATIENCE = LeaseSettings(ttl=5.0, wait=15.0)  # after a crash the next start does not wait long
_LONGEST_LINE = 1 << 20  # bytes; more in one line is no message


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no message, and why."""

    reason: str


def make_assistant(settings: Settings) -> Assistant[str]:
    """Put the assistant together. Its tools are those of a process of its own, started for this user."""
    tools = MCPServer(
        _SERVER,
        name="todo",
        cwd=_ROOT,
        env={"TODO_USER": settings.user, "TODO_DATABASE": str(settings.tasks)},
        effects={"list_tasks": "read", "complete_task": "idempotent", "update_task": "idempotent",
                 "delete_task": "idempotent", "add_task": keyed(_A_DAY)},
    )  # fmt: skip
    return Assistant(
        todo_model() if settings.model is None else settings.model,
        instructions=INSTRUCTIONS,
        tools=[tools],
        settings=AssistantSettings(model=settings.style, window=settings.window, lease=_PATIENCE),
        store=f"sqlite:///{quote(str(settings.conversations))}",
    )


class Chat:
    """A user's conversation with the assistant on a screen."""

    def __init__(self, assistant: Assistant[str], user: str, screen: Screen) -> None:
        """Take an open assistant; begin with `start`."""
        self._assistant = assistant
        self._user = user
        self._screen = screen
        self._conversation = ""
        self._turn: anyio.CancelScope | None = None

    async def start(self) -> None:
        """Go on with the user's last conversation, or begin the first one."""
        last = await self._assistant.conversations(user=self._user, limit=1)
        if last and last[0].records:
            self._conversation = last[0].conversation
            when = datetime.fromtimestamp(last[0].updated_at).astimezone()
            self._screen.note(
                f"Going on with the conversation of {when:%Y-%m-%d %H:%M}: /history shows it, /new starts anew."
            )
        else:
            self._conversation = _new_id()

    async def hear(self, text: str) -> bool:
        """Do what the user asks for, a command or a turn; tell whether it went well."""
        try:
            if not text.startswith("/"):
                return await self._say(text)
            match text.split(maxsplit=1)[0].lower():
                case "/help":
                    self._screen.line(HELP)
                case "/history":
                    await self._show_history()
                case "/tools":
                    await self._show_tools()
                case "/new":
                    self._conversation = _new_id()
                    self._screen.note("A new conversation.")
                case command:
                    self._screen.problem(f"there is no command {command}: /help shows the commands")
                    return False
        except AssistantKitError as error:
            self._screen.problem(str(error))
            return False
        return True

    def stop(self) -> None:
        """Stop the turn that goes on; to be called in the event loop."""
        if self._turn is not None:
            self._turn.cancel()

    async def _say(self, text: str) -> bool:
        with anyio.CancelScope() as self._turn:
            async with self._assistant.stream(text, user=self._user, conversation=self._conversation) as run:
                async for event in run:
                    self._screen.show(event)
            return True
        self._screen.note("(stopped)")
        return False

    async def _show_history(self) -> None:
        known = await self._assistant.conversations(user=self._user)
        if any(info.conversation == self._conversation for info in known):
            conversation = self._assistant.conversation(self._conversation, user=self._user)
            self._screen.history(await conversation.history())
        else:
            self._screen.note("Nothing has been said yet.")

    async def _show_tools(self) -> None:
        for tool in await self._assistant.tools():
            if isinstance(tool, ToolSpec):
                self._screen.line(f"{tool.name}: {tool.description.partition(chr(10))[0]}")


def converse(settings: Settings, screen: Screen) -> bool:
    """Talk until the lines end; tell whether all went well. On a terminal that is for the reader to judge.

    Raises AssistantKitError when it cannot start.
    """
    assistant = make_assistant(settings)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(assistant):
        chat = Chat(assistant, settings.user, screen)
        portal.call(chat.start)
        typed = sys.stdin.isatty()
        if typed:
            screen.line("/help shows what there is.")
        failures = 0
        for line in typed_lines(screen) if typed else piped_lines(sys.stdin.buffer, screen):
            if isinstance(line, Unreadable):
                screen.problem(line.reason)
                failures += 1
            elif line.split(maxsplit=1)[0].lower() == "/quit":
                break
            else:
                failures += not _handled(line, portal, chat, go_on=typed)
        if typed:
            screen.note("Goodbye.")
        return typed or not failures


def _handled(line: str, portal: BlockingPortal, chat: Chat, *, go_on: bool) -> bool:
    """Let the chat hear a line. Ctrl-C stops that, and with `go_on` nothing more."""
    turn = portal.start_task_soon(chat.hear, line)
    try:
        return turn.result()
    except KeyboardInterrupt:
        portal.call(chat.stop)
        turn.result()  # the turn is closed before anything else happens
        if go_on:
            return False
        raise


def typed_lines(screen: Screen) -> Iterator[str | Unreadable]:
    """Read lines from the terminal, until Ctrl-D or two times Ctrl-C."""
    interrupted = False
    while True:
        try:
            line = input("> ")
        except EOFError:
            screen.line()
            return
        except KeyboardInterrupt:
            screen.line()
            if interrupted:
                return
            interrupted = True
            screen.note("Ctrl-C again leaves, as do /quit and Ctrl-D.")
            continue
        except UnicodeDecodeError as error:
            yield Unreadable(f"this line is no text ({error.reason}): it was not sent")
            continue
        interrupted = False
        if line.strip():
            yield message_of(line.encode(errors="surrogateescape"), "this line")


def piped_lines(source: BinaryIO, screen: Screen) -> Iterator[str | Unreadable]:
    """Read one message a line and show it, as a terminal would have."""
    number = 0
    while raw := source.readline(_LONGEST_LINE + 1):
        number += 1
        if len(raw) > _LONGEST_LINE:
            while raw and not raw.endswith(b"\n"):
                raw = source.readline(_LONGEST_LINE)
            yield Unreadable(f"line {number} has more than {_LONGEST_LINE} bytes: it was not sent")
        elif raw.strip():
            message = message_of(raw, f"line {number}")
            if isinstance(message, str):
                screen.heard(message)
            yield message


def message_of(raw: bytes, where: str) -> str | Unreadable:
    """Decode a line; what is no text is never sent."""
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError as error:
        return Unreadable(f"{where} is no UTF-8 text (byte {error.start + 1}): it was not sent; write plain text")
    if any(not char.isprintable() and char != "\t" for char in text):
        return Unreadable(f"{where} has control characters: it was not sent; write plain text")
    return text


def _new_id() -> str:
    return f"todo-{secrets.token_hex(8)}"
