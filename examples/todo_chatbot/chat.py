"""The todo assistant in a terminal or a pipe.

The event loop runs in a thread of its own (`start_blocking_portal`); the main thread reads lines, so that editing them
and Ctrl-C work as everywhere.
"""

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from assistant_kit import Assistant, AssistantKitError
from assistant_kit.tool_spec import ToolSpec
from examples.todo_chatbot.assistant import make_assistant, make_model, make_state, make_store
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.mcp_server.in_process import task_tools
from examples.todo_chatbot.screen import Screen
from examples.todo_chatbot.services.conversation_service import ConversationService
from examples.todo_chatbot.services.errors import ServiceError
from examples.todo_chatbot.services.task_service import TaskService
from examples.todo_chatbot.services.texts import is_plain
from examples.todo_chatbot.services.user_service import UserService
from examples.todo_chatbot.settings import Settings

HELP = """\
Say what there is to do: "add milk to my list", "what is on my list?", "complete the milk task".
/history  this conversation so far      /tools  what the assistant can do
/new      start a new conversation      /help   this text
/quit     leave (as does Ctrl-D)        Ctrl-C  stops an answer; twice at the prompt leaves"""

_LONGEST_LINE = 1 << 20  # bytes; more in one line is no message


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no message, and why."""

    reason: str


class Chat:
    """A user's conversation with the assistant on a screen."""

    def __init__(
        self, assistant: Assistant[str], conversations: ConversationService, user: UUID, screen: Screen
    ) -> None:
        """Take an open assistant; begin with `start`."""
        self._assistant = assistant
        self._conversations = conversations
        self._user = user
        self._screen = screen
        self._conversation: str | None = None
        """The number of the conversation; a new one has none before something is said."""
        self._turn: anyio.CancelScope | None = None

    async def start(self) -> None:
        """Go on with the user's last conversation, or begin the first one."""
        last = await self._assistant.conversations(user=str(self._user), limit=1)
        if last:
            self._conversation = last[0].conversation
            when = datetime.fromtimestamp(last[0].updated_at).astimezone()
            self._screen.note(
                f"Going on with the conversation of {when:%Y-%m-%d %H:%M}: /history shows it, /new starts anew."
            )

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
                    self._conversation = None
                    self._screen.note("A new conversation.")
                case command:
                    self._screen.problem(f"there is no command {command}: /help shows the commands")
                    return False
        except (AssistantKitError, ServiceError) as error:
            self._screen.problem(str(error))
            return False
        return True

    def stop(self) -> None:
        """Stop the turn that goes on; to be called in the event loop."""
        if self._turn is not None:
            self._turn.cancel()

    async def _say(self, text: str) -> bool:
        with anyio.CancelScope() as self._turn:
            if self._conversation is None:
                made = await anyio.to_thread.run_sync(self._conversations.create, self._user)
                self._conversation = str(made.id)
            async with self._assistant.stream(text, user=str(self._user), conversation=self._conversation) as run:
                async for event in run:
                    self._screen.show(event)
            return True
        self._screen.note("(stopped)")
        return False

    async def _show_history(self) -> None:
        if self._conversation is None:
            self._screen.note("Nothing has been said yet.")
        else:
            conversation = self._assistant.conversation(self._conversation, user=str(self._user))
            self._screen.history(await conversation.history())

    async def _show_tools(self) -> None:
        for tool in await self._assistant.tools():
            if isinstance(tool, ToolSpec):
                self._screen.line(f"{tool.name}: {tool.description.partition(chr(10))[0]}")


def converse(settings: Settings, database: Database, screen: Screen) -> bool:
    """Talk until the lines end; tell whether all went well. On a terminal that is for the reader to judge.

    Raises AssistantKitError, ServiceError when it cannot start.
    """
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_opened(settings, database)) as assistant:
        user = UserService(database).named(settings.user)
        chat = Chat(assistant, ConversationService(database), user, screen)
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


@asynccontextmanager
async def _opened(settings: Settings, database: Database) -> AsyncGenerator[Assistant[str]]:
    """Open the assistant of the app, as the service does."""
    store, state, model = make_store(database), make_state(database), make_model(settings)
    tools = task_tools(TaskService(database))
    async with AsyncExitStack() as stack:
        for part in (store, state, model):
            if part is not None:
                stack.push_async_callback(part.aclose)
        await store.open()
        assistant = make_assistant(settings, store=store, state=state, tools=tools, model=model)
        yield await stack.enter_async_context(assistant)


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
    if not is_plain(text):
        return Unreadable(f"{where} has control characters: it was not sent; write plain text")
    return text
